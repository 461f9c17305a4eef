"""On the wire to the backend: exact lengths, no chunked coding, signatures, connections."""

import base64
import hashlib
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
    recording_backend,
    running_gateway,
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

PROFILES = ("Generic", "MinIO")
LENGTH = 300 * KiB


@pytest.fixture(scope="module")
def shared_wire() -> Iterator[WireBackend]:
    with WireBackend() as running:
        yield running


@pytest.fixture(scope="module", params=PROFILES)
def shared_gateway(
    request: pytest.FixtureRequest,
    shared_wire: WireBackend,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    backend = recording_backend(shared_wire, profile=request.param)
    with running_gateway(tmp_path_factory.mktemp("wire"), backend) as running:
        yield running


@pytest.fixture
def recorded(shared_wire: WireBackend, shared_gateway: Gateway) -> WireBackend:
    """The backend with nothing recorded, scripted or stored; its STS was asked already."""
    with closing(shared_gateway.client()) as client:
        client.list_objects_v2(Bucket=BUCKET)
    shared_wire.clear_scripts()
    shared_wire.store.buckets.clear()
    shared_wire.forget()
    return shared_wire


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


@pytest.mark.rule("3.2.17")
def test_a_body_that_ends_early_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", put_headers(shared_gateway, b"x" * LENGTH))
        raw.send(b"x" * (LENGTH // 2))
        wait_until(lambda: bool(recorded.server.heads), deadline_seconds=5, what="the head")
    wait_until(lambda: bool(recorded.requests("PUT")), deadline_seconds=10, what="its end")
    assert not recorded.only_request("PUT").is_complete
    assert recorded.store.keys(BACKEND_BUCKET) == []


def test_bytes_beyond_the_declared_length_are_no_part_of_the_object(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", put_headers(shared_gateway, b"x" * 10))
        raw.send(b"x" * 10 + b"surplus\r\n\r\n")
        assert raw.read_response("PUT").status in (200, 400)
    # Refused as a whole or stored as declared, as the surplus comes before the answer or after.
    stored = {each.body for each in recorded.store.buckets.get(BACKEND_BUCKET, {}).values()}
    assert stored <= {b"x" * 10}


@pytest.mark.parametrize("claimed", [LENGTH - 1, LENGTH + 1], ids=["too-long", "too-short"])
@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_a_chunked_body_of_another_length_than_declared_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway, form: ChunkForm, claimed: int
) -> None:
    wrong = ChunkedUpload(
        form=form,
        key=shared_gateway.key,
        bucket=BUCKET,
        payload=payload(LENGTH),
        decoded_length=claimed,
    )
    answer = wrong.send(shared_gateway.endpoint)
    assert answer.status == 400, answer.body
    assert recorded.store.keys(BACKEND_BUCKET) == []
    assert all(not request.is_complete for request in recorded.requests("PUT"))


@pytest.mark.rule("3.10.4")
@pytest.mark.parametrize("size", [10, LENGTH], ids=["short", "long"])
def test_a_body_with_another_sha256_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway, size: int
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", put_headers(shared_gateway, b"x" * size))
        raw.send(b"y" * size)
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (400, "XAmzContentSHA256Mismatch")
    assert recorded.store.keys(BACKEND_BUCKET) == []


def test_requests_share_a_backend_connection(recorded: WireBackend, s3: Any) -> None:
    for number in range(10):
        s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x" * 1000)
        s3.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read()
    used = {request.head.connection_id for request in recorded.requests()}
    assert len(used) == 1


def test_100_continue_comes_after_authentication_only(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    expect = ("Expect", "100-continue")
    good = put_headers(shared_gateway, b"body")
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


def test_an_early_answer_of_the_backend_reaches_the_client(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    refused = s3_error(403, "AccessDenied")
    recorded.script("PUT", "*/k", refused, read=ReadPlan(answer_first=True))
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", put_headers(shared_gateway, b"x" * MiB))
        raw.send(b"x" * 1000)
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (403, "AccessDenied")


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


def put_headers(gateway: Gateway, body: bytes) -> Headers:
    signed = gateway.signer.sign(
        "PUT",
        f"{gateway.endpoint}/{BUCKET}/k",
        payload_hash=hashlib.sha256(body).hexdigest(),
    )
    return (*signed.headers, ("Content-Length", str(len(body))))


def put(gateway: Gateway, body: bytes, *, headers: Headers = ()) -> None:
    with RawClient(gateway.endpoint) as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", (*put_headers(gateway, body), *headers))
        raw.send(body)
        assert raw.read_response("PUT").status == 200


def spoiled(signature: str) -> str:
    """Another last digit."""
    return signature[:-1] + ("0" if signature[-1] != "0" else "1")


def current_secret(wire: WireBackend) -> str:
    return secret_key_of(len(wire.sts.calls))
