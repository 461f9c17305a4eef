"""An operator behind a proxy that fails on demand, and what it is held against."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bucketroute_testing.cluster import Cluster, Json, wait_until
from bucketroute_testing.fault_proxy import FaultProxy
from bucketroute_testing.fresh_compile import fresh_digest
from bucketroute_testing.gateway_clients import GatewayClients
from bucketroute_testing.operator_beside import CLASS, NAMESPACE, PODS, Surroundings
from bucketroute_testing.operator_program import OperatorProgram, write_kubeconfig
from bucketroute_testing.route_churn import Churn

ROUTES = "bucketroute.io/bucketroutes"
ROUTE_STATUS = f"{ROUTES}/status"
POINTER = f"bucketroute-snapshot-{CLASS}"
# Between two LISTs of the operator's own; a minute by default.
LIST_SECONDS = 3
CONVERGED_SECONDS = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a test of the operator has in hand; `tenant` is the namespace of its routes."""

    cluster: Cluster
    proxy: FaultProxy
    operator: OperatorProgram
    gateways: GatewayClients
    churn: Churn
    tenant: str

    def await_converged(self) -> None:
        """Fails if the snapshot or a status stays another than what the API server holds says."""
        expected = fresh_digest(self.cluster, CLASS)
        try:
            wait_until(
                lambda: {*self.gateways.digests(), self.pointer()["digest"]},
                lambda found: found == {expected},
                seconds=CONVERGED_SECONDS,
            )
            wait_until(self.unready, lambda found: not found, seconds=CONVERGED_SECONDS)
        except TimeoutError as exc:
            pytest.fail(f"expected {expected}: {exc}\n{self.operator.log_end()}")

    def pointer(self) -> dict[str, str]:
        """What the operator stored of its last publication. Raises: CommandError."""
        return dict(self.cluster.get("configmap", POINTER, NAMESPACE)["data"])

    def unready(self) -> dict[str, object]:
        """The routes whose status is not that of a served route of their generation."""
        found: dict[str, object] = {}
        for name, item in self.routes().items():
            status = item.get("status") or {}
            said = {
                each["type"]: (each["status"], each["observedGeneration"])
                for each in status.get("conditions") or []
            }
            if said.get("Ready") != ("True", item["metadata"]["generation"]):
                found[name] = status
        return found

    def routes(self) -> dict[str, Json]:
        """The tenant's routes by name, as the API server has them. Raises: CommandError."""
        where = ("--namespace", self.tenant, "-o", "json")
        items = json.loads(self.cluster.kubectl("get", "bucketroutes", *where))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def status_writes(self, since: int) -> Counter[str]:
        """How often each of the tenant's routes got a status, from the `since`-th call on."""
        return Counter(
            call.name
            for call in self.proxy.calls(since=since)
            if (call.resource, call.namespace) == (ROUTE_STATUS, self.tenant)
        )

    def served(self) -> list[set[str]]:
        """The names of the routes that each gateway serves."""
        snapshots = [follower.target.snapshot for follower in self.gateways.followers]
        return [{route.name for route in found.routes} if found else set() for found in snapshots]

    def await_lists(self, count: int) -> None:
        """Until the operator, or its watch, has listed the routes so many times more."""
        since = len(self.proxy.seen)

        def listed() -> int:
            calls = self.proxy.calls(since=since)
            return sum((call.verb, call.resource) == ("list", ROUTES) for call in calls)

        wait_until(listed, lambda found: found >= count, seconds=CONVERGED_SECONDS)

    def lists_now(self) -> dict[str, bytes]:
        """The LISTs that the operator got last, by path."""
        self.await_lists(1)
        return dict(self.proxy.lists)


@contextmanager
def operator_world(
    surroundings: Surroundings, proxy: FaultProxy, tenant: str, directory: Path
) -> Iterator[World]:
    """Starts the operator and the gateways, and waits until all is as it should be."""
    kubeconfig = directory / "kubeconfig"
    write_kubeconfig(kubeconfig, server=proxy.url, token=surroundings.token)
    operator = OperatorProgram(
        directory,
        namespace=NAMESPACE,
        kubeconfig=kubeconfig,
        environment={
            "BUCKETROUTE_LIST_SECONDS": str(LIST_SECONDS),
            "BUCKETROUTE_WEBHOOK_CERTIFICATE": "true",
        },
    )
    with operator:
        gateways = GatewayClients(
            url=f"https://localhost:{operator.config_port}",
            class_name=CLASS,
            ca_file=surroundings.authority_file(directory),
            token_files=[surroundings.token_files[name] for name in PODS],
        )
        operator.await_leading()
        with gateways:
            churn = Churn(surroundings.cluster, tenant, CLASS)
            world = World(
                cluster=surroundings.cluster,
                proxy=proxy,
                operator=operator,
                gateways=gateways,
                churn=churn,
                tenant=tenant,
            )
            yield world
