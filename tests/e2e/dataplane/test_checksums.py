"""Checksums of every algorithm: they arrive, they are verified, they come back on request."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from awscrt import checksums as crt

from bucketroute_testing.corpus import payload
from bucketroute_testing.error_rows import Row, assert_error
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import KiB, MiB

BODY = payload(300 * KiB)

Digest = Callable[[bytes], bytes]


def crc(function: Callable[[bytes], int], length: int) -> Digest:
    return lambda data: function(data).to_bytes(length, "big")


def xxhash(factory: str) -> Digest:
    def digest(data: bytes) -> bytes:
        state = getattr(crt.XXHash, factory)()
        state.update(data)
        return bytes(state.finalize())

    return digest


ON_MINIO: dict[str, Digest] = {
    "CRC32": crc(zlib.crc32, 4),
    "CRC32C": crc(crt.crc32c, 4),
    "CRC64NVME": crc(crt.crc64nvme, 8),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
EVERY = {
    **ON_MINIO,
    "SHA512": lambda data: hashlib.sha512(data).digest(),
    "XXHASH64": xxhash("new_xxhash64"),
    "XXHASH3": xxhash("new_xxhash3_64"),
    "XXHASH128": xxhash("new_xxhash3_128"),
}


def value_of(digest: Digest, data: bytes = BODY) -> str:
    return base64.b64encode(digest(data)).decode()


@pytest.mark.rule("3.5.1", "3.2.10")
@pytest.mark.parametrize("backend", [pytest.param("minio", marks=pytest.mark.minio)], indirect=True)
@pytest.mark.parametrize(("algorithm", "digest"), ON_MINIO.items(), ids=ON_MINIO)
def test_a_checksum_is_stored_and_returned(front: Gateway, algorithm: str, digest: Digest) -> None:
    named = {"Bucket": BUCKET, "Key": f"sum/{algorithm}"}
    member, expected = f"Checksum{algorithm}", value_of(digest)
    with closing(front.client()) as client:
        put = client.put_object(**named, Body=BODY, ChecksumAlgorithm=algorithm)
        assert put[member] == expected
        head = client.head_object(**named, ChecksumMode="ENABLED")
        assert head[member] == expected
        assert member not in client.head_object(**named)
        got = client.get_object(**named, ChecksumMode="ENABLED")
        assert (got["Body"].read(), got[member]) == (BODY, expected)
        attributes = client.get_object_attributes(**named, ObjectAttributes=["Checksum"])
        assert attributes["Checksum"][member] == expected


@pytest.mark.rule("3.5.3")
@pytest.mark.parametrize(("algorithm", "digest"), EVERY.items(), ids=EVERY)
def test_a_checksum_header_reaches_the_backend_signed(
    recorded: WireBackend, shared_gateway: Gateway, algorithm: str, digest: Digest
) -> None:
    header = f"x-amz-checksum-{algorithm.lower()}"
    with closing(shared_gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    head = recorded.only_request("PUT").head
    assert head.header(header) == value_of(digest)
    assert header in head.signed_headers


@pytest.mark.minio
@pytest.mark.parametrize("algorithm", ON_MINIO)
def test_a_wrong_checksum_is_refused(minio_gateway: Gateway, algorithm: str) -> None:
    wrong = {f"Checksum{algorithm}": value_of(ON_MINIO[algorithm], b"something else")}

    def call(client: Any) -> object:
        return client.put_object(Bucket=BUCKET, Key="sum/wrong", Body=BODY, **wrong)

    with closing(minio_gateway.client()) as client:
        assert_error(client, Row(call=call, status=400, code="XAmzContentChecksumMismatch"))
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket=BUCKET, Key="sum/wrong")


@pytest.fixture
def s3(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        yield client


@pytest.mark.minio
@pytest.mark.rule("3.5.5")
@pytest.mark.parametrize(
    ("algorithm", "kind"), [("CRC64NVME", "FULL_OBJECT"), ("SHA256", "COMPOSITE")]
)
def test_checksums_of_parts_make_one_of_the_object(s3: Any, algorithm: str, kind: str) -> None:
    named = {"Bucket": BUCKET, "Key": f"sum/parts-{algorithm}"}
    member, digest = f"Checksum{algorithm}", ON_MINIO[algorithm]
    bodies = [payload(5 * MiB), payload(KiB)]
    asked = {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    upload = s3.create_multipart_upload(**named, **asked)
    assert (upload["ChecksumAlgorithm"], upload["ChecksumType"]) == (algorithm, kind)
    parts = []
    for number, body in enumerate(bodies, start=1):
        part = s3.upload_part(
            **named,
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm=algorithm,
        )
        assert part[member] == value_of(digest, body)
        parts.append({"PartNumber": number, "ETag": part["ETag"], member: part[member]})
    completed = s3.complete_multipart_upload(
        **named,
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": parts},
        ChecksumType=kind,
    )
    composite = f"{value_of(digest, b''.join(digest(body) for body in bodies))}-2"
    whole = value_of(digest, b"".join(bodies))
    expected = whole if kind == "FULL_OBJECT" else composite
    assert completed[member] == expected
    head = s3.head_object(**named, ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (expected, kind)


@pytest.mark.minio
def test_a_copy_can_be_given_another_checksum(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="sum/original", Body=BODY)
    s3.copy_object(
        Bucket=BUCKET,
        Key="sum/copy",
        CopySource={"Bucket": BUCKET, "Key": "sum/original"},
        ChecksumAlgorithm="SHA256",
    )
    copied = s3.head_object(Bucket=BUCKET, Key="sum/copy", ChecksumMode="ENABLED")
    assert copied["ChecksumSHA256"] == value_of(ON_MINIO["SHA256"])
