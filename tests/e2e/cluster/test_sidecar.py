"""Pods with a sidecar: the backend sees the workload's own service account, and no other.

Of all tokens of the cluster, the gateway's among them, MinIO's policy here allows something to two
workloads' only. So what is written was written as one of them.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    SYSTEM_NAMESPACE,
    Cluster,
    Installation,
    wait_until,
)
from bucketroute_testing.injection import await_injection, await_known_class
from bucketroute_testing.sidecar_pods import APPLICATION, SIDECAR, SidecarWorkload
from bucketroute_testing.workloads import PROGRAMMED_SECONDS, Workload, in_backend, route

MIB = 1024 * 1024
TRUSTED, UNTRUSTED = "reporter", "apprentice"
OPERATOR = "deployment/bucketroute-operator"
OF_OPERATOR = "app.kubernetes.io/component=operator"
START_SECONDS = 60.0
_MINIO = Path(__file__).parents[1] / "tools" / "minio.sh"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = "team-s"
    cluster.create_namespace(name)
    for account in (TRUSTED, UNTRUSTED, "stranger"):
        metadata = {"name": account, "namespace": name}
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module", autouse=True)
def trust_in_the_workload(
    bucketroute: Installation, namespace: str, trust_the_gateway: Callable[[], None]
) -> Iterator[None]:
    """MinIO allows the workload everything, and the gateway nothing."""
    subject = f"system:serviceaccount:{namespace}:{TRUSTED}"
    subprocess.run([_MINIO, BACKEND_BUCKET, subject], check=True, timeout=300)
    yield
    trust_the_gateway()


@pytest.fixture(scope="module")
def journal(bucketroute: Installation, namespace: str) -> str:
    """A route that grants the same to both service accounts."""
    manifest = route("journal", namespace)
    manifest["spec"]["access"] = [
        {"serviceAccounts": [TRUSTED, UNTRUSTED], "permissions": ["Read", "List", "Write"]}
    ]
    bucketroute.cluster.apply(manifest)
    bucketroute.cluster.await_condition(
        "bucketroute",
        "journal",
        namespace,
        is_now=("Programmed", "True"),
        seconds=PROGRAMMED_SECONDS,
    )
    return "journal"


@pytest.fixture
def sidecars_only(bucketroute: Installation) -> Iterator[str]:
    """A class as the default one, which no gateway serves."""
    cluster, name = bucketroute.cluster, "sidecars"
    spec = cluster.get("bucketrouteclass", "default")["spec"]
    cluster.apply(
        {
            "apiVersion": "bucketroute.io/v1alpha1",
            "kind": "BucketRouteClass",
            "metadata": {"name": name},
            "spec": {**spec, "dataPlane": {"mode": "Sidecar"}},
        }
    )
    yield name
    cluster.kubectl("delete", "bucketrouteclass", name)


@pytest.fixture
def reporter(cluster: Cluster, namespace: str) -> SidecarWorkload:
    return SidecarWorkload(cluster=cluster, namespace=namespace, service_account=TRUSTED)


@pytest.fixture
def operator_back(cluster: Cluster) -> Iterator[None]:
    """Whatever happens, the next test has an operator."""
    yield
    scale_operator(cluster, 1)
    cluster.kubectl(
        "--namespace", SYSTEM_NAMESPACE, "rollout", "status", OPERATOR, "--timeout=90s", seconds=100
    )


def scale_operator(cluster: Cluster, replicas: int) -> None:
    count = f"--replicas={replicas}"
    cluster.kubectl("--namespace", SYSTEM_NAMESPACE, "scale", OPERATOR, count)


def test_a_pod_without_any_credential_uploads_and_downloads_as_its_own_service_account(
    reporter: SidecarWorkload, journal: str
) -> None:
    settings = {"BUCKET": journal, "KEY": "pod", "SIZE": str(20 * MIB)}
    sent = reporter.run("pod", "round_trip", **settings).value()
    stored = in_backend(reporter.cluster)[f"{reporter.namespace}/{journal}/pod"]
    assert (stored["sha256"], stored["size"]) == (sent["sha256"], 20 * MIB)
    assert f'"caller":"system:serviceaccount:{reporter.namespace}:{TRUSTED}"' in reporter.log(
        "pod/pod", SIDECAR
    )


def test_a_job_completes_though_its_sidecar_would_run_for_ever(
    reporter: SidecarWorkload, journal: str
) -> None:
    job = reporter.pod("job", "round_trip", BUCKET=journal, KEY="job")
    sent = reporter.run_job(job).value()
    stored = in_backend(reporter.cluster)[f"{reporter.namespace}/{journal}/job"]
    assert stored["sha256"] == sent["sha256"]


def test_what_the_route_grants_the_backend_refuses_to_a_service_account_that_it_does_not_trust(
    cluster: Cluster, namespace: str, journal: str
) -> None:
    untrusted = SidecarWorkload(cluster=cluster, namespace=namespace, service_account=UNTRUSTED)
    error = untrusted.run("untrusted", "round_trip", BUCKET=journal, KEY="untrusted").value()[
        "error"
    ]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")


def test_and_to_the_gateway(bucketroute: Installation, namespace: str, journal: str) -> None:
    """Which may do everything elsewhere: a sidecar needs no deputy."""
    through = Workload(bucketroute=bucketroute, namespace=namespace, service_account=TRUSTED)
    error = through.run("gateway", "upload", BUCKET=journal, KEY="gateway").value()["error"]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")


def test_a_service_account_without_a_grant_gets_nothing(
    cluster: Cluster, namespace: str, journal: str
) -> None:
    stranger = SidecarWorkload(cluster=cluster, namespace=namespace, service_account="stranger")
    error = stranger.run("stranger", "round_trip", BUCKET=journal, KEY="x").value()["error"]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")


def test_what_an_application_uploads_while_it_ends_still_arrives(
    reporter: SidecarWorkload, journal: str
) -> None:
    reporter.start(reporter.pod("ending", "last_words", BUCKET=journal, KEY="last-words"))
    wait_until(
        lambda: reporter.phase("ending"), lambda found: found == "Running", seconds=START_SECONDS
    )
    wait_until(lambda: reporter.log("pod/ending"), bool, seconds=START_SECONDS)
    reporter.delete("pod", "ending")
    assert in_backend(reporter.cluster)[f"{reporter.namespace}/{journal}/last-words"]["size"] == 3


def test_a_class_of_sidecars_alone_needs_no_gateway(
    cluster: Cluster, namespace: str, sidecars_only: str
) -> None:
    private = route("private", namespace)
    private["spec"]["className"] = sidecars_only
    cluster.apply(private)
    condition = cluster.await_condition(
        "bucketroute", "private", namespace, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )
    assert condition["reason"] == "Ready"
    workload = SidecarWorkload(
        cluster=cluster, namespace=namespace, service_account=TRUSTED, class_name=sidecars_only
    )
    await_known_class(cluster, sidecars_only)
    await_injection(cluster, workload.pod("private", "round_trip"))
    sent = workload.run("private", "round_trip", BUCKET="private", KEY="x").value()
    stored = in_backend(cluster)[f"{namespace}/private/x"]
    assert stored["sha256"] == sent["sha256"]


@pytest.mark.usefixtures("operator_back")
def test_a_pod_that_starts_without_the_operator_waits_for_it_before_its_application_does(
    reporter: SidecarWorkload, journal: str
) -> None:
    scale_operator(reporter.cluster, 0)
    gone = ("wait", "--for=delete", "pod", "-l", OF_OPERATOR, "--timeout=60s")
    reporter.cluster.kubectl("--namespace", SYSTEM_NAMESPACE, *gone, seconds=70)
    reporter.start(reporter.pod("waiting", "round_trip", BUCKET=journal, KEY="waiting"))
    wait_until(
        lambda: _sidecar_log(reporter),
        lambda log: "not ready without a configuration" in log,
        seconds=START_SECONDS,
    )
    status = reporter.cluster.get("pod", "waiting", reporter.namespace)["status"]
    (application,) = status["containerStatuses"]
    assert application["name"] == APPLICATION
    assert application["state"]["waiting"]["reason"] == "PodInitializing"
    scale_operator(reporter.cluster, 1)
    assert reporter.end("waiting").value()["size"] > 0


def _sidecar_log(workload: SidecarWorkload) -> str:
    """Empty as long as the container has not been made."""
    pod = workload.cluster.get("pod", "waiting", workload.namespace)
    begun = pod["status"].get("initContainerStatuses", [{}])[0].get("state", {})
    return workload.log("pod/waiting", SIDECAR) if "running" in begun else ""
