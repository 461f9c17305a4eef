"""A backend that fails in every way: the client gets S3's error document, or sees the break."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.clients import RawClient, RawResponse
from bucketroute_testing.error_rows import Call
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_NAME,
    BUCKET,
    Gateway,
    GatewayOptions,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.manifests import (
    AccessRule,
    RouteBackend,
    Unsigned,
    bucket_backend,
    bucket_route,
)
from bucketroute_testing.names import silent_address
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, Headers, KiB, MiB, ReadPlan, s3_error

IDLE_SECONDS = 1
PATIENT = "patient"
DOWN = "down"
SILENT = "silent"


@pytest.fixture(scope="module")
def full_port() -> Iterator[int]:
    with silent_address() as port:
        yield port


@pytest.fixture(scope="module")
def gateway(
    shared_wire: WireBackend, full_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Routes with short deadlines before the recording backend, a closed port and a full one."""
    writer = [AccessRule(access_keys=["writer"])]
    short = {"timeouts": {"idle": f"{IDLE_SECONDS}s", "connect": f"{IDLE_SECONDS}s"}}
    store = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix="p/")
    manifests = (
        bucket_route(PATIENT, store, writer, extra=short),
        bucket_backend(DOWN, f"http://127.0.0.1:{free_port()}", Unsigned()),
        bucket_route(DOWN, RouteBackend(ref=DOWN, bucket="bucket"), writer),
        bucket_backend(SILENT, f"http://127.0.0.1:{full_port}", Unsigned()),
        bucket_route(SILENT, RouteBackend(ref=SILENT, bucket="bucket"), writer, extra=short),
    )
    options = GatewayOptions(manifests=manifests)
    directory = tmp_path_factory.mktemp("faults")
    with running_gateway(directory, recording_backend(shared_wire), options) as running:
        with closing(running.client()) as client:
            client.list_objects_v2(Bucket=BUCKET)
        yield running


@pytest.fixture
def faulty(shared_wire: WireBackend, gateway: Gateway) -> Iterator[WireBackend]:
    """The recording backend, with nothing scripted or recorded."""
    del gateway  # its first request is over
    shared_wire.forget()
    yield shared_wire
    shared_wire.clear_scripts()


def get(gateway: Gateway, bucket: str = BUCKET, target: str = "/k") -> RawResponse:
    path = f"/{bucket}{target}"
    signed = gateway.signer.sign("GET", gateway.endpoint + path)
    with gateway.raw() as raw:
        raw.send_head("GET", path, signed.headers)
        return raw.read_response()


def assert_error_document(answer: RawResponse, status: int, code: str) -> None:
    assert (answer.status, answer.header("content-type")) == (status, "application/xml")
    root = ET.fromstring(answer.body)
    assert (root.tag, root.findtext("Code")) == ("Error", code)
    assert root.findtext("Message")
    assert root.findtext("RequestId") == answer.header("x-amz-request-id")
    assert root.findtext("Resource", "").startswith("/")


@pytest.mark.rule("3.13", "3.1.7")
@pytest.mark.parametrize("target", ["/k", "?list-type=2", "/k?tagging="])
def test_a_backend_that_refuses_connections_is_unavailable(gateway: Gateway, target: str) -> None:
    answer = get(gateway, DOWN, target)
    assert_error_document(answer, 503, "ServiceUnavailable")
    assert answer.header("retry-after") == "1"


@pytest.mark.rule("3.13")
def test_a_backend_that_takes_no_connection_times_out(gateway: Gateway) -> None:
    started = time.monotonic()
    assert_error_document(get(gateway, SILENT), 504, "GatewayTimeout")
    assert time.monotonic() - started < IDLE_SECONDS + 4


@pytest.mark.rule("3.13")
@pytest.mark.parametrize("target", ["/k", "?list-type=2"])
def test_a_backend_that_does_not_answer_times_out(
    faulty: WireBackend, gateway: Gateway, target: str
) -> None:
    faulty.script("GET", "*", Answer(delay_seconds=8), times=1)
    started = time.monotonic()
    assert_error_document(get(gateway, PATIENT, target), 504, "GatewayTimeout")
    assert time.monotonic() - started < IDLE_SECONDS + 4


