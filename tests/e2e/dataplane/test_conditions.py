"""Conditional requests on every path: the condition reaches the backend, its answer the client."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.error_rows import Call, Row, assert_error
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, s3_error

ETAG = '"0123456789abcdef0123456789abcdef"'
PAST = datetime(2020, 1, 1, tzinfo=UTC)
NAMED = {"Bucket": BUCKET, "Key": "k"}
SOURCE = {"CopySource": f"{BUCKET}/source"}
PARTS = {"Parts": [{"PartNumber": 1, "ETag": ETAG}]}
FAILED, NOT_MODIFIED = "PreconditionFailed", "304"


@pytest.fixture
def wire_s3(shared_gateway: Gateway) -> Iterator[Any]:
    with closing(shared_gateway.client()) as client:
        yield client


# Name → the call, the header that must reach the backend, signed.
CONDITIONAL: dict[str, tuple[Call, str]] = {
    "GetObject, If-Match": (lambda s3: s3.get_object(**NAMED, IfMatch=ETAG), "if-match"),
    "GetObject, If-Unmodified-Since": (
        lambda s3: s3.get_object(**NAMED, IfUnmodifiedSince=PAST),
        "if-unmodified-since",
    ),
    "HeadObject, If-Match": (lambda s3: s3.head_object(**NAMED, IfMatch=ETAG), "if-match"),
    "PutObject, If-None-Match": (
        lambda s3: s3.put_object(**NAMED, Body=b"x", IfNoneMatch="*"),
        "if-none-match",
    ),
    "PutObject, If-Match": (
        lambda s3: s3.put_object(**NAMED, Body=b"x", IfMatch=ETAG),
        "if-match",
    ),
    "CompleteMultipartUpload, If-None-Match": (
        lambda s3: s3.complete_multipart_upload(
            **NAMED, UploadId="u", MultipartUpload=PARTS, IfNoneMatch="*"
        ),
        "if-none-match",
    ),
    "CompleteMultipartUpload, If-Match": (
        lambda s3: s3.complete_multipart_upload(
            **NAMED, UploadId="u", MultipartUpload=PARTS, IfMatch=ETAG
        ),
        "if-match",
    ),
    "CopyObject, If-None-Match": (
        lambda s3: s3.copy_object(**NAMED, **SOURCE, IfNoneMatch="*"),
        "if-none-match",
    ),
    "CopyObject, source If-Match": (
        lambda s3: s3.copy_object(**NAMED, **SOURCE, CopySourceIfMatch=ETAG),
        "x-amz-copy-source-if-match",
    ),
    "CopyObject, source If-Modified-Since": (
        lambda s3: s3.copy_object(**NAMED, **SOURCE, CopySourceIfModifiedSince=PAST),
        "x-amz-copy-source-if-modified-since",
    ),
    "UploadPartCopy, source If-None-Match": (
        lambda s3: s3.upload_part_copy(
            **NAMED, **SOURCE, UploadId="u", PartNumber=1, CopySourceIfNoneMatch=ETAG
        ),
        "x-amz-copy-source-if-none-match",
    ),
    "DeleteObject, If-Match": (lambda s3: s3.delete_object(**NAMED, IfMatch=ETAG), "if-match"),
    "DeleteObject, size": (
        lambda s3: s3.delete_object(**NAMED, IfMatchSize=3),
        "x-amz-if-match-size",
    ),
    "AbortMultipartUpload, initiated": (
        lambda s3: s3.abort_multipart_upload(
            **NAMED, UploadId="u", IfMatchInitiatedTime=datetime(2020, 1, 1, tzinfo=UTC)
        ),
        "x-amz-if-match-initiated-time",
    ),
}


@pytest.mark.rule("3.2.12", "3.5.1", "3.5.2", "3.5.4", "3.5.5", "3.5.7", "3.6.7")
@pytest.mark.parametrize(("call", "header"), CONDITIONAL.values(), ids=CONDITIONAL)
def test_a_condition_reaches_the_backend_and_its_412_the_client(
    recorded: WireBackend, wire_s3: Any, call: Call, header: str
) -> None:
    recorded.script("*", "*", s3_error(412, FAILED))
    with pytest.raises(ClientError) as caught:
        call(wire_s3)
    response = caught.value.response
    is_head = recorded.only_request().head.method == "HEAD"
    assert response["Error"]["Code"] == ("412" if is_head else FAILED)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert header in recorded.only_request().head.signed_headers


READS: dict[str, Call] = {
    "GetObject, If-None-Match": lambda s3: s3.get_object(**NAMED, IfNoneMatch=ETAG),
    "GetObject, If-Modified-Since": lambda s3: s3.get_object(**NAMED, IfModifiedSince=PAST),
    "HeadObject, If-None-Match": lambda s3: s3.head_object(**NAMED, IfNoneMatch=ETAG),
    "HeadObject, If-Modified-Since": lambda s3: s3.head_object(**NAMED, IfModifiedSince=PAST),
}


@pytest.mark.rule("3.13")
@pytest.mark.parametrize("call", READS.values(), ids=READS)
@pytest.mark.parametrize("length", ["0", "1000"], ids=["no-length", "length-of-the-object"])
def test_a_304_has_no_body_and_keeps_the_connection(
    recorded: WireBackend, wire_s3: Any, call: Call, length: str
) -> None:
    # RFC 9110 8.6 lets a 304 carry the length of what a 200 would have had.
    headers = (("ETag", ETAG), ("Content-Length", length))
    recorded.script("*", "*", Answer(status=304, headers=headers), times=1)
    with pytest.raises(ClientError) as caught:
        call(wire_s3)
    metadata = caught.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["HTTPHeaders"]["etag"]) == (304, ETAG)
    wire_s3.put_object(**NAMED, Body=b"next")
    assert wire_s3.get_object(**NAMED)["Body"].read() == b"next"


@pytest.mark.rule("3.13", "3.13.2")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_to_head_has_no_body_and_keeps_the_connection(
    shared_gateway: Gateway, recorded: WireBackend, method: str
) -> None:
    recorded.script(method, "*", s3_error(416, "InvalidRange"))
    target = f"/{BUCKET}/k"
    signed = shared_gateway.signer.sign(method, shared_gateway.endpoint + target)
    with shared_gateway.raw() as raw:
        for _ in range(2):
            raw.send_head(method, target, signed.headers)
            answer = raw.read_response(method)
            assert answer.status == 416
            assert (answer.error_code == "InvalidRange") is (method == "GET")


# -- on MinIO ----------------------------------------------------------------------------------


@pytest.fixture
def s3(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        client.put_object(**NAMED, Body=b"0123456789")
        yield client


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


OUTCOMES: dict[str, tuple[Call, int, str]] = {
    "get, other etag": (lambda s3: s3.get_object(**NAMED, IfMatch=ETAG), 412, FAILED),
    "get, unmodified": (lambda s3: s3.get_object(**NAMED, IfUnmodifiedSince=PAST), 412, FAILED),
    "get, not modified": (
        lambda s3: s3.get_object(**NAMED, IfNoneMatch=s3.head_object(**NAMED)["ETag"]),
        304,
        NOT_MODIFIED,
    ),
    "get, not modified since": (
        lambda s3: s3.get_object(**NAMED, IfModifiedSince=s3.head_object(**NAMED)["LastModified"]),
        304,
        NOT_MODIFIED,
    ),
    "head, other etag": (lambda s3: s3.head_object(**NAMED, IfMatch=ETAG), 412, "412"),
    "head, not modified": (
        lambda s3: s3.head_object(**NAMED, IfNoneMatch=s3.head_object(**NAMED)["ETag"]),
        304,
        NOT_MODIFIED,
    ),
    "range beyond the end": (
        lambda s3: s3.get_object(**NAMED, Range="bytes=10-"),
        416,
        "InvalidRange",
    ),
    "head, range beyond the end": (
        lambda s3: s3.head_object(**NAMED, Range="bytes=10-"),
        416,
        "416",
    ),
    "put, exists": (
        lambda s3: s3.put_object(**NAMED, Body=b"", IfNoneMatch="*"),
        412,
        FAILED,
    ),
    "put, other etag": (lambda s3: s3.put_object(**NAMED, Body=b"", IfMatch=ETAG), 412, FAILED),
    "copy, source has another etag": (
        lambda s3: s3.copy_object(Bucket=BUCKET, Key="c", CopySource=NAMED, CopySourceIfMatch=ETAG),
        412,
        FAILED,
    ),
    "part copy, source has another etag": (
        lambda s3: s3.upload_part_copy(
            Bucket=BUCKET,
            Key="c",
            CopySource=NAMED,
            UploadId=s3.create_multipart_upload(Bucket=BUCKET, Key="c")["UploadId"],
            PartNumber=1,
            CopySourceIfMatch=ETAG,
        ),
        412,
        FAILED,
    ),
    "complete, exists": (lambda s3: completed(s3, IfNoneMatch="*"), 412, FAILED),
}


def completed(s3: Any, **condition: str) -> object:
    named = {**NAMED, "UploadId": s3.create_multipart_upload(**NAMED)["UploadId"]}
    etag = s3.upload_part(**named, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    return s3.complete_multipart_upload(**named, MultipartUpload=parts, **condition)


@pytest.mark.minio
@pytest.mark.rule("3.6.7")
@pytest.mark.parametrize(("call", "status", "code"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_condition_that_fails_on_minio(s3: Any, call: Call, status: int, code: str) -> None:
    assert_error(s3, Row(call=call, status=status, code=code))
    assert s3.get_object(**NAMED)["Body"].read() == b"0123456789"


@pytest.mark.minio
def test_conditions_that_hold_on_minio(s3: Any) -> None:
    etag = s3.head_object(**NAMED)["ETag"]
    assert s3.get_object(**NAMED, IfMatch=etag)["Body"].read() == b"0123456789"
    assert s3.get_object(**NAMED, IfUnmodifiedSince=tomorrow())["ETag"] == etag
    assert s3.get_object(**NAMED, IfNoneMatch=ETAG)["ETag"] == etag
    s3.put_object(**NAMED, Body=b"replaced", IfMatch=etag)
    completed(s3, IfMatch=s3.head_object(**NAMED)["ETag"])
    assert s3.get_object(**NAMED)["Body"].read() == b"part"
    s3.delete_object(**NAMED)
    s3.put_object(**NAMED, Body=b"first", IfNoneMatch="*")


@pytest.mark.minio
def test_ranges_on_minio(s3: Any) -> None:
    for wanted, body, where in (
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-100", b"56789", "bytes 5-9/10"),
    ):
        got = s3.get_object(**NAMED, Range=wanted)
        assert (got["Body"].read(), got["ContentRange"]) == (body, where)
        assert got["ContentLength"] == len(body)
        head = s3.head_object(**NAMED, Range=wanted)
        assert (head["ContentRange"], head["ContentLength"]) == (where, len(body))
