"""What is served outlives its processes: the operator, a gateway, all of them at once."""

import time
from collections.abc import Callable, Iterator

import pytest

from bucketroute_testing.cluster import SYSTEM_NAMESPACE, Cluster, Installation, wait_until
from bucketroute_testing.workloads import PROGRAMMED_SECONDS, ClientPod, Workload, route

OPERATOR = "deployment/bucketroute-operator"
GATEWAY = "deployment/bucketroute-gateway"
OF_OPERATOR = "app.kubernetes.io/component=operator"
OF_GATEWAY = "app.kubernetes.io/component=gateway"
OF_BOTH = "app.kubernetes.io/component in (operator, gateway)"
SIZE = 4096
KEY = "public/object"
# Twice the back-off of the gateways' polls, at most, and some time to log in: the operator may be
# there but not lead yet when they ask.
RECONNECT_SECONDS = 75.0
# More than any of these tests takes; the reader is told when to stop.
READING_SECONDS = 900


@pytest.fixture(scope="module")
def public(bucketroute: Installation, team: str) -> str:
    """A route whose object anybody may read, with the object in it."""
    cluster = bucketroute.cluster
    manifest = route("shared-files", team)
    manifest["spec"]["access"].append(
        {
            "subjects": [{"kind": "Anonymous"}],
            "permissions": ["Read"],
            "prefixes": ["public/"],
        }
    )
    cluster.apply(manifest)
    cluster.await_condition(
        "bucketroute", "shared-files", team, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )
    reporter = Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")
    reporter.run("upload", "upload", BUCKET="shared-files", KEY=KEY, SIZE=str(SIZE)).value()
    return f"/shared-files/{KEY}"


@pytest.fixture
def operator_back(bucketroute: Installation) -> Iterator[None]:
    """Whatever happens, the next test has an operator."""
    yield
    system(bucketroute.cluster, "scale", OPERATOR, "--replicas=1")
    rolled_out(bucketroute.cluster, OPERATOR)


def system(cluster: Cluster, *arguments: str, seconds: float = 60) -> str:
    return cluster.kubectl("--namespace", SYSTEM_NAMESPACE, *arguments, seconds=seconds)


def rolled_out(cluster: Cluster, *deployments: str) -> None:
    for name in deployments:
        system(cluster, "rollout", "status", name, "--timeout=90s", seconds=100)


def version(cluster: Cluster) -> tuple[int, ...]:
    """Of the published snapshot."""
    status = cluster.get("bucketrouteclass", "default")["status"]
    return tuple(int(part) for part in status["configVersion"].split("."))


def await_next_epoch(cluster: Cluster, before: tuple[int, ...]) -> None:
    """Until another leader has published; the one before may have said its last word late."""
    wait_until(lambda: version(cluster), lambda found: found[0] > before[0], seconds=60)


def digest(cluster: Cluster) -> str:
    """Of the published snapshot's content."""
    return str(cluster.get("bucketrouteclass", "default")["status"]["configDigest"])


def reader(
    bucketroute: Installation, team: str, public: str, *, per_second: int, seconds: int
) -> ClientPod:
    """Reads the public object without ever trying twice."""
    reporter = Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")
    return reporter.pod(
        "reader",
        "read_steadily",
        ENDPOINT=bucketroute.endpoint,
        OBJECT=public,
        SIZE=str(SIZE),
        PER_SECOND=str(per_second),
        SECONDS=str(seconds),
    )


def await_served(bucketroute: Installation, team: str, public: str) -> None:
    """Until three seconds of reading pass without a failure.

    Pods that are ready are reached when the node's proxy has heard of them, which is a moment
    later; and right after pods were killed their Deployment still calls itself complete.
    """
    wait_until(
        lambda: (
            reader(bucketroute, team, public, per_second=20, seconds=3)
            .run(bucketroute.cluster)
            .value()
        ),
        lambda read: read["failed"] == 0 and read["sent"] > 20,
        seconds=RECONNECT_SECONDS,
    )


