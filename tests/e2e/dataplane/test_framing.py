"""Every chunk form against a store that checks signatures; spoiled ones never become an object."""

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.chunk_forms import CHUNK_FORMS, ChunkedUpload, ChunkForm, crc32_of
from bucketroute_testing.clients import RawResponse
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.signing import SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER
from bucketroute_testing.wire_types import KiB, MiB

SIZES = {"0": 0, "1": 1, "5MiB-1": 5 * MiB - 1, "5MiB": 5 * MiB, "5MiB+1": 5 * MiB + 1}
SIGNED_FORMS = {
    name: form
    for name, form in CHUNK_FORMS.items()
    if form.sentinel in (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER)
}
TRAILER_FORMS = {name: form for name, form in CHUNK_FORMS.items() if form.has_trailer}
BODY = payload(200 * KiB)


def send(
    gateway: Gateway,
    form: ChunkForm,
    key: str,
    *,
    body: bytes = BODY,
    spoil: Callable[[bytes], bytes] = bytes,
    crc32: str | None = None,
) -> RawResponse:
    upload = ChunkedUpload(
        form=form, key=gateway.key, bucket=BUCKET, payload=body, object_key=key, crc32=crc32
    )
    return upload.send(gateway.endpoint, ca=gateway.ca, spoil=spoil)


def assert_absent(gateway: Gateway, key: str) -> None:
    with closing(gateway.client()) as client, pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=BUCKET, Key=key)


@pytest.mark.rule("3.2.11", "3.2.13")
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_every_form_round_trips(front: Gateway, form: ChunkForm, size: int) -> None:
    body = payload(size)
    answer = send(front, form, "framed", body=body)
    assert answer.status == 200, answer.body
    with closing(front.client()) as client:
        got = client.get_object(Bucket=BUCKET, Key="framed")
        assert got["Body"].read() == body
    assert "aws-chunked" not in got.get("ContentEncoding", "")


@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_parts_take_every_form(gateway: Gateway, form: ChunkForm) -> None:
    with closing(gateway.client()) as client:
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
        query = f"partNumber=1&uploadId={upload}"
        part = ChunkedUpload(
            form=form,
            key=gateway.key,
            bucket=BUCKET,
            payload=BODY,
            object_key="parts",
            query=query,
        ).send(gateway.endpoint)
        assert part.status == 200, part.body
        parts: dict[str, Any] = {"Parts": [{"PartNumber": 1, "ETag": part.header("etag")}]}
        client.complete_multipart_upload(
            Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload=parts
        )
        assert client.get_object(Bucket=BUCKET, Key="parts")["Body"].read() == BODY


@pytest.mark.rule("3.2.13")
@pytest.mark.parametrize("form", SIGNED_FORMS.values(), ids=SIGNED_FORMS)
def test_a_changed_signed_chunk_is_refused(gateway: Gateway, form: ChunkForm) -> None:
    changed = BODY[1000:1016]
    answer = send(gateway, form, "changed", spoil=lambda data: data.replace(changed, changed[::-1]))
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")
    assert_absent(gateway, "changed")


@pytest.mark.parametrize("form", SIGNED_FORMS.values(), ids=SIGNED_FORMS)
def test_a_changed_chunk_signature_is_refused(gateway: Gateway, form: ChunkForm) -> None:
    def spoil(data: bytes) -> bytes:
        return re.sub(rb"chunk-signature=[0-9a-f]{64}", b"chunk-signature=" + b"0" * 64, data)

    answer = send(gateway, form, "forged", spoil=spoil)
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")
    assert_absent(gateway, "forged")


@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_a_body_without_its_last_chunk_is_refused(gateway: Gateway, form: ChunkForm) -> None:
    def without_end(data: bytes) -> bytes:
        return data[: data.rindex(b"\r\n0") + 2]

    key = f"truncated/{form.sentinel}/{form.is_http_chunked}"
    answer = send(gateway, form, key, spoil=without_end)
    assert answer.status == 400, answer.body
    assert_absent(gateway, key)


@pytest.mark.parametrize("form", TRAILER_FORMS.values(), ids=TRAILER_FORMS)
def test_a_wrong_trailing_checksum_is_refused(gateway: Gateway, form: ChunkForm) -> None:
    answer = send(gateway, form, "mismatch", crc32=crc32_of(b"something else"))
    assert answer.status == 400, answer.body
    assert_absent(gateway, "mismatch")


def test_a_changed_trailer_signature_is_refused(gateway: Gateway) -> None:
    def spoil(data: bytes) -> bytes:
        return re.sub(rb"trailer-signature:[0-9a-f]{64}", b"trailer-signature:" + b"0" * 64, data)

    answer = send(gateway, CHUNK_FORMS["signed-trailer"], "forged-trailer", spoil=spoil)
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")
    assert_absent(gateway, "forged-trailer")
