"""Each error as a boto3 program sees it: the exception class, the code, the status, nothing of the
backend.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.error_rows import ROWS, Call, Row, assert_error
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_NAME,
    BUCKET,
    BackendUnderTest,
    Gateway,
    GatewayOptions,
    StartGateway,
    random_key,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.manifests import (
    AccessRule,
    Manifest,
    RouteBackend,
    Unsigned,
    access_key_secret,
    bucket_backend,
    bucket_route,
)
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.sts import StsBehaviour
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Headers, s3_error

READER = random_key()
ANYWHERE = {name: row for name, row in ROWS.items() if not row.needs_minio}
ON_MINIO = {name: row for name, row in ROWS.items() if row.needs_minio}


def extra_manifests(closed_port: int) -> tuple[Manifest, ...]:
    """A reader without write access, a route with limits, a route to a backend that is down."""
    store = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix="other/")
    down = RouteBackend(ref="down", bucket=BACKEND_BUCKET)
    writer = [AccessRule(access_keys=["writer"])]
    limits = {"limits": {"maxObjectSize": "1Mi"}}
    suspended = {"state": "Suspended"}
    return (
        access_key_secret("reader", READER),
        bucket_backend("down", f"http://127.0.0.1:{closed_port}", Unsigned()),
        bucket_route("limited", store, writer, extra=limits),
        bucket_route("suspended", store, writer, extra=suspended),
        bucket_route("unreachable", down, writer),
    )


@pytest.fixture(scope="module")
def gateway(
    backend: BackendUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    reads = AccessRule(access_keys=["reader"], permissions=["Read"], prefixes=["public/"])
    options = GatewayOptions(access=[reads], manifests=extra_manifests(free_port()))
    with running_gateway(tmp_path_factory.mktemp("errors"), backend, options) as running:
        with closing(running.client()) as client:
            client.put_object(Bucket=BUCKET, Key="k", Body=b"exists")
        yield running


@pytest.mark.rule("3.13")
@pytest.mark.parametrize("row", ANYWHERE.values(), ids=ANYWHERE)
def test_the_writer_sees(gateway: Gateway, row: Row) -> None:
    with closing(gateway.client()) as client:
        assert_error(client, row)


@pytest.mark.rule("3.13")
@pytest.mark.minio
@pytest.mark.parametrize("backend", ["minio"], indirect=True)
@pytest.mark.parametrize("row", ON_MINIO.values(), ids=ON_MINIO)
def test_the_writer_sees_of_minio(gateway: Gateway, row: Row) -> None:
    with closing(gateway.client()) as client:
        assert_error(client, row)


DENIED: dict[str, Call] = {
    "write": lambda s3: s3.put_object(Bucket=BUCKET, Key="public/k", Body=b""),
    "read outside the prefix": lambda s3: s3.get_object(Bucket=BUCKET, Key="private/k"),
    "read a sibling of the prefix": lambda s3: s3.get_object(Bucket=BUCKET, Key="public-not/k"),
    "delete": lambda s3: s3.delete_object(Bucket=BUCKET, Key="public/k"),
    "list": lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="public/"),
    "another route": lambda s3: s3.get_object(Bucket="limited", Key="k"),
}


@pytest.mark.rule("3.10.11", "3.10.12")
@pytest.mark.parametrize("call", DENIED.values(), ids=DENIED)
def test_what_no_rule_grants_is_denied(gateway: Gateway, call: Call) -> None:
    with closing(gateway.client(READER)) as client:
        assert_error(client, Row(call=call, status=403, code="AccessDenied"))


def get_k(client: Any) -> object:
    return client.get_object(Bucket=BUCKET, Key="k")


@pytest.mark.rule("3.10.9")
def test_callers_that_are_not_who_they_say(gateway: Gateway) -> None:
    wrong_secret = AccessKey(
        access_key_id=gateway.key.access_key_id, secret_access_key="not-the-secret"
    )
    rows = {
        wrong_secret: Row(call=get_k, status=403, code="SignatureDoesNotMatch"),
        random_key(): Row(call=get_k, status=403, code="InvalidAccessKeyId"),
    }
    for key, row in rows.items():
        with closing(gateway.client(key)) as client:
            assert_error(client, row)
    with closing(gateway.anonymous_client()) as client:
        assert_error(client, Row(call=get_k, status=403, code="AccessDenied"))


@pytest.mark.rule("3.10.6")
@pytest.mark.parametrize("offset", [timedelta(minutes=-16), timedelta(minutes=16)], ids=str)
def test_a_request_of_another_time_is_refused(gateway: Gateway, offset: timedelta) -> None:
    url = f"{gateway.endpoint}/{BUCKET}/k"
    signed = gateway.signer.sign("GET", url, at=datetime.now(UTC) + offset)
    with gateway.raw() as raw:
        raw.send_head("GET", f"/{BUCKET}/k", signed.headers)
        answer = raw.read_response()
    assert (answer.status, answer.error_code) == (403, "RequestTimeTooSkewed")


@pytest.mark.rule("3.13")
def test_an_upload_without_a_length_is_refused(gateway: Gateway) -> None:
    chunked: Headers = (("Transfer-Encoding", "chunked"),)
    signed = gateway.signer.sign("PUT", f"{gateway.endpoint}/{BUCKET}/no-length")
    with gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/no-length", (*signed.headers, *chunked))
        raw.send(b"1\r\nx\r\n0\r\n\r\n")
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (411, "MissingContentLength")


def test_a_malformed_batch_delete_is_refused(gateway: Gateway) -> None:
    body = b"<!DOCTYPE d [<!ENTITY e 'x'>]><Delete><Object><Key>&e;</Key></Object></Delete>"
    target = f"/{BUCKET}?delete="
    signed = gateway.signer.sign(
        "POST", f"{gateway.endpoint}{target}", payload_hash=hashlib.sha256(body).hexdigest()
    )
    with gateway.raw() as raw:
        raw.send_head("POST", target, (*signed.headers, ("Content-Length", str(len(body)))))
        raw.send(body)
        answer = raw.read_response("POST")
    assert (answer.status, answer.error_code) == (400, "MalformedXML")


STS_ROWS = {
    "STS denies": (
        StsBehaviour(error_code="AccessDenied", status=403),
        Row(call=get_k, status=403, code="AccessDenied"),
    ),
    "STS refuses the token": (
        StsBehaviour(error_code="InvalidIdentityToken"),
        Row(call=get_k, status=502, code="BackendAuthenticationFailed"),
    ),
    "STS throttles": (
        StsBehaviour(error_code="Throttling"),
        Row(call=get_k, status=503, code="SlowDown"),
    ),
}


@pytest.mark.rule("3.11.5")
@pytest.mark.parametrize(("behaviour", "row"), STS_ROWS.values(), ids=STS_ROWS)
def test_a_failed_exchange_tells_its_code_only(
    wire: WireBackend, start_gateway: StartGateway, behaviour: StsBehaviour, row: Row
) -> None:
    wire.sts.behaviour = behaviour
    gateway = start_gateway(recording_backend(wire))
    with closing(gateway.client()) as client:
        error = assert_error(client, row)
    assert "told by the script" not in str(error.response)
    told = f'"detail":"the STS {"throttles" if row.status == 503 else "refuses the role"}: '
    wait_until(
        lambda: f"{told}{behaviour.error_code}" in gateway.process.log_text(),
        deadline_seconds=10,
        what="the access log's detail",
    )


@pytest.mark.rule("3.6.7")
@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_backends_refusal_keeps_its_status(
    wire: WireBackend, start_gateway: StartGateway, status: int
) -> None:
    wire.script("GET", "*", s3_error(status, "BackendCode"))
    with closing(start_gateway(recording_backend(wire)).client()) as client:
        with pytest.raises(ClientError) as caught:
            get_k(client)
        with pytest.raises(ClientError) as listing:
            client.list_objects_v2(Bucket=BUCKET)
    for error in (caught.value, listing.value):
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert "backend-resource" not in str(error.response)
