"""The whole chain: helm install, kubectl apply, a pod that uploads, the object in the backend.

No key is handed out: the workload has its service account's token, the gateway has its own, and
MinIO's only policy allows what a session of the gateway's subject does.
"""

import pytest

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    SYSTEM_NAMESPACE,
    Cluster,
    Installation,
    Json,
    wait_until,
)
from bucketroute_testing.workloads import (
    CREDENTIAL_SECONDS,
    PROGRAMMED_SECONDS,
    TOKEN_FOLDER,
    ClientPod,
    Workload,
    in_backend,
    program,
    route,
)

MIB = 1024 * 1024
KEY = "2026/report.bin"
WRONG_ROLE = "arn:minio:iam:::role/AAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def reporter(bucketroute: Installation, team: str) -> Workload:
    return Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")


@pytest.fixture(scope="module")
def reports(bucketroute: Installation, team: str) -> str:
    """The team's route, applied; the gateways have it and its credentials."""
    cluster = bucketroute.cluster
    cluster.apply(route("reports", team))
    for condition in ("Ready", "CredentialReady", "BucketFound"):
        cluster.await_condition(
            "bucketroute", "reports", team, is_now=(condition, "True"), seconds=PROGRAMMED_SECONDS
        )
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
    for kind in (
        "Accepted",
        "ResolvedRefs",
        "Programmed",
        "CredentialReady",
        "BucketFound",
        "Ready",
    ):
        assert conditions[kind]["status"] == "True", conditions
        assert conditions[kind]["observedGeneration"] == generation


def test_a_pod_uploads_64_mib_and_they_are_in_the_backend_under_the_routes_prefix(
    bucketroute: Installation, reporter: Workload, reports: str
) -> None:
    sent = reporter.run("upload", "upload", BUCKET=reports, KEY=KEY, SIZE=str(64 * MIB)).value()
    stored = in_backend(bucketroute.cluster)
    assert {key for key in stored if key.endswith(KEY)} == {f"team-a/reports/{KEY}"}
    found = stored[f"team-a/reports/{KEY}"]
    assert found["sha256"] == sent["sha256"]
    assert found["size"] == 64 * MIB
    assert found["etag"] == sent["etag"]
    assert found["etag"].endswith('-8"')  # eight parts: it was a multipart upload


def test_the_workloads_own_token_opens_nothing_in_the_backend(
    bucketroute: Installation, team: str
) -> None:
    """So what is in the backend came with credentials that MinIO gave for the gateway's token."""
    pod = ClientPod(
        namespace=team,
        name="direct",
        program=program("put_direct"),
        service_account="reporter",
        audience="minio",
        environment={
            "BACKEND_ROLE_ARN": route("reports", team)["spec"]["backend"]["roleARN"],
            "BUCKET": BACKEND_BUCKET,
            "TOKEN_FILE": f"{TOKEN_FOLDER}/token",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    assert pod.run(bucketroute.cluster).value()["error"]["Code"] == "AccessDenied"


def test_another_service_account_is_refused(
    bucketroute: Installation, team: str, reports: str
) -> None:
    stranger = Workload(bucketroute=bucketroute, namespace=team, service_account="default")
    error = stranger.run("stranger", "upload", BUCKET=reports, KEY="stranger").value()["error"]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")


def await_unready(cluster: Cluster, name: str, namespace: str, reason: str) -> None:
    """Which may first be so since a gateway is late to take the route up."""
    wait_until(
        lambda: cluster.conditions("bucketroute", name, namespace)["Ready"],
        lambda found: (found["status"], found["reason"]) == ("False", reason),
        seconds=CREDENTIAL_SECONDS,
    )


def test_a_wrong_role_shows_in_status_and_to_the_client_and_is_repaired_without_a_restart(
    bucketroute: Installation, team: str, reporter: Workload, reports: str
) -> None:
    cluster = bucketroute.cluster
    cluster.apply(route("wrong", team, roleARN=WRONG_ROLE))
    condition = cluster.await_condition(
        "bucketroute",
        "wrong",
        team,
        is_now=("CredentialReady", "False"),
        seconds=CREDENTIAL_SECONDS,
    )
    assert condition["reason"] == "InvalidParameterValue", condition
    await_unready(cluster, "wrong", team, condition["reason"])
    error = reporter.run("upload", "upload", BUCKET="wrong", KEY=KEY).value()["error"]
    assert (error["status"], error["Code"]) == (502, "BackendAuthenticationFailed"), error
    assert cluster.conditions("bucketroute", reports, team)["Ready"]["status"] == "True"

    cluster.apply(route("wrong", team))
    cluster.await_condition(
        "bucketroute", "wrong", team, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )
    assert reporter.run("upload", "upload", BUCKET="wrong", KEY=KEY).value()["etag"]


def test_a_bucket_that_the_backend_does_not_have_shows_in_status(
    bucketroute: Installation, team: str
) -> None:
    cluster = bucketroute.cluster
    cluster.apply(route("misspelt", team, bucket=f"{BACKEND_BUCKET}-misspelt"))
    condition = cluster.await_condition(
        "bucketroute",
        "misspelt",
        team,
        is_now=("BucketFound", "False"),
        seconds=CREDENTIAL_SECONDS,
    )
    assert condition["reason"] == "BackendBucketNotFound"
    await_unready(cluster, "misspelt", team, condition["reason"])
    said = cluster.conditions("bucketroute", "misspelt", team)
    assert said["CredentialReady"]["status"] == "True"

    cluster.apply(route("misspelt", team))
    cluster.await_condition(
        "bucketroute", "misspelt", team, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )


def test_a_route_that_is_edited_to_a_wrong_bucket_is_never_called_ready(
    bucketroute: Installation, team: str
) -> None:
    cluster = bucketroute.cluster
    cluster.apply(route("edited", team))
    cluster.await_condition(
        "bucketroute", "edited", team, is_now=("Ready", "True"), seconds=PROGRAMMED_SECONDS
    )
    cluster.apply(route("edited", team, bucket=f"{BACKEND_BUCKET}-misspelt"))
    said: list[dict[str, Json]] = []

    def conditions() -> dict[str, Json]:
        said.append(cluster.conditions("bucketroute", "edited", team))
        return said[-1]

    wait_until(
        conditions,
        lambda found: found["Ready"]["reason"] == "BackendBucketNotFound",
        seconds=PROGRAMMED_SECONDS,
    )
    assert said[-1]["Ready"]["observedGeneration"] == 2
    # Unless MinIO gives no answer for long, which does not hold a route back.
    known = [found for found in said if found["BucketFound"]["status"] != "Unknown"]
    ready = [found["Ready"] for found in known if found["Ready"]["observedGeneration"] == 2]
    assert all(found["status"] == "False" for found in ready)
