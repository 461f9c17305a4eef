"""The whole operator against an API server in memory, with pods on the real config channel."""

import asyncio
from collections import Counter
from pathlib import Path
from time import monotonic

import pytest

from bucketroute_operator.core.conditions import condition_of
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    ROUTES,
    SECRETS,
    KubeError,
    Resource,
)
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_testing.config_channel import RecordingTarget
from bucketroute_testing.operator_objects import (
    OPERATOR_NAMESPACE,
    ROLE,
    raw_class,
    raw_route,
    raw_static_backend,
)
from bucketroute_testing.operator_process import Cluster, until

PROGRAMMED = ("True", "Programmed")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def _events(cluster: Cluster) -> Counter[str]:
    return Counter(
        str(item["reason"])
        for (kind, _, _), item in cluster.kube.objects.items()
        if kind == EVENTS.kind
    )


async def test_a_route_is_programmed_with_one_write_and_one_event(cluster: Cluster) -> None:
    async with (
        cluster.running_operator() as metrics,
        cluster.gateway("pod-1", "pod-2") as targets,
    ):
        await until(lambda: all(target.served for target in targets))
        await until(lambda: _ready_pods(metrics) == 2)
        cluster.kube.put(ROUTES, raw_route())
        await until(lambda: cluster.condition("reports", "Programmed") == PROGRAMMED)
        assert cluster.condition("reports", "CredentialReady") == ("Unknown", "NotTried")
        for target in targets:
            assert target.snapshot is not None
            assert [route.bucket for route in target.snapshot.routes] == ["reports"]
            assert target.snapshot.settings.cluster_issuer == "https://cluster"
            assert len(target.served[-1][1].sealing_keys) == 2
    assert cluster.status_writes() == 1
    assert _events(cluster) == {"Programmed": 1}


async def test_a_route_is_ready_once_its_credentials_were_had(cluster: Cluster) -> None:
    async with cluster.running_operator() as metrics, cluster.gateway("pod-1"):
        await until(lambda: _ready_pods(metrics) == 1)
        cluster.kube.put(ROUTES, raw_route())
        await until(lambda: cluster.condition("reports", "Programmed") == PROGRAMMED)
        assert cluster.condition("reports", "Ready") == ("Unknown", "NotTried")
        await cluster.report("pod-1", "team-a/reports", "True", "Exchanged")
        await until(lambda: cluster.condition("reports", "Ready") == ("True", "Ready"))


async def test_a_restart_writes_no_status_and_forgets_no_pod(cluster: Cluster) -> None:
    cluster.kube.put(ROUTES, raw_route())
    async with cluster.running_operator(), cluster.gateway("pod-1"):
        await until(lambda: cluster.condition("reports", "Programmed") == PROGRAMMED)
    writes = cluster.status_writes()
    async with cluster.running_operator("two") as metrics:
        await until(lambda: _published(metrics) == 1)
        await asyncio.sleep(0.1)
        assert cluster.condition("reports", "Programmed") == PROGRAMMED
    assert cluster.status_writes() == writes
    pointer = cluster.kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-snapshot-default")
    assert pointer["data"]["version"] == "2.1"


async def test_the_class_says_of_each_pod_how_far_it_is(cluster: Cluster) -> None:
    cluster.kube.put(ROUTES, raw_route())

    def pods() -> list[object]:
        status = cluster.kube.peek(CLASSES, "", "default").get("status") or {}
        return list((status.get("dataPlanes") or {}).get("pods") or [])

    fine = {"state": "Synced", "ready": True, "configVersion": "1.1"}
    async with cluster.running_operator(), cluster.gateway("a", "b"):
        expected = [{"name": f"gateway-{uid}", **fine} for uid in ("a", "b")]
        await until(lambda: pods() == expected, seconds=20)


def _published(metrics: Metrics) -> float:
    value: float = metrics.publications.labels("default")._value.get()
    return value


def _ready_pods(metrics: Metrics) -> float:
    value: float = metrics.dataplanes.labels("default", "synced")._value.get()
    return value


async def test_bad_routes_say_why_and_leave_the_others_alone(cluster: Cluster) -> None:
    for number in range(20):
        cluster.kube.put(ROUTES, raw_route(f"good-{number:02}"))
    dangling = raw_route("dangling")
    dangling["spec"]["backend"] = {"bucket": "acme", "ref": {"name": "nowhere"}}
    invalid = raw_route("invalid")
    invalid["spec"]["backend"]["prefix"] = "/absolute"
    foreign = raw_route("foreign", role="arn:aws:iam::111122223333:role/admin")
    rival = raw_route("good-00", namespace="team-b")
    rival["metadata"]["creationTimestamp"] = "2027-01-01T00:00:00Z"
    for raw in (dangling, invalid, foreign, rival):
        cluster.kube.put(ROUTES, raw)
    async with cluster.running_operator(), cluster.gateway("pod-1"):
        await until(
            lambda: all(
                cluster.condition(f"good-{number:02}", "Programmed") == PROGRAMMED
                for number in range(20)
            )
        )
        await until(lambda: cluster.condition("invalid", "Ready")[0] == "False")
    assert cluster.condition("dangling", "ResolvedRefs") == ("False", "BackendNotFound")
    assert cluster.condition("invalid", "Accepted") == ("False", "InvalidSpec")
    assert cluster.condition("foreign", "ResolvedRefs") == ("False", "RoleNotPermitted")
    assert cluster.condition("good-00", "Exported", namespace="team-b") == (
        "False",
        "BucketNameConflict",
    )


