"""A pod of several workers under test: which processes they are, and connections to each."""

import asyncio
import http.client
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bucketroute_snapshot import Snapshot
from bucketroute_snapshot.update import ConfigVersion
from bucketroute_testing.clients import RawClient, s3_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BUCKET, BackendUnderTest
from bucketroute_testing.gateway_pods import (
    SECRETS,
    SUBJECT,
    GatewayPod,
    make_folders,
    route_to,
    running_gateway_pod,
)
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.processes import wait_until
from bucketroute_testing.signing import AccessKey, Signer

_LISTENS = re.compile(r"worker (\d+) listens pid=(\d+)")
SECONDS = 20.0
# All of them at one of two workers: once in 2**39 runs.
CONNECTIONS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Signs with a session, and opens a connection wherever it needs one."""

    pod: GatewayPod
    session: AccessKey

    def connect(self) -> RawClient:
        return RawClient(self.pod.endpoint)

    def begin_get(self, client: RawClient, key: str) -> None:
        target = f"/{BUCKET}/{key}"
        headers = Signer(key=self.session).sign("GET", self.pod.endpoint + target).headers
        client.send_head("GET", target, headers)

    def get(self, client: RawClient, key: str = "k") -> int:
        """The status."""
        self.begin_get(client, key)
        return client.read_response().status

    def get_anew(self) -> int:
        """The status, over a connection that is used for nothing else."""
        with self.connect() as client:
            return self.get(client)

    @contextmanager
    def connection_to(self, worker: int) -> Iterator[RawClient]:
        """One that this worker has."""
        pid = workers_of(self.pod)[worker]
        while True:
            before = sockets_of(pid)
            with self.connect() as client:
                assert self.get(client) == 200
                if sockets_of(pid) > before:
                    yield client
                    return

    @contextmanager
    def many_connections(self) -> Iterator[list[RawClient]]:
        """To each worker at least one; each has served a request."""
        before = {pid: sockets_of(pid) for pid in workers_of(self.pod).values()}
        with ExitStack() as stack:
            clients = [stack.enter_context(self.connect()) for _ in range(CONNECTIONS)]
            assert {self.get(client) for client in clients} == {200}
            for pid, count in before.items():
                assert sockets_of(pid) > count, f"no connection went to {pid}"
            yield clients


class WorkerStage:
    """An operator, a backend, and a pod of two workers between them."""

    def __init__(
        self, operator: OperatorEnd, folder: Path, backend: BackendUnderTest, issuer: OidcIssuer
    ) -> None:
        make_folders(folder, backend)
        self.operator = operator
        self.granted = route_to(backend, issuer)
        self.token = issuer.mint(SUBJECT, "bucketroute")
        self._folder = folder
        self._counter = 0

    def publish(self, snapshot: Snapshot) -> ConfigVersion:
        """To be called on the event loop."""
        self._counter += 1
        self.operator.publish(f"1.{self._counter}", snapshot, SECRETS)
        return ConfigVersion(epoch=1, counter=self._counter)

    async def run(
        self,
        test: Callable[[GatewayPod, Caller], None],
        *,
        exit_status: int = 0,
        **settings: str,
    ) -> None:
        """`test` in a thread, with a pod that is ready and an object `k` to get."""
        self.publish(self.granted)
        await asyncio.to_thread(partial(self._run, test, exit_status=exit_status, **settings))

    def _run(
        self, test: Callable[[GatewayPod, Caller], None], *, exit_status: int, **settings: str
    ) -> None:
        with running_gateway_pod(
            self._folder,
            operator_port=self.operator.port,
            ca=self.operator.ca_file,
            token=self.operator.address().token_file,
            exit_status=exit_status,
            workers="2",
            **settings,
        ) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=SECONDS, what="readiness")
            caller = Caller(pod=pod, session=pod.log_in(self.token))
            with closing(s3_client(pod.endpoint, caller.session)) as s3:
                s3.put_object(Bucket=BUCKET, Key="k", Body=b"through a worker")
                assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"through a worker"
            test(pod, caller)


def workers_of(pod: GatewayPod) -> dict[int, int]:
    """The processes by their numbers, the latest of each."""
    return {int(number): int(pid) for number, pid in _LISTENS.findall(pod.process.log_text())}


def sockets_of(pid: int) -> int:
    """How many a process has open. Source: proc_pid_fd(5)."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return sum(link.startswith("socket:") for link in links)


def is_alive(pid: int) -> bool:
    """Whether any thread of it has not ended; one that has, and was not waited for, is a zombie.

    The first one may end before the others, and the sockets are open as long as one is there.
    Source: proc_pid_stat(5), proc_pid_task(5).
    """
    try:
        states = [
            file.read_text().rpartition(")")[2].split()[0]
            for file in Path(f"/proc/{pid}/task").glob("*/stat")
        ]
    except (FileNotFoundError, ProcessLookupError):  # just now, so look again
        return True
    return any(state != "Z" for state in states)


def wait_gone(*pids: int) -> None:
    """Raises: TimeoutError."""
    wait_until(
        lambda: not any(map(is_alive, pids)),
        deadline_seconds=SECONDS,
        what=f"the end of {pids}",
    )


def metric(pod: GatewayPod, name: str, **labels: str) -> float:
    """The sum of its series with these labels, of one scrape."""
    with urllib.request.urlopen(f"http://{pod.probes}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    full = f"bucketroute_dataplane_{name}"
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    rows = [line.rpartition(" ") for line in lines if re.match(rf"{full}[ {{]", line)]
    assert rows, f"there is no {full}"
    return sum(float(value) for row, _, value in rows if all(item in row for item in wanted))


def await_metric(pod: GatewayPod, value: float, name: str, **labels: str) -> None:
    """A request is counted when it is over, which is a moment after its answer.

    Raises: TimeoutError.
    """
    found: list[float] = []

    def is_there() -> bool:
        found.append(metric(pod, name, **labels))
        return found[-1] == value

    try:
        wait_until(is_there, deadline_seconds=SECONDS, what=name)
    except TimeoutError as error:
        raise TimeoutError(f"{name} is {found[-1]}, not {value}") from error


def is_refused(pod: GatewayPod) -> bool:
    """Whether nobody listens on the S3 port."""
    host, _, port = pod.s3.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False
