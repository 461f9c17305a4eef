"""What STS does not trust: seen in the route's status within 30 s, told to the client, repaired."""

from collections.abc import Callable, Iterator

import pytest

from bucketroute_testing.cluster import Installation, Json
from bucketroute_testing.workloads import (
    CREDENTIAL_SECONDS,
    PROGRAMMED_SECONDS,
    ClientPod,
    Workload,
    program,
    route,
)

KEY = "trusted"
# The data plane tries a refused exchange again after a while of its own, at last every 5 minutes.
REPAIR_SECONDS = 330.0


@pytest.fixture
def reporter(bucketroute: Installation, team: str) -> Workload:
    return Workload(bucketroute=bucketroute, namespace=team, service_account="reporter")


@pytest.fixture
def removed_trust(
    bucketroute: Installation, trust_the_gateway: Callable[[], None]
) -> Iterator[None]:
    """MinIO's STS refuses every exchange; afterwards it trusts the gateway again."""
    ClientPod(
        namespace="minio", name="untrust", program=program("remove_trust"), secret="minio"
    ).run(bucketroute.cluster).value()
    yield
    trust_the_gateway()


def await_credentials(reporter: Workload, name: str, status: str, seconds: float) -> Json:
    return reporter.bucketroute.cluster.await_condition(
        "bucketroute",
        name,
        reporter.namespace,
        is_now=("CredentialReady", status),
        seconds=seconds,
    )


def assert_refused(reporter: Workload, name: str) -> None:
    condition = await_credentials(reporter, name, "False", CREDENTIAL_SECONDS)
    assert condition["reason"] == "InvalidParameterValue", condition
    error = reporter.run("upload", "upload", BUCKET=name, KEY=KEY).value()["error"]
    assert (error["status"], error["Code"]) == (502, "BackendAuthenticationFailed"), error


@pytest.mark.usefixtures("removed_trust")
def test_removed_trust_shows_and_is_repaired_without_a_restart(
    reporter: Workload, trust_the_gateway: Callable[[], None]
) -> None:
    reporter.bucketroute.cluster.apply(route("untrusted", reporter.namespace))
    assert_refused(reporter, "untrusted")
    trust_the_gateway()
    await_credentials(reporter, "untrusted", "True", REPAIR_SECONDS)
    assert reporter.run("upload", "upload", BUCKET="untrusted", KEY=KEY).value()["etag"]


def test_a_wrong_audience_shows_and_goes_with_the_right_one(
    reporter: Workload, install: Callable[..., Installation]
) -> None:
    reporter.bucketroute.cluster.apply(route("audience", reporter.namespace))
    await_credentials(reporter, "audience", "True", PROGRAMMED_SECONDS)
    install("--set", "defaultClass.spec.identity.audience=somebody-else")
    try:
        assert_refused(reporter, "audience")
    finally:
        install()
    await_credentials(reporter, "audience", "True", REPAIR_SECONDS)
    assert reporter.run("upload", "upload", BUCKET="audience", KEY=KEY).value()["etag"]
