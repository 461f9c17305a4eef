"""The whole operator on an API server in memory that fails, and processes that end at any point.

tests/e2e/cluster/control_plane does the like with a real API server.
"""

import asyncio
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CONFIG_MAPS,
    LEASES,
    ROUTES,
    SECRETS,
    ConflictError,
    KubeError,
    Resource,
)
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_snapshot import snapshot_digest
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE, raw_route, raw_static_backend
from bucketroute_testing.operator_process import Cluster, until

PROGRAMMED = ("True", "Programmed")
WRITES = ("create", "replace", "apply_status", "delete")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def _published(metrics: Metrics) -> float:
    value: float = metrics.publications.labels("default")._value.get()
    return value


@pytest.mark.parametrize("written", range(12))
async def test_what_a_process_left_that_ended_after_any_write_the_next_one_finishes(
    cluster: Cluster, written: int
) -> None:
    """It is the same pod's: as long as another held the Lease, a new one would wait for its end."""
    writes, ended = count(), asyncio.Event()

    def end_after(verb: str, resource: Resource, name: str) -> KubeError | None:
        if verb in WRITES and next(writes) >= written:
            ended.set()
        return KubeError(0, "this process has ended") if ended.is_set() else None

    cluster.kube.put(ROUTES, raw_route())
    cluster.kube.put(ROUTES, raw_route("refused", role="arn:aws:iam::111122223333:role/admin"))
    cluster.kube.fault = end_after
    async with cluster.running_operator():
        await asyncio.wait_for(ended.wait(), 10)
    cluster.kube.fault = lambda verb, resource, name: None
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: cluster.condition("reports", "Programmed") == PROGRAMMED)
        await until(lambda: cluster.condition("refused", "Ready")[0] == "False")
        assert target.snapshot is not None
        pointer = cluster.kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-snapshot-default")
        assert pointer["data"]["digest"] == snapshot_digest(target.snapshot)


async def test_an_unreliable_api_server_only_delays(cluster: Cluster) -> None:
    failures = Counter[str]()

    def fault(verb: str, resource: Resource, name: str) -> KubeError | None:
        failures[verb] += 1
        if failures[verb] % 7 == 0 and resource is not LEASES:
            return KubeError(500, "now and then")
        if failures[verb] % 5 == 1 and verb == "replace" and resource is CONFIG_MAPS:
            return ConflictError(409, "now and then")
        return None

    cluster.kube.fault = fault
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        for number in range(10):
            cluster.kube.put(ROUTES, raw_route(f"route-{number}"))
            await asyncio.sleep(0.01)
        await until(
            lambda: target.snapshot is not None and len(target.snapshot.routes) == 10, seconds=15
        )
        await until(
            lambda: all(
                cluster.condition(f"route-{number}", "Programmed") == PROGRAMMED
                for number in range(10)
            ),
            seconds=20,
        )


async def test_a_restart_among_failures_takes_no_login_and_no_secret_away(
    cluster: Cluster,
) -> None:
    """What could not be read yet is waited for, not published without."""
    cluster.kube.put(BACKENDS, raw_static_backend())
    data = {"accessKeyID": "QUtJQUVYQU1QTEU=", "secretAccessKey": "c2VjcmV0LXNlY3JldA=="}
    metadata = {"namespace": "team-a", "name": "keys"}
    cluster.kube.put(SECRETS, {"metadata": metadata, "data": data})
    route = raw_route()
    route["spec"]["backend"] = {"bucket": "acme", "ref": {"name": "minio"}}
    cluster.kube.put(ROUTES, route)
    cluster.kube.raw_fault = KubeError(500, "for a moment")
    cluster.kube.fault = lambda verb, resource, name: (
        KubeError(429, "for a moment") if resource is SECRETS and name == "keys" else None
    )
    async with cluster.running_operator() as metrics:
        await until(lambda: cluster.kube.calls["get", "Secret"] > 3)
        cluster.kube.raw_fault = None
        await until(lambda: cluster.kube.calls["get", "Secret"] > 5)
        assert _published(metrics) == 0
        cluster.kube.fault = lambda verb, resource, name: None
        async with cluster.gateway("pod-1") as (target,):
            await until(lambda: bool(target.served))
    (first, secrets), *_ = target.served
    assert first.settings.cluster_issuer == "https://cluster"
    assert len(secrets.static) == 1


async def test_a_list_from_the_past_changes_nothing(cluster: Cluster) -> None:
    """It would bring revoked routes back for a while, and write statuses of former generations."""
    cluster.kube.put(ROUTES, raw_route("old"))
    past = await cluster.kube.listing(ROUTES)
    async with cluster.running_operator() as metrics, cluster.gateway("pod-1") as (target,):
        await until(lambda: cluster.condition("old", "Programmed") == PROGRAMMED)
        cluster.kube.remove(ROUTES, "team-a", "old")
        cluster.kube.put(ROUTES, raw_route("new"))
        await until(lambda: cluster.condition("new", "Programmed") == PROGRAMMED)
        cluster.kube.old_listings = {ROUTES.kind: past}
        published, lists = _published(metrics), cluster.kube.calls["list", ROUTES.kind]
        cluster.kube.watcher(ROUTES, None, past.items[0])  # kopf got that one, too
        await until(lambda: cluster.kube.calls["list", ROUTES.kind] > lists)
        await asyncio.sleep(0.1)
        assert _published(metrics) == published
    assert target.snapshot is not None
    assert [route.name for route in target.snapshot.routes] == ["new"]


async def test_a_list_that_fails_is_asked_for_again_soon(cluster: Cluster) -> None:
    async with cluster.running_operator(), cluster.gateway("pod-1"):
        await until(lambda: cluster.kube.calls["create", "TokenReview"] > 0)
        lists = cluster.kube.calls["list", ROUTES.kind]
        cluster.kube.fault = lambda verb, resource, name: (
            KubeError(500, "for a moment") if verb == "list" and resource is ROUTES else None
        )
        # As after a gap that kopf met: what was deleted in it, only a LIST can tell.
        cluster.kube.watcher(ROUTES, None, cluster.kube.put(ROUTES, raw_route()))
        await until(lambda: cluster.kube.calls["list", ROUTES.kind] > lists + 2)
