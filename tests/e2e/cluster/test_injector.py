"""A label and nothing else: the injector sets up the pod, and what holds while it is away."""

import json
from collections.abc import Iterator

import pytest

from bucketroute_testing.cluster import (
    SYSTEM_NAMESPACE,
    Cluster,
    CommandError,
    Installation,
)
from bucketroute_testing.injection import await_injection, await_known_class, create
from bucketroute_testing.workloads import PROGRAMMED_SECONDS, ClientPod, in_backend, program, route

BUCKET = "injected"
INJECTOR = "deployment/bucketroute-injector"
JOB_SECONDS = 180


@pytest.fixture(scope="module")
def bucket(bucketroute: Installation, team: str) -> str:
    cluster = bucketroute.cluster
    cluster.apply(route(BUCKET, team))
    cluster.await_condition(
        "bucketroute", BUCKET, team, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )
    return BUCKET


def pod(team: str, name: str, mode: str = "env") -> ClientPod:
    return ClientPod(
        namespace=team,
        name=name,
        program=program("injected"),
        service_account="reporter",
        environment={"BUCKET": BUCKET, "KEY": name, "SIZE": "9000000"},
        inject=mode,
    )


def test_a_pod_with_a_label_uploads_and_downloads(
    bucketroute: Installation, team: str, bucket: str
) -> None:
    found = pod(team, "by-label").run(bucketroute.cluster).value()
    assert found["is_same"] is True
    stored = in_backend(bucketroute.cluster)[f"{team}/{bucket}/by-label"]
    assert stored["sha256"] == found["sha256"]
    # The session is named after the pod, so that each request can be traced to it.
    assert found["arn"].endswith(f":assumed-role/{team}.reporter/by-label")
    assert found["aws"] == [
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ]


def test_a_job_with_a_label_completes(bucketroute: Installation, team: str, bucket: str) -> None:
    cluster = bucketroute.cluster
    cluster.apply(pod(team, "nightly").job())
    where = ("--namespace", team)
    cluster.kubectl(
        *("wait", "job/nightly", "--for=condition=Complete", f"--timeout={JOB_SECONDS}s", *where),
        seconds=JOB_SECONDS + 10,
    )
    printed = json.loads(cluster.kubectl("logs", "job/nightly", *where).splitlines()[-1])
    cluster.kubectl("delete", "job", "nightly", *where)
    assert printed["is_same"] is True
    stored = in_backend(cluster)[f"{team}/{bucket}/nightly"]
    assert stored["sha256"] == printed["sha256"]


def test_a_pod_that_has_it_all_is_stored_as_it_is(bucketroute: Installation, team: str) -> None:
    cluster = bucketroute.cluster
    once = create(cluster, pod(team, "twice").manifest(), "--dry-run=server")
    given = ("name", "namespace", "labels", "annotations")
    metadata = {field: once["metadata"][field] for field in given}
    again = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": once["spec"]}
    twice = create(cluster, again, "--dry-run=server")
    assert twice["spec"] == once["spec"]
    assert twice["metadata"]["annotations"] == once["metadata"]["annotations"]


def test_a_restricted_namespace_admits_a_pod_with_a_sidecar(
    bucketroute: Installation, team: str
) -> None:
    stored = create(
        bucketroute.cluster, pod(team, "beside", "sidecar").manifest(), "--dry-run=server"
    )
    (proxy,) = stored["spec"]["initContainers"]
    assert (proxy["name"], proxy["restartPolicy"]) == ("bucketroute-proxy", "Always")
    env = {item["name"]: item.get("value") for item in proxy["env"]}
    assert env["BUCKETROUTE_CA_PEM"].startswith("-----BEGIN CERTIFICATE-----")
    sources = {
        source["serviceAccountToken"]["path"]: source["serviceAccountToken"]["audience"]
        for volume in stored["spec"]["volumes"]
        if volume["name"] == "bucketroute-tokens"
        for source in volume["projected"]["sources"]
    }
    assert sources == {"sts": "minio", "config": "bucketroute-config"}


def test_a_pod_of_the_hosts_network_gets_no_sidecar(bucketroute: Installation, team: str) -> None:
    manifest = pod(team, "host", "sidecar").manifest()
    manifest["spec"]["hostNetwork"] = True
    with pytest.raises(CommandError, match="host's network cannot have a sidecar"):
        create(bucketroute.cluster, manifest, "--dry-run=server")