async def test_what_only_newer_crds_know_is_refused_and_all_else_goes_on(cluster: Cluster) -> None:
    """A field that this operator cannot read may be what keeps somebody out."""
    for name in ("plain", "newer"):
        cluster.kube.put(ROUTES, raw_route(name))
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: target.snapshot is not None and len(target.snapshot.routes) == 2)
        newer = raw_route("newer")
        newer["spec"]["access"][0]["sourceRanges"] = ["10.0.0.0/8"]
        cluster.kube.put(ROUTES, newer)
        await until(lambda: cluster.condition("newer", "Accepted") == ("False", "UnknownField"))
        said = cluster.kube.peek(ROUTES, "team-a", "newer")["status"]["conditions"][0]["message"]
        assert said.startswith("spec.access[0].sourceRanges is not a known field. ")
        assert said.endswith("the operator is older than they are: upgrade it.")
        await until(lambda: _states(target) == {"newer": "Unresolved", "plain": "Active"})
        cluster.kube.put(CLASSES, raw_class(sessionTags="Enforced"))
        await until(lambda: _accepted(cluster) == ("False", "UnknownField"))
        # What was published before stays.
        assert _states(target) == {"newer": "Unresolved", "plain": "Active"}


def _states(target: RecordingTarget) -> dict[str, str]:
    assert target.snapshot is not None
    return {route.name: route.state.value for route in target.snapshot.routes}


def _accepted(cluster: Cluster) -> tuple[str, str]:
    status = cluster.kube.peek(CLASSES, "", "default").get("status") or {}
    accepted = condition_of(status, "Accepted") or {}
    return (str(accepted.get("status")), str(accepted.get("reason")))


async def test_a_deleted_route_is_gone_from_the_data_planes(cluster: Cluster) -> None:
    cluster.kube.put(ROUTES, raw_route("one"))
    cluster.kube.put(ROUTES, raw_route("two"))
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: target.snapshot is not None and len(target.snapshot.routes) == 2)
        cluster.kube.remove(ROUTES, "team-a", "one")
        await until(lambda: target.snapshot is not None and len(target.snapshot.routes) == 1)


async def test_a_secret_that_was_referred_to_is_read_by_name(cluster: Cluster) -> None:
    metadata = {"namespace": "team-a", "name": "keys"}
    cluster.kube.put(BACKENDS, raw_static_backend())
    data = {"accessKeyID": "QUtJQUVYQU1QTEU=", "secretAccessKey": "c2VjcmV0LXNlY3JldA=="}
    cluster.kube.put(SECRETS, {"metadata": metadata, "data": data})
    route = raw_route()
    route["spec"]["backend"] = {"bucket": "acme", "ref": {"name": "minio"}}
    cluster.kube.put(ROUTES, route)
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: cluster.condition("reports", "Programmed")[0] == "True")
        (secret,) = target.served[-1][1].static
        assert cluster.condition("reports", "Ready") == ("Unknown", "NoAnswer")
        await cluster.report("pod-1", "team-a/reports", "True", "NotNeeded", bucket="NotFound")
        await until(lambda: cluster.condition("reports", "Ready")[0] == "False")
        assert cluster.condition("reports", "Ready") == ("False", "BackendBucketNotFound")
        await cluster.report("pod-1", "team-a/reports", "True", "NotNeeded")
        await until(lambda: cluster.condition("reports", "Ready")[0] == "True")
    assert secret.secret_access_key.reveal() == "secret-secret"
    assert cluster.condition("reports", "CredentialReady") == ("True", "NotNeeded")
    assert cluster.condition("reports", "BucketFound") == ("True", "BucketFound")
    assert cluster.kube.calls["list", "Secret"] == 0
    for kind, _, name in cluster.kube.objects:
        if kind == CONFIG_MAPS.kind:
            stored = str(cluster.kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, name))
            assert data["secretAccessKey"] not in stored


async def test_a_route_with_another_role_waits_for_a_word_on_that(cluster: Cluster) -> None:
    cluster.kube.put(ROUTES, raw_route())
    uid = cluster.kube.peek(ROUTES, "team-a", "reports")["metadata"]["uid"]
    async with cluster.running_operator(), cluster.gateway("pod-1"):
        await until(lambda: cluster.condition("reports", "Programmed")[0] == "True")
        said = ("pod-1", "team-a/reports", "True", "Exchanged")
        await cluster.report(*said, uid=uid, generation=1)
        await until(lambda: cluster.condition("reports", "Ready")[0] == "True")
        cluster.kube.put(ROUTES, raw_route(role=f"{ROLE}-else"))
        await until(lambda: cluster.condition("reports", "Ready") == ("Unknown", "NotTried"))
        await cluster.report(*said, uid=uid, generation=1)
        await until(lambda: cluster.condition("reports", "Programmed")[0] == "True")
        assert cluster.condition("reports", "Ready") == ("Unknown", "NotTried")
        await cluster.report(*said, uid=uid, generation=2)
        await until(lambda: cluster.condition("reports", "Ready")[0] == "True")


