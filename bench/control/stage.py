"""What is measured on: a cluster's API server, the operator, one gateway and nine clients."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from bench.control import objects
from bench.control.api import ROUTES, Api, Json, Statuses
from bench.control.clients import acknowledge, log_in
from bench.control.programs import OperatorPlace, Program, backend, gateway
from bench.processes import BenchmarkError
from bench.requests import Credentials
from bench.targets import free_port

DATA_PLANES = 10
_REPOSITORY = Path(__file__).resolve().parents[2]
_STARTED_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Stage:
    """`routes` are those that are there, as they were applied last; the probe is not among them."""

    api: Api
    statuses: Statuses
    directory: Path
    endpoint: str
    place: OperatorPlace
    operator: Program
    gateway: Program
    gateway_port: int
    edits: int = 0
    routes: list[tuple[str, str]] = field(default_factory=list)

    async def grow_to(self, count: int) -> None:
        """Adds routes until there are so many, and waits until all of them are Programmed."""
        print(f"{count:,} routes", file=sys.stderr, flush=True)
        fresh = [
            (objects.tenant(number), f"route-{number:05}")
            for number in range(len(self.routes), count)
        ]
        applied = await asyncio.gather(*(self.apply(*key) for key in fresh))
        for route in applied:
            await self.statuses.programmed(route, seconds=300)
        self.routes += fresh

    async def apply(self, namespace: str, name: str, *, grants: bool = True) -> Json:
        """Applies the route, changed. Returns it as the API server has it then."""
        self.edits += 1
        body = objects.route(
            namespace, name, endpoint=self.endpoint, edit=self.edits, grants=grants
        )
        return await self.api.apply(objects.route_path(namespace, name), body)

    async def session(self) -> Credentials:
        """One of the service account that the routes grant reading to."""
        path = f"/api/v1/namespaces/{objects.PROBE_NAMESPACE}/serviceaccounts/{objects.CALLER}"
        answer = await self.api.create(f"{path}/token", objects.token_request("bucketroute"))
        return await log_in(self.gateway_port, answer["status"]["token"])


@asynccontextmanager
async def staged(api: Api, directory: Path) -> AsyncIterator[Stage]:
    """Everything runs and waits for routes. Raises: BenchmarkError."""
    host, port = _own_address(api), free_port()
    place = OperatorPlace(
        directory=directory,
        namespace=objects.NAMESPACE,
        config_port=free_port(),
        admin_port=free_port(),
    )
    (directory / "class.yaml").write_text(yaml.safe_dump(objects.class_spec(host)))
    pods = await _prepare(api, directory)
    async with AsyncExitStack() as stack:
        stack.callback(backend(host, port, directory).stop)
        operator = place.start()
        await asyncio.to_thread(operator.wait_for, "published class=default")
        ca = await api.get(f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps/bucketroute-ca")
        (directory / "ca.crt").write_text(ca["data"]["ca.crt"])
        gateway_port = free_port()
        plane = gateway(
            directory, config_port=place.config_port, port=gateway_port, admin_port=free_port()
        )
        stack.callback(plane.stop)
        await asyncio.to_thread(plane.wait_for, "serving version=")
        statuses = Statuses(api)
        tasks = [asyncio.create_task(statuses.run())]
        tasks += [
            asyncio.create_task(acknowledge(directory, number, place.config_port))
            for number in range(1, DATA_PLANES)
        ]
        stage = Stage(
            api=api,
            statuses=statuses,
            directory=directory,
            endpoint=f"http://{host}:{port}",
            place=place,
            operator=operator,
            gateway=plane,
            gateway_port=gateway_port,
        )
        stack.callback(lambda: stage.operator.stop())
        stack.push_async_callback(_cancelled, tasks)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{objects.NAMESPACE}/endpointslices"
        slice_ = objects.endpoint_slice(pods)
        await api.apply(f"{path}/{slice_['metadata']['name']}", slice_)
        yield stage


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


async def _prepare(api: Api, directory: Path) -> list[Json]:
    """CRDs, namespaces, accounts, and the pods whose tokens the data planes bear."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for file in sorted((_REPOSITORY / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        await api.apply(f"{crds}/{crd['metadata']['name']}", crd)
    await _until_served(api)
    if (await api.get(f"{ROUTES}?limit=1"))["items"]:
        raise BenchmarkError("The cluster has routes: give the benchmark one of its own.")
    for name in (objects.NAMESPACE, *map(objects.tenant, range(objects.TENANTS))):
        await api.apply(f"/api/v1/namespaces/{name}", objects.namespace(name))
    for namespace, name in (
        (objects.NAMESPACE, objects.GATEWAY),
        (objects.PROBE_NAMESPACE, objects.CALLER),
    ):
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        await api.apply(path, objects.service_account(namespace, name))
    home = f"/api/v1/namespaces/{objects.NAMESPACE}"
    await api.apply(f"{home}/services/{objects.GATEWAY}", objects.gateway_service())
    pods = []
    for number in range(DATA_PLANES):
        pod = await api.apply(f"{home}/pods/bench-{number}", objects.pod(f"bench-{number}"))
        request = objects.token_request("bucketroute-config", pod)
        answer = await api.create(f"{home}/serviceaccounts/{objects.GATEWAY}/token", request)
        (directory / f"token-{number}").write_text(answer["status"]["token"])
        pods.append(pod)
    sts = await api.create(
        f"{home}/serviceaccounts/{objects.GATEWAY}/token",
        objects.token_request("sts.amazonaws.com"),
    )
    (directory / "sts-token").write_text(sts["status"]["token"])
    return pods


async def _until_served(api: Api) -> None:
    """The API server takes a moment to serve a new kind."""
    async with asyncio.timeout(_STARTED_SECONDS):
        while True:
            try:
                await api.get(f"{ROUTES}?limit=1")
            except BenchmarkError:
                await asyncio.sleep(0.2)
            else:
                return


def _own_address(api: Api) -> str:
    """This machine's, as the API server would see it: gateways refuse loopback backends."""
    url = urlsplit(api.server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((url.hostname, url.port or 443))
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        raise BenchmarkError(
            "The API server is on loopback, where no gateway reaches a backend: "
            "use `tests/e2e/cluster/local-cluster`."
        )
    return address
