"""On the wire to the backend: exact lengths, no chunked coding, signatures, connections."""

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bucketroute_testing.chunk_forms import CHUNK_FORMS, ChunkedUpload, ChunkForm, crc32_of
from bucketroute_testing.clients import RawClient
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_PREFIX,
    BUCKET,
    Gateway,
)
from bucketroute_testing.processes import wait_until
from bucketroute_testing.signing import UNSIGNED_PAYLOAD, is_signed_by
from bucketroute_testing.sts import secret_key_of
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import (
    Answer,
    Framing,
    Headers,
    KiB,
    MiB,
    ReadPlan,
    RecordedRequest,
    s3_error,
)

LENGTH = 300 * KiB


@pytest.fixture
def s3(shared_gateway: Gateway) -> Iterator[Any]:
    with closing(shared_gateway.client()) as client:
        yield client


def assert_fixed_length(request: RecordedRequest) -> None:
    assert request.head.framing is Framing.CONTENT_LENGTH
    assert request.head.header("content-length") == str(request.body_length)
    assert "transfer-encoding" not in request.head.header_names


@pytest.mark.rule("3.2.16", "3.2.9", "3.2.10")
def test_a_put_goes_out_with_its_length_its_checksum_and_a_whole_signature(
    recorded: WireBackend, s3: Any
) -> None:
    body = payload(LENGTH)
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    s3.put_object(Bucket=BUCKET, Key="k", Body=body, ContentMD5=md5, Metadata={"m": "v"})
    request = recorded.only_request("PUT")
    assert_fixed_length(request)
    assert request.body == body
    assert request.head.header("content-md5") == md5
    assert request.head.header("x-amz-checksum-crc32") == crc32_of(body)
    assert request.head.header("x-amz-content-sha256") == UNSIGNED_PAYLOAD
    amz = {name for name in request.head.header_names if name.startswith("x-amz-")}
    assert amz | {"host", "content-md5"} <= request.head.signed_headers
    assert is_signed_by(request.head, current_secret(recorded))


@pytest.mark.rule("3.2.18")
def test_an_upload_part_keeps_its_number_and_upload(recorded: WireBackend, s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="m/p")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="m/p", UploadId=upload, PartNumber=7, Body=b"x" * LENGTH)
    request = recorded.only_request("PUT")
    assert_fixed_length(request)
    assert request.head.query == {"partNumber": "7", "uploadId": upload}
    assert request.head.bucket_and_key == (BACKEND_BUCKET, f"{BACKEND_PREFIX}m/p")
    assert is_signed_by(request.head, current_secret(recorded))


@pytest.mark.rule("3.2.16", "3.5.9")
@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_chunked_uploads_go_out_with_a_fixed_length(
    recorded: WireBackend, shared_gateway: Gateway, form: ChunkForm
) -> None:
    answer = upload(shared_gateway, form, payload(LENGTH)).send(shared_gateway.endpoint)
    assert answer.status == 200, answer.body
    request = recorded.only_request("PUT")
    assert_fixed_length(request)
    assert is_signed_by(request.head, current_secret(recorded))
    stored = recorded.store.buckets[BACKEND_BUCKET][f"{BACKEND_PREFIX}chunked.bin"]
    assert stored.body == payload(LENGTH)
    assert "content-encoding" not in dict(stored.headers)


