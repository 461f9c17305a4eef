"""A whole operator on an API server in memory, with gateway pods that talk to it over TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import repeat
from pathlib import Path
from time import monotonic

from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel, ConfigFiles
from bucketroute_dataplane.shell.config_client import ConfigClient, OperatorAddress
from bucketroute_operator.core.conditions import condition_of
from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.handlers import Inbox
from bucketroute_operator.shell.kube_api import (
    CLASSES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ROUTES,
    Json,
    Resource,
)
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.operator import Operator
from bucketroute_operator.shell.reconciler import Pace
from bucketroute_snapshot.update import REPORT_PATH
from bucketroute_testing.config_channel import RecordingTarget
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import (
    OPERATOR_NAMESPACE,
    raw_class,
    ready_slice,
    review_of,
)

# As the real one in its order, but without its waits.
PACE = Pace(
    quiet=0.01,
    latest=0.1,
    status_quiet=0.01,
    status_latest=0.02,
    retry=0.02,
    longest_retry=0.3,
    relist=0.01,
    pods=0.05,
)


async def until(condition: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Waits for what other tasks do."""
    end = monotonic() + seconds
    for pause in repeat(0.005):
        if condition():
            return
        assert monotonic() < end, f"it did not happen within {seconds} seconds"
        await asyncio.sleep(pause)


class FakeWatch:
    """Hands the FakeKube's changes to the operator, as kopf would."""

    def __init__(self, kube: FakeKube, resources: Iterable[Resource], inbox: Inbox) -> None:
        self.failed: asyncio.Future[None] | None = None
        self._kube = kube
        self._kinds = {resource.kind for resource in resources}
        self._inbox = inbox

    def start(self) -> None:
        self.failed = asyncio.get_running_loop().create_future()
        self._kube.watcher = self._deliver

    async def stop(self) -> None:
        self._kube.watcher = lambda resource, kind, raw: None

    def _deliver(self, resource: Resource, kind: str | None, raw: Json) -> None:
        if resource.kind in self._kinds:
            asyncio.get_running_loop().call_soon(self._inbox, resource, kind, raw)


class Cluster:
    """The API server and what runs on it. `operator` is the replica that was started last."""

    def __init__(self, directory: Path) -> None:
        self.kube = FakeKube()
        self.kube.put(CLASSES, raw_class())
        self.kube.raws = {
            "/.well-known/openid-configuration": b'{"issuer": "https://cluster"}',
            "/openid/v1/jwks": b'{"keys": []}',
        }
        self.operator: Operator | None = None
        self.task: asyncio.Task[None] | None = None
        self._directory = directory

    @asynccontextmanager
    async def running_operator(self, identity: str = "one") -> AsyncIterator[Metrics]:
        settings = OperatorSettings(
            namespace=OPERATOR_NAMESPACE,
            identity=identity,
            config_host="127.0.0.1",
            config_port=0,
            admin_host="127.0.0.1",
            admin_port=0,
            extra_names=("localhost",),
        )
        metrics = Metrics()

        def watch(resources: Iterable[Resource], inbox: Inbox) -> FakeWatch:
            return FakeWatch(self.kube, resources, inbox)

        self.operator = Operator(self.kube, settings, metrics, watch=watch, pace=PACE)
        self.task = asyncio.create_task(self.operator.run())
        try:
            yield metrics
        finally:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    @asynccontextmanager
    async def gateway(self, *pod_uids: str) -> AsyncIterator[list[RecordingTarget]]:
        """Ready pods of the gateway, connected to the operator."""
        await until(lambda: self.operator is not None and self.operator.config_address is not None)
        async with AsyncExitStack() as stack:
            targets = [
                await stack.enter_async_context(_pod(self._address(uid))) for uid in pod_uids
            ]
            self.ready(*pod_uids)
            yield targets

    async def report(
        self,
        pod_uid: str,
        route: str,
        state: str,
        code: str,
        *,
        bucket: str = "Found",
        **about: object,
    ) -> None:
        """What a pod says of a route's credentials and bucket; `about` is `uid` and `generation`,
        or nothing, as from an older pod."""
        client = ConfigClient(self._address(pod_uid))
        entry = {"route": route, "state": state, "code": code, "at": 1.0, "bucket": bucket, **about}
        await client.post(REPORT_PATH, {"credentials": [entry]})
        await client.close()

    def _address(self, pod_uid: str) -> OperatorAddress:
        """The config server, with a token of that pod."""
        assert self.operator is not None
        assert self.operator.config_address is not None
        ca_file, token_file = self._directory / "ca.crt", self._directory / pod_uid
        bundle = self.kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-ca")
        ca_file.write_text(bundle["data"]["ca.crt"])
        token_file.write_text(pod_uid)
        self.kube.reviews[pod_uid] = review_of(pod_uid=pod_uid)
        return OperatorAddress(
            url=f"https://localhost:{self.operator.config_address[1]}",
            token_file=token_file,
            ca_file=ca_file,
        )

    def ready(self, *pod_uids: str) -> None:
        """What the EndpointSlice controller says."""
        self.kube.put(ENDPOINT_SLICES, ready_slice(*pod_uids))

    def condition(self, name: str, kind: str, *, namespace: str = "team-a") -> tuple[str, str]:
        """Status and reason, of the generation that the route has now; empty without."""
        route = self.kube.peek(ROUTES, namespace, name)
        condition = condition_of(route.get("status") or {}, kind)
        if condition is None or condition["observedGeneration"] != route["metadata"]["generation"]:
            return ("", "")
        return (str(condition["status"]), str(condition["reason"]))

    def status_writes(self) -> int:
        return self.kube.calls["apply_status", ROUTES.kind]


@asynccontextmanager
async def _pod(address: OperatorAddress) -> AsyncIterator[RecordingTarget]:
    client, target = ConfigClient(address), RecordingTarget()
    channel = ConfigChannel(client, target, ConfigFiles(), clock=SystemClock(), jitter=lambda: 0.0)
    task = asyncio.create_task(channel.run())
    try:
        yield target
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()
