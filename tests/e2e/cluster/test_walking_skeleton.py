"""The whole chain: helm install, kubectl apply, a pod that uploads, the object in the backend.

No key is handed out: the workload has its service account's token, the gateway has its own, and
MinIO's only policy allows what a session of the gateway's subject does.
"""

from pathlib import Path

import pytest
import yaml

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    SYSTEM_NAMESPACE,
    TOKEN_FOLDER,
    ClientPod,
    ClientResult,
    Cluster,
    Installation,
    Json,
    wait_until,
    workload_environment,
)

HERE = Path(__file__).parent
MIB = 1024 * 1024
# Within this a refused exchange shows in the status, and a repair does.
CREDENTIAL_SECONDS = 30.0
PROGRAMMED_SECONDS = 60.0
WRONG_ROLE = "arn:minio:iam:::role/AAAAAAAAAAAAAAAAAAAAAAAAAAA"


def program(name: str) -> str:
    return (HERE / "programs" / f"{name}.py").read_text()


def route(name: str, **backend: str) -> Json:
    """The route of the manifest under another name, its backend changed."""
    found: Json = yaml.safe_load((HERE / "manifests/bucketroute/route.yaml").read_text())
    found["metadata"]["name"] = name
    found["spec"]["backend"] |= backend
    return found


def upload(bucketroute: Installation, team: str, *, bucket: str, **settings: str) -> ClientResult:
    settings = {"BUCKET": bucket, "KEY": "2026/report.bin", **settings}
    environment = workload_environment(bucketroute.endpoint, team, "reporter") | settings
    return bucketroute.cluster.run_client(
        ClientPod(
            namespace=team,
            name="upload",
            program=program("upload"),
            service_account="reporter",
            environment=environment,
        )
    )


def in_backend(cluster: Cluster) -> Json:
    pod = ClientPod(
        namespace="minio",
        name="inspect",
        program=program("inspect_backend"),
        environment={"BUCKET": BACKEND_BUCKET},
        secret="minio",
    )
    return cluster.run_client(pod).value()


def await_condition(
    cluster: Cluster, name: str, namespace: str, kind: str, status: str, *, seconds: float
) -> Json:
    """Raises: TimeoutError with the conditions seen last."""
    found = wait_until(
        lambda: cluster.conditions("bucketroute", name, namespace),
        lambda seen: seen.get(kind, {}).get("status") == status,
        seconds=seconds,
    )
    return found[kind]


@pytest.fixture(scope="module")
def reports(bucketroute: Installation, team: str) -> str:
    """The route of the manifest, applied; the gateways have it and its credentials."""
    cluster = bucketroute.cluster
    cluster.kubectl("apply", "-f", str(HERE / "manifests/bucketroute/route.yaml"))
    await_condition(cluster, "reports", team, "Ready", "True", seconds=PROGRAMMED_SECONDS)
    await_condition(cluster, "reports", team, "CredentialReady", "True", seconds=CREDENTIAL_SECONDS)
    return "reports"


def test_the_installation_passes_its_own_test(bucketroute: Installation) -> None:
    output = bucketroute.cluster.helm("test", "bucketroute", "--namespace", SYSTEM_NAMESPACE)
    assert "Phase:          Succeeded" in output


def test_the_route_says_that_everything_holds(
    bucketroute: Installation, team: str, reports: str
) -> None:
    found = bucketroute.cluster.get("bucketroute", reports, team)
    generation = found["metadata"]["generation"]
    conditions = {item["type"]: item for item in found["status"]["conditions"]}
    for kind in ("Accepted", "ResolvedRefs", "Programmed", "CredentialReady", "Ready"):
        assert conditions[kind]["status"] == "True", conditions
        assert conditions[kind]["observedGeneration"] == generation


def test_a_pod_uploads_64_mib_and_they_are_in_the_backend_under_the_routes_prefix(
    bucketroute: Installation, team: str, reports: str
) -> None:
    sent = upload(bucketroute, team, bucket=reports, SIZE_MIB="64").value()
    stored = in_backend(bucketroute.cluster)
    assert set(stored) == {"team-a/reports/2026/report.bin"}
    found = stored["team-a/reports/2026/report.bin"]
    assert found["sha256"] == sent["sha256"]
    assert found["size"] == 64 * MIB
    assert found["etag"] == sent["etag"]
    assert found["etag"].endswith('-8"')  # eight parts: it was a multipart upload


def test_the_workloads_own_token_opens_nothing_in_the_backend(
    bucketroute: Installation, team: str
) -> None:
    """So what is in the backend came with credentials that MinIO gave for the gateway's token."""
    role = route("reports")["spec"]["backend"]["roleARN"]
    pod = ClientPod(
        namespace=team,
        name="direct",
        program=program("put_direct"),
        service_account="reporter",
        audience="minio",
        environment={
            "BACKEND_ROLE_ARN": role,
            "BUCKET": BACKEND_BUCKET,
            "TOKEN_FILE": f"{TOKEN_FOLDER}/token",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    assert bucketroute.cluster.run_client(pod).value()["error"]["Code"] == "AccessDenied"


def test_another_service_account_is_refused(
    bucketroute: Installation, team: str, reports: str
) -> None:
    environment = workload_environment(bucketroute.endpoint, team, "default")
    pod = ClientPod(
        namespace=team,
        name="stranger",
        program=program("upload"),
        environment=environment | {"BUCKET": reports, "KEY": "stranger"},
    )
    error = bucketroute.cluster.run_client(pod).value()["error"]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")


def test_a_wrong_role_shows_in_status_and_to_the_client_and_is_repaired_without_a_restart(
    bucketroute: Installation, team: str, reports: str
) -> None:
    cluster = bucketroute.cluster
    cluster.apply(route("wrong", roleARN=WRONG_ROLE))
    condition = await_condition(
        cluster, "wrong", team, "CredentialReady", "False", seconds=CREDENTIAL_SECONDS
    )
    assert condition["reason"] == "InvalidParameterValue", condition
    ready = await_condition(cluster, "wrong", team, "Ready", "False", seconds=CREDENTIAL_SECONDS)
    assert ready["reason"] == condition["reason"]
    error = upload(bucketroute, team, bucket="wrong").value()["error"]
    assert (error["status"], error["Code"]) == (502, "BackendAuthenticationFailed"), error
    assert cluster.conditions("bucketroute", reports, team)["Ready"]["status"] == "True"

    cluster.apply(route("wrong"))
    await_condition(cluster, "wrong", team, "Ready", "True", seconds=CREDENTIAL_SECONDS)
    assert upload(bucketroute, team, bucket="wrong").value()["etag"]