@pytest.mark.rule("3.5.8", "3.1.9")
def test_nothing_of_the_client_but_the_allow_list_reaches_the_backend(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    extra: Headers = (("Cookie", "a=b"), ("X-Forwarded-For", "192.0.2.1"), ("X-Unknown", "1"))
    put(shared_gateway, b"x", headers=extra)
    head = recorded.only_request("PUT").head
    assert head.header_names.isdisjoint({"cookie", "x-forwarded-for", "x-unknown", "via"})
    assert shared_gateway.key.access_key_id not in (head.header("authorization") or "")
    assert (head.header("user-agent") or "").lower().startswith("bucketroute")
    assert head.header("host") == recorded.endpoint.removeprefix("http://")


@pytest.mark.rule("3.6.3", "3.6.6")
def test_nothing_of_the_backend_reaches_the_client(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    recorded.script("GET", "*/broken", s3_error(403, "AccessDenied"))
    for key in ("missing", "broken"):
        signed = shared_gateway.signer.sign("GET", f"{shared_gateway.endpoint}/{BUCKET}/{key}")
        with shared_gateway.raw() as raw:
            raw.send_head("GET", f"/{BUCKET}/{key}", signed.headers)
            answer = raw.read_response()
        everything = answer.body + repr(answer.headers).encode()
        leaked = (BACKEND_BUCKET, BACKEND_PREFIX, "backend-host-id", "backend-server")
        assert [text for text in leaked if text.encode() in everything] == []
        assert answer.header("x-amz-request-id")


def test_requests_share_a_backend_connection(recorded: WireBackend, s3: Any) -> None:
    for number in range(10):
        s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x" * 1000)
        s3.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read()
    used = {request.head.connection_id for request in recorded.requests()}
    assert len(used) == 1


@pytest.mark.rule("3.1.2")
def test_100_continue_comes_after_authentication_only(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    expect = ("Expect", "100-continue")
    good = shared_gateway.put_headers("k", b"body")
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", (*good, expect))
        assert raw.read_some(25).startswith(b"HTTP/1.1 100 ")
        raw.send(b"body")
    wait_until(lambda: bool(recorded.requests("PUT")), deadline_seconds=5, what="the upload")
    bad = tuple(
        (name, spoiled(value) if name == "Authorization" else value) for name, value in good
    )
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", (*bad, expect))
        answer = raw.read_response("PUT")
        assert (answer.error_code, answer.interim_statuses) == ("SignatureDoesNotMatch", ())
        assert raw.is_closed_by_peer()


def test_an_empty_upload_that_expects_a_100_gets_one(shared_gateway: Gateway) -> None:
    # RFC 9110 10.1.1 lets a server omit it. botocore 1.44.5 (awsrequest.AWSConnection.request)
    # then keeps the status of that answer for the next Expect request on the connection, takes
    # its status line for a header, misses the Content-Length and hangs.
    expect = ("Expect", "100-continue")
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", (*shared_gateway.put_headers("k", b""), expect))
        answer = raw.read_response("PUT")
    assert (answer.status, answer.interim_statuses) == (200, (100,))


@pytest.mark.rule("3.13.2")
def test_a_refusal_without_a_100_ends_the_connection(shared_gateway: Gateway) -> None:
    # For the same fault of botocore: with an empty body nothing else would close it.
    headers = (("Host", "x"), ("Content-Length", "0"), ("Expect", "100-continue"))
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", headers)
        answer = raw.read_response("PUT")
        assert (answer.status, answer.interim_statuses) == (403, ())
        assert raw.is_closed_by_peer()


def test_an_early_answer_of_the_backend_reaches_the_client(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    refused = s3_error(403, "AccessDenied")
    recorded.script("PUT", "*/k", refused, read=ReadPlan(answer_first=True))
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", shared_gateway.put_headers("k", b"x" * MiB))
        raw.send(b"x" * 1000)
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (403, "AccessDenied")


def test_a_slow_readers_backend_connection_serves_the_next_request(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    # Each size ends at another point of the backpressure; at one of them the last piece of the
    # body is what pauses the backend connection, which must be reading again for its next user.
    recorded.script("GET", "*/small", Answer(body=b"small"))
    for size in range(256 * KiB, 6 * MiB, 96 * KiB):
        recorded.script("GET", "*/slow", Answer(generated_bytes=size), times=1)
        with RawClient(shared_gateway.endpoint, receive_buffer_bytes=64 * KiB) as raw:
            get(shared_gateway, raw, "slow")
            time.sleep(0.02)
            assert len(raw.read_response().body) == size
        with shared_gateway.raw(timeout_seconds=5) as raw:
            get(shared_gateway, raw, "small")
            assert raw.read_response().body == b"small", f"after a download of {size} bytes"


def test_a_client_that_leaves_frees_the_backend_connection(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    recorded.script("GET", "*/endless", Answer(generated_bytes=256 * MiB))
    before = recorded.server.open_connection_count
    url = f"{shared_gateway.endpoint}/{BUCKET}/endless"
    with shared_gateway.raw() as raw:
        raw.send_head("GET", f"/{BUCKET}/endless", shared_gateway.signer.sign("GET", url).headers)
        raw.read_some()
        raw.reset()
    wait_until(
        lambda: recorded.server.open_connection_count <= before,
        deadline_seconds=10,
        what="the backend connection is free",
    )


def upload(gateway: Gateway, form: ChunkForm, body: bytes) -> ChunkedUpload:
    return ChunkedUpload(form=form, key=gateway.key, bucket=BUCKET, payload=body)


def get(gateway: Gateway, raw: RawClient, key: str) -> None:
    target = f"/{BUCKET}/{key}"
    raw.send_head("GET", target, gateway.signer.sign("GET", gateway.endpoint + target).headers)


def put(gateway: Gateway, body: bytes, *, headers: Headers = ()) -> None:
    with RawClient(gateway.endpoint) as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", (*gateway.put_headers("k", body), *headers))
        raw.send(body)
        assert raw.read_response("PUT").status == 200


def spoiled(signature: str) -> str:
    """Another last digit."""
    return signature[:-1] + ("0" if signature[-1] != "0" else "1")


def current_secret(wire: WireBackend) -> str:
    return secret_key_of(len(wire.sts.calls))