def test_no_request_fails_while_the_operator_is_killed_and_comes_back(
    bucketroute: Installation, team: str, public: str
) -> None:
    cluster = bucketroute.cluster
    before = version(cluster)
    pod = reader(bucketroute, team, public, per_second=500, seconds=READING_SECONDS)
    pod.start(cluster)
    system(cluster, "delete", "pod", "-l", OF_OPERATOR, "--grace-period=0", "--force")
    rolled_out(cluster, OPERATOR)
    await_next_epoch(cluster, before)
    read = pod.stop(cluster).value()
    assert read["failed"] == 0, read
    assert read["sent"] >= 500


@pytest.mark.usefixtures("operator_back")
def test_gateway_pods_that_start_without_the_operator_become_ready_and_serve(
    bucketroute: Installation, team: str, public: str
) -> None:
    cluster = bucketroute.cluster
    reporter = Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")
    before = version(cluster)
    system(cluster, "scale", OPERATOR, "--replicas=0")
    system(cluster, "wait", "--for=delete", "pod", "-l", OF_OPERATOR, "--timeout=60s", seconds=70)
    system(cluster, "delete", "pod", "-l", OF_GATEWAY, "--wait=true", seconds=120)
    ready = ("wait", "--for=condition=Ready", "pod", "-l", OF_GATEWAY, "--timeout=60s")
    system(cluster, *ready, seconds=70)
    await_served(bucketroute, team, public)

    system(cluster, "scale", OPERATOR, "--replicas=1")
    await_next_epoch(cluster, before)
    deadline = time.monotonic() + RECONNECT_SECONDS
    while "etag" not in (
        found := reporter.run(
            "upload", "upload", BUCKET="shared-files", KEY=KEY, SIZE=str(SIZE)
        ).value()
    ):
        assert time.monotonic() < deadline, found


def test_no_request_fails_while_gateways_and_operator_are_rolled(
    bucketroute: Installation, team: str, public: str
) -> None:
    cluster = bucketroute.cluster
    before = version(cluster)
    old = system(cluster, "get", "pods", "-l", OF_GATEWAY, "-o", "name").split()
    pod = reader(bucketroute, team, public, per_second=200, seconds=READING_SECONDS)
    pod.start(cluster)
    system(cluster, "rollout", "restart", GATEWAY, OPERATOR)
    rolled_out(cluster, GATEWAY, OPERATOR)
    system(cluster, "wait", "--for=delete", *old, "--timeout=60s", seconds=70)
    read = pod.stop(cluster).value()
    assert read["failed"] == 0, read
    assert read["sent"] >= 500
    wait_until(lambda: version(cluster), lambda found: found > before, seconds=60)


def test_no_request_fails_while_gateways_get_a_second_worker_and_lose_it_again(
    bucketroute: Installation, install: Callable[..., Installation], team: str, public: str
) -> None:
    """The pods that have two are as restricted as the others."""
    cluster = bucketroute.cluster
    pod = reader(bucketroute, team, public, per_second=200, seconds=READING_SECONDS)
    pod.start(cluster)
    install("--set", "gateway.workers=2")
    rolled_out(cluster, GATEWAY)
    logs = system(cluster, "logs", GATEWAY, "--all-pods", "--prefix", "--tail=-1")
    reporter = Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")
    stored = reporter.run("upload", "upload", BUCKET="shared-files", KEY=KEY, SIZE=str(SIZE))
    install()
    rolled_out(cluster, GATEWAY)
    read = pod.stop(cluster).value()
    assert read["failed"] == 0, read
    assert read["sent"] >= 500
    assert "etag" in stored.value()
    assert "worker 2 listens" in logs


def test_when_all_is_killed_at_once_the_same_comes_back_under_a_higher_version(
    bucketroute: Installation, team: str, public: str
) -> None:
    cluster = bucketroute.cluster
    before, content = version(cluster), digest(cluster)
    system(cluster, "delete", "pod", "-l", OF_BOTH, "--grace-period=0", "--force")
    rolled_out(cluster, GATEWAY, OPERATOR)
    await_served(bucketroute, team, public)
    await_next_epoch(cluster, before)
    assert digest(cluster) == content
