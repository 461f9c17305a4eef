"""A wrong signature, explained to the client where the class has its debug switch on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.clients import object_url
from bucketroute_testing.gateway import (
    BUCKET,
    Gateway,
    GatewayOptions,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.manifests import ClassPolicy, bucket_route_class
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend


@pytest.fixture(scope="module")
def debugging(
    shared_wire: WireBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    policy = ClassPolicy(extra={"signatureDiagnostics": "Enabled"})
    options = GatewayOptions(manifests=[bucket_route_class("default", policy)])
    directory = tmp_path_factory.mktemp("diagnosis")
    with running_gateway(directory, recording_backend(shared_wire), options) as running:
        yield running


def refused(gateway: Gateway) -> Any:
    """What boto3 says of a key whose secret came with the line break of its file."""
    key = replace(gateway.key, secret_access_key=f"{gateway.key.secret_access_key}\n")
    with pytest.raises(ClientError) as caught:
        gateway.client(key).list_objects_v2(Bucket=BUCKET)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return caught.value.response["Error"]


def test_boto3_tells_its_user_what_differs(debugging: Gateway) -> None:
    error = refused(debugging)
    assert (error["Code"], error["FirstDifference"]) == (
        "SignatureDoesNotMatch",
        "secret access key",
    )
    assert error["Message"].endswith("The client's secret access key ends in a line break.")
    assert error["CanonicalRequest"].startswith(f"GET\n/{BUCKET}\n")
    assert debugging.key.secret_access_key not in str(error)


def test_a_host_that_a_proxy_changed_is_named_in_the_answer_and_in_the_log(
    debugging: Gateway,
) -> None:
    headers = debugging.signer.sign("GET", object_url("http://public:443", BUCKET, "k")).headers
    changed = tuple((name, "public" if name == "Host" else value) for name, value in headers)
    with debugging.raw() as raw:
        raw.send_head("GET", f"/{BUCKET}/k", changed)
        answer = raw.read_response("GET")
    assert answer.status == 403
    assert b"<FirstDifference>header host</FirstDifference>" in answer.body
    detail = '"detail":"first difference of the signature: header host"'
    wait_until(
        lambda: detail in debugging.process.log_text(),
        deadline_seconds=10,
        what="the access log has the component",
    )


def test_without_the_switch_a_wrong_signature_is_refused_with_aws_s_words_only(
    shared_gateway: Gateway,
) -> None:
    error = refused(shared_gateway)
    assert error["Message"].endswith("Check your secret access key and signing method.")
    assert error.keys() <= {"Code", "Message", "Resource", "RequestId"}