async def test_a_class_that_is_invalid_when_an_operator_starts_answers_nobody(
    cluster: Cluster,
) -> None:
    """It would not know whom to take for a gateway, and answer as it answers tenants."""
    cluster.kube.put(ROUTES, raw_route())
    async with cluster.running_operator("one"), cluster.gateway("pod-1") as (target,):
        await until(lambda: bool(target.served))
    selector = {"matchExpressions": [{"key": "a", "operator": "In"}]}
    invalid = raw_class(allowedNamespaces={"from": "Selector", "selector": selector})
    cluster.kube.put(CLASSES, invalid)
    async with cluster.running_operator("two") as metrics, cluster.gateway("pod-2") as (target,):
        await until(lambda: metrics.refusals.labels("404")._value.get() > 0)
        assert target.served == []
        cluster.kube.put(CLASSES, raw_class())
        await until(lambda: target.snapshot is not None and len(target.snapshot.routes) == 1)


async def test_a_class_that_comes_while_another_is_restored_has_the_next_turn(
    cluster: Cluster,
) -> None:
    late: list[str] = []

    def meanwhile(verb: str, resource: Resource, name: str) -> None:
        if (verb, name) == ("get", "bucketroute-snapshot-default") and not late:
            late.append("late")
            cluster.kube.put(CLASSES, {**raw_class(), "metadata": {"name": "late"}})

    cluster.kube.fault = meanwhile
    async with cluster.running_operator():
        await until(lambda: "status" in cluster.kube.peek(CLASSES, "", "late") if late else False)
        assert cluster.task is not None
        assert not cluster.task.done()


async def test_a_class_that_cannot_be_published_holds_up_no_other(cluster: Cluster) -> None:
    cluster.kube.put(CLASSES, {**raw_class(), "metadata": {"name": "aaa"}})
    cluster.kube.put(ROUTES, raw_route())
    cluster.kube.fault = lambda verb, resource, name: (
        KubeError(403, "a quota")
        if verb == "create" and name == "bucketroute-snapshot-aaa"
        else None
    )
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: target.snapshot is not None and len(target.snapshot.routes) == 1)
        await until(lambda: cluster.condition("reports", "Programmed")[0] == "True")


async def test_a_stopping_operator_lets_parked_polls_go_at_once(cluster: Cluster) -> None:
    async with cluster.running_operator(), cluster.gateway("pod-1") as (target,):
        await until(lambda: bool(target.served))
        began = monotonic()
        assert cluster.task is not None
        cluster.task.cancel()
        await asyncio.wait([cluster.task])
        assert monotonic() - began < 1.5, "uvicorn would wait two seconds for an open request"


async def test_the_second_replica_waits_and_takes_over(cluster: Cluster) -> None:
    cluster.kube.put(ROUTES, raw_route())
    async with cluster.running_operator("one"):
        await until(lambda: "status" in cluster.kube.peek(ROUTES, "team-a", "reports"))
        first = cluster.kube.peek(LEASES, OPERATOR_NAMESPACE, "bucketroute-operator")
        assert first["spec"]["holderIdentity"] == "one"
    async with cluster.running_operator("two") as metrics:
        await until(lambda: _published(metrics) == 1)


async def test_an_operator_that_was_fenced_off_ends(cluster: Cluster) -> None:
    async with cluster.running_operator() as metrics:
        await until(lambda: _published(metrics) == 1)
        pointer = cluster.kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-snapshot-default")
        data = {**pointer["data"], "version": "9.1", "writer": "another"}
        cluster.kube.put(CONFIG_MAPS, {**pointer, "data": data})
        cluster.kube.put(ROUTES, raw_route())
        assert cluster.task is not None
        await until(cluster.task.done)
        error = cluster.task.exception()
        cluster.task = asyncio.create_task(asyncio.sleep(0))
    assert isinstance(error, ExceptionGroup)
    assert "has moved" in repr(error.exceptions)


async def test_the_class_is_created_where_there_is_none_and_never_touched_else(
    cluster: Cluster,
) -> None:
    cluster.kube.remove(CLASSES, "", "default")
    async with cluster.running_operator() as metrics:
        await until(lambda: _published(metrics) == 1)
    created = cluster.kube.peek(CLASSES, "", "default")["spec"]
    assert created["dataPlane"]["serviceAccountRef"]["name"] == "bucketroute-gateway"
    cluster.kube.put(CLASSES, raw_class(region="eu-central-1"))
    async with cluster.running_operator() as metrics:
        await until(lambda: _published(metrics) == 1)
    assert cluster.kube.peek(CLASSES, "", "default")["spec"]["region"] == "eu-central-1"