def test_an_unknown_class_is_told_at_once(bucketroute: Installation, team: str) -> None:
    manifest = pod(team, "gone").manifest()
    manifest["metadata"]["labels"]["bucketroute.io/class"] = "gone"
    with pytest.raises(CommandError, match="there is no BucketRouteClass gone") as told:
        create(bucketroute.cluster, manifest, "--dry-run=server", "--warnings-as-errors")
    assert str(told.value).count("Warning: ") == 1
    stored = create(bucketroute.cluster, manifest, "--dry-run=server")
    annotations = stored["metadata"]["annotations"]
    assert annotations["bucketroute.io/not-injected"] == "there is no BucketRouteClass gone"


def test_a_mode_that_does_not_exist_is_warned_about(bucketroute: Installation, team: str) -> None:
    manifest = pod(team, "misspelt", "true").manifest()
    with pytest.raises(CommandError, match="inject is neither env nor sidecar"):
        create(bucketroute.cluster, manifest, "--dry-run=server", "--warnings-as-errors")


@pytest.fixture
def northern_class(bucketroute: Installation) -> Iterator[str]:
    """As the default class, in another region."""
    cluster, name = bucketroute.cluster, "northern"
    spec = {**cluster.get("bucketrouteclass", "default")["spec"], "region": "eu-north-1"}
    api_version, kind = "bucketroute.io/v1alpha1", "BucketRouteClass"
    metadata = {"name": name}
    cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
    yield name
    cluster.kubectl("delete", "bucketrouteclass", name)


def test_a_new_class_reaches_the_injector_without_a_restart(
    bucketroute: Installation, team: str, northern_class: str
) -> None:
    cluster = bucketroute.cluster
    await_known_class(cluster, northern_class)
    manifest = pod(team, "north").manifest()
    manifest["metadata"]["labels"]["bucketroute.io/class"] = northern_class
    stored = await_injection(cluster, manifest)
    env = {item["name"]: item.get("value") for item in stored["spec"]["containers"][0]["env"]}
    assert env["AWS_REGION"] == "eu-north-1"


@pytest.fixture
def without_injector(bucketroute: Installation, team: str) -> Iterator[Cluster]:
    cluster = bucketroute.cluster
    where = ("--namespace", SYSTEM_NAMESPACE)
    replicas = cluster.get("deployment", "bucketroute-injector", SYSTEM_NAMESPACE)["spec"][
        "replicas"
    ]
    cluster.kubectl("scale", INJECTOR, "--replicas=0", *where)
    selector = "app.kubernetes.io/component=injector"
    cluster.kubectl(
        "wait", "pod", "-l", selector, "--for=delete", "--timeout=60s", *where, seconds=70
    )
    yield cluster
    cluster.kubectl("scale", INJECTOR, f"--replicas={replicas}", *where)
    cluster.kubectl("rollout", "status", INJECTOR, "--timeout=120s", *where, seconds=130)
    # Ready is not yet reachable: kube-proxy has to hear of it.
    await_injection(cluster, pod(team, "probe").manifest())


def test_while_the_injector_is_away_env_pods_start_and_sidecar_pods_are_refused(
    without_injector: Cluster, team: str
) -> None:
    cluster = without_injector
    with pytest.raises(CommandError, match=r"nothing was injected.*Is the injector up"):
        create(cluster, pod(team, "warned").manifest(), "--dry-run=server", "--warnings-as-errors")
    # It starts, and fails in its own code: it has no way to its bucket.
    bare = pod(team, "bare").run(cluster)
    assert not bare.has_succeeded
    assert "NoCredentialsError" in bare.log
    with pytest.raises(CommandError, match="the proxy was not injected: is the injector up"):
        create(cluster, pod(team, "refused", "sidecar").manifest())
    assert_counted(cluster)


def assert_counted(cluster: Cluster) -> None:
    """By the metric of the API server that the chart's alert uses."""
    lines = cluster.kubectl("get", "--raw", "/metrics").splitlines()
    name = "apiserver_validating_admission_policy_check_total{"
    found = [line for line in lines if line.startswith(name) and "bucketroute-" in line]
    for policy, action in (("env", "warn"), ("sidecar", "deny")):
        wanted = (f'policy="bucketroute-{policy}-present"', f'enforcement_action="{action}"')
        (line,) = [line for line in found if all(part in line for part in wanted)]
        assert float(line.split()[-1]) >= 1


def test_afterwards_pods_are_set_up_again(
    bucketroute: Installation, team: str, bucket: str
) -> None:
    assert pod(team, "again").run(bucketroute.cluster).value()["is_same"] is True
