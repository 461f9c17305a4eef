"""1 GiB by multipart, once in each framing, on MinIO; neither side ever holds it whole."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from bucketroute_testing.chunk_forms import CHUNK_FORMS, ChunkedUpload
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.processes import MemoryPeak
from bucketroute_testing.wire_types import KiB, MiB

# Something to do while the silent client waits for its answer.
pytestmark = [pytest.mark.minio, pytest.mark.usefixtures("silent_upload")]
PART_BYTES = 64 * MiB
PARTS = 16
CEILING_BYTES = 120 * MiB

SendPart = Callable[[Any, dict[str, Any], bytes], str]


def part_body(block: bytes, number: int) -> bytes:
    """64 MiB that differ from those of every other part."""
    shift = number * 4099
    return (block[shift:] + block[:shift]) * (PART_BYTES // len(block))


def send_by_boto3(client: Any, named: dict[str, Any], body: bytes) -> str:
    etag: str = client.upload_part(**named, Body=body)["ETag"]
    return etag


def signed_chunks(gateway: Gateway) -> SendPart:
    def send(client: Any, named: dict[str, Any], body: bytes) -> str:
        del client
        query = f"partNumber={named['PartNumber']}&uploadId={named['UploadId']}"
        answer = ChunkedUpload(
            form=CHUNK_FORMS["signed"],
            key=gateway.key,
            bucket=BUCKET,
            payload=body,
            object_key=named["Key"],
            query=query,
            chunk_bytes=MiB,
        ).send(gateway.endpoint)
        assert answer.status == 200, answer.body
        etag = answer.header("etag")
        assert etag is not None
        return etag

    return send


def upload_and_compare(gateway: Gateway, send_part: SendPart) -> None:
    block, sent, received = payload(MiB), hashlib.sha256(), hashlib.sha256()
    named = {"Bucket": BUCKET, "Key": "gibibyte"}
    with closing(gateway.client()) as client, MemoryPeak(gateway.process) as peak:
        upload = client.create_multipart_upload(**named)["UploadId"]
        parts = []
        for number in range(1, PARTS + 1):
            body = part_body(block, number)
            sent.update(body)
            part = {**named, "UploadId": upload, "PartNumber": number}
            parts.append({"PartNumber": number, "ETag": send_part(client, part, body)})
        client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
        got = client.get_object(**named)
        assert got["ContentLength"] == PARTS * PART_BYTES
        for piece in got["Body"].iter_chunks(256 * KiB):
            received.update(piece)
        client.delete_object(**named)
    assert received.digest() == sent.digest()
    assert peak.peak_bytes < CEILING_BYTES, f"{peak.peak_bytes / MiB:.0f} MiB"


def test_a_gibibyte_with_a_sha256_of_each_part_over_http(minio_gateway: Gateway) -> None:
    upload_and_compare(minio_gateway, send_by_boto3)


def test_a_gibibyte_in_signed_chunks_over_http(minio_gateway: Gateway) -> None:
    upload_and_compare(minio_gateway, signed_chunks(minio_gateway))


@pytest.mark.parametrize("backend", ["minio"], indirect=True)
def test_a_gibibyte_with_unsigned_trailers_over_https(tls_gateway: Gateway) -> None:
    upload_and_compare(tls_gateway, send_by_boto3)