GARBAGE = {
    "no HTTP": b"220 ready for SMTP\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x-padding: y\r\n" * 6000,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.rule("3.13")
@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_an_answer_that_is_no_http_is_an_error(
    faulty: WireBackend, gateway: Gateway, raw: bytes
) -> None:
    faulty.script("PUT", "*", Answer(raw=raw))
    path = f"/{BUCKET}/k"
    with gateway.raw() as client:
        client.send_head("PUT", path, gateway.put_headers("k", b"body"))
        client.send(b"body")
        answer = client.read_response("PUT")
    assert answer.status in (502, 503)
    assert_error_document(answer, answer.status, answer.error_code or "none")


BAD_DOCUMENTS = {
    "a page that is no XML": ("?list-type=2", b"<html>busy"),
    "a page of another kind": ("?list-type=2", b"<CopyObjectResult/>"),
    "tags that end early": ("/k?tagging=", b"<Tagging><TagSet>"),
    "a document with a DTD": ("?list-type=2", b"<!DOCTYPE x [<!ENTITY e 'x'>]><a>&e;</a>"),
}


@pytest.mark.rule("3.8.8")
@pytest.mark.parametrize(("target", "body"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_document_that_is_not_the_answer_is_no_success(
    faulty: WireBackend, gateway: Gateway, target: str, body: bytes
) -> None:
    faulty.script("GET", "*", Answer(body=body))
    assert_error_document(get(gateway, target=target), 503, "ServiceUnavailable")


@pytest.mark.rule("3.6.6")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_neither_followed_nor_passed_on(
    faulty: WireBackend, gateway: Gateway, status: int
) -> None:
    with WireBackend() as elsewhere:
        location: Headers = (("Location", f"{elsewhere.endpoint}/b/k"),)
        redirect = s3_error(status, "TemporaryRedirect", headers=location)
        faulty.script("GET", "*", redirect)
        answer = get(gateway)
        assert elsewhere.requests() == ()
    assert_error_document(answer, 502, "BadGateway")
    assert answer.header("location") is None


@pytest.mark.rule("3.6.7")
def test_a_throttling_backend_is_passed_on_with_its_advice(
    faulty: WireBackend, gateway: Gateway
) -> None:
    advice: Headers = (("Retry-After", "17"),)
    faulty.script("GET", "*", s3_error(503, "SlowDown", headers=advice))
    answer = get(gateway)
    assert_error_document(answer, 503, "SlowDown")
    assert answer.header("retry-after") == "17"


@pytest.mark.rule("3.13")
def test_an_internal_error_of_the_backend_is_one(faulty: WireBackend, gateway: Gateway) -> None:
    faulty.script("GET", "*", s3_error(500, "InternalError"))
    with closing(gateway.client()) as client, pytest.raises(ClientError) as caught:
        client.get_object(Bucket=BUCKET, Key="k")
    assert caught.value.response["Error"]["Code"] == "InternalError"
    assert_error_document(get(gateway), 500, "InternalError")


SHORT = {
    "cut": Answer(generated_bytes=MiB, close_after_bytes=300 * KiB),
    "shorter than promised": Answer(generated_bytes=300 * KiB, length_promised=MiB, close=True),
    "cut, chunked": Answer(generated_bytes=MiB, close_after_bytes=300 * KiB, is_chunked=True),
    "silent in the middle": Answer(generated_bytes=MiB, dribble_bytes=300 * KiB, dribble_seconds=8),
}


@pytest.mark.rule("3.2.17")
@pytest.mark.parametrize("answer", SHORT.values(), ids=SHORT)
def test_a_download_that_breaks_off_is_never_complete(
    faulty: WireBackend, gateway: Gateway, answer: Answer
) -> None:
    faulty.script("GET", "*", answer, times=1)
    with pytest.raises(ConnectionError):
        get(gateway, PATIENT)


@pytest.mark.rule("3.2.17")
def test_an_upload_that_the_backend_resets_fails(faulty: WireBackend, gateway: Gateway) -> None:
    faulty.script("PUT", "*", read=ReadPlan(abort_at_bytes=256 * KiB))
    with gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", gateway.put_headers("k", b"x" * MiB))
        raw.send(b"x" * (MiB // 2))
        answer = raw.read_response("PUT")
    assert_error_document(answer, 503, "ServiceUnavailable")
    assert faulty.store.keys(BACKEND_BUCKET) == []


@pytest.mark.rule("3.2.17")
def test_an_upload_that_the_backend_stops_reading_times_out(
    faulty: WireBackend, gateway: Gateway
) -> None:
    faulty.script("PUT", "*", read=ReadPlan(pause_at_bytes=64 * KiB, pause_seconds=8))
    size = 64 * MiB
    signed = gateway.signer.sign("PUT", f"{gateway.endpoint}/{PATIENT}/k")
    length: Headers = (("Content-Length", str(size)),)
    with gateway.raw() as raw:
        raw.send_head("PUT", f"/{PATIENT}/k", (*signed.headers, *length))
        answer = send_until_answered(raw, size)
    assert_error_document(answer, 504, "GatewayTimeout")


def send_until_answered(raw: RawClient, size: int) -> RawResponse:
    """Send a body until the peer takes no more, then read its answer."""
    try:
        for _ in range(size // MiB):
            raw.send(bytes(MiB))
    except ConnectionError:
        pass
    return raw.read_response("PUT")


LATE: dict[str, Call] = {
    "copy": lambda s3: s3.copy_object(Bucket=BUCKET, Key="k", CopySource=f"{BUCKET}/source"),
    "complete": lambda s3: s3.complete_multipart_upload(
        Bucket=BUCKET,
        Key="k",
        UploadId="u",
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]},
    ),
}


@pytest.mark.rule("3.6.7")
@pytest.mark.parametrize("call", LATE.values(), ids=LATE)
def test_an_error_after_a_200_is_seen_as_one(
    faulty: WireBackend, gateway: Gateway, call: Call
) -> None:
    late = s3_error(200, "InternalError")
    faulty.script("*", "*", Answer(body=b"\n \n" + late.body))
    with (
        closing(gateway.client()) as client,
        pytest.raises(ClientError, match="InternalError"),
    ):
        call(client)


def test_a_kept_connection_that_died_costs_a_read_nothing(
    faulty: WireBackend, gateway: Gateway
) -> None:
    faulty.store.put(BACKEND_BUCKET, "p/k", b"stored")
    assert get(gateway, PATIENT).body == b"stored"
    # Drops the connection when the next request is on it, before a byte of its answer.
    faulty.script("GET", "*", Answer(raw=b""), times=1)
    before = faulty.server.connection_count
    assert get(gateway, PATIENT).body == b"stored"
    wait_until(
        lambda: faulty.server.connection_count == before + 1,
        deadline_seconds=2,
        what="a second connection",
    )
