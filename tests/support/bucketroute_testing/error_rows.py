"""The error table: what a boto3 call ends in, and the assertion that it does.

Rows that only need a writer and the routes of `test_errors_seen_by_boto3`; errors that need another
caller, another clock or a broken STS are tests of their own there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.gateway import BACKEND_BUCKET, BUCKET
from bucketroute_testing.wire_types import MiB

Call = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one call ends in. `exception` is the class's name in `client.exceptions`.

    `needs_minio` marks errors that the backend makes and that moto makes differently or not at all.
    """

    call: Call
    status: int
    code: str
    exception: str = "ClientError"
    needs_minio: bool = False


def multipart_with(parts: list[dict[str, object]], sizes: tuple[int, ...] = (1,)) -> Call:
    """Complete an upload of parts of those sizes with a list of the caller's own."""

    def call(client: Any) -> object:
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="m")["UploadId"]
        named = {"Bucket": BUCKET, "Key": "m", "UploadId": upload}
        etags = [
            client.upload_part(**named, PartNumber=number, Body=b"x" * size)["ETag"]
            for number, size in enumerate(sizes, start=1)
        ]
        listed = [{"ETag": etags[number % len(etags)], **part} for number, part in enumerate(parts)]
        return client.complete_multipart_upload(**named, MultipartUpload={"Parts": listed})

    return call


KEYS_1001 = [{"Key": f"k{number}"} for number in range(1001)]
WRONG_MD5 = "AAAAAAAAAAAAAAAAAAAAAA=="
ROWS = {
    "unknown bucket": Row(
        call=lambda s3: s3.get_object(Bucket="no-such-bucket", Key="k"),
        status=404,
        code="NoSuchBucket",
        exception="NoSuchBucket",
    ),
    "missing key": Row(
        call=lambda s3: s3.get_object(Bucket=BUCKET, Key="missing"),
        status=404,
        code="NoSuchKey",
        exception="NoSuchKey",
    ),
    "missing key, HEAD": Row(
        call=lambda s3: s3.head_object(Bucket=BUCKET, Key="missing"), status=404, code="404"
    ),
    "missing upload": Row(
        call=lambda s3: s3.upload_part(
            Bucket=BUCKET, Key="k", UploadId="no-such-upload", PartNumber=1, Body=b""
        ),
        status=404,
        code="NoSuchUpload",
        exception="NoSuchUpload",
        needs_minio=True,
    ),
    "part number 0": Row(
        call=lambda s3: s3.upload_part(
            Bucket=BUCKET, Key="k", UploadId="u", PartNumber=0, Body=b""
        ),
        status=400,
        code="InvalidArgument",
    ),
    "part number 10001": Row(
        call=lambda s3: s3.upload_part(
            Bucket=BUCKET, Key="k", UploadId="u", PartNumber=10_001, Body=b""
        ),
        status=400,
        code="InvalidArgument",
    ),
    "part that was not uploaded": Row(
        call=multipart_with([{"PartNumber": 9}]), status=400, code="InvalidPart"
    ),
    "parts out of order": Row(
        call=multipart_with([{"PartNumber": 2}, {"PartNumber": 1}], (1, 1)),
        status=400,
        code="InvalidPartOrder",
        needs_minio=True,
    ),
    "a small part before the last": Row(
        call=multipart_with([{"PartNumber": 1}, {"PartNumber": 2}], (1, 1)),
        status=400,
        code="EntityTooSmall",
    ),
    "0 keys": Row(
        call=lambda s3: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": []}),
        status=400,
        code="MalformedXML",
    ),
    "1001 keys": Row(
        call=lambda s3: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": KEYS_1001}),
        status=400,
        code="MalformedXML",
    ),
    "dot segment": Row(
        call=lambda s3: s3.put_object(Bucket=BUCKET, Key="a/../b", Body=b""),
        status=400,
        code="InvalidRequest",
    ),
    "key too long": Row(
        call=lambda s3: s3.put_object(Bucket=BUCKET, Key="k" * 1025, Body=b""),
        status=400,
        code="KeyTooLongError",
    ),
    "metadata too large": Row(
        call=lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"", Metadata={"m": "v" * 2049}),
        status=400,
        code="MetadataTooLarge",
    ),
    "body over the route's limit": Row(
        call=lambda s3: s3.put_object(Bucket="limited", Key="k", Body=b"x" * (MiB + 1)),
        status=400,
        code="EntityTooLarge",
    ),
    "bucket policy": Row(
        call=lambda s3: s3.get_bucket_policy(Bucket=BUCKET), status=501, code="NotImplemented"
    ),
    "object retention": Row(
        call=lambda s3: s3.get_object_retention(Bucket=BUCKET, Key="k"),
        status=501,
        code="NotImplemented",
    ),
    "object ACL, write": Row(
        call=lambda s3: s3.put_object_acl(Bucket=BUCKET, Key="k", ACL="public-read"),
        status=501,
        code="NotImplemented",
    ),
    "create one's own bucket": Row(
        call=lambda s3: s3.create_bucket(Bucket=BUCKET),
        status=409,
        code="BucketAlreadyOwnedByYou",
        exception="BucketAlreadyOwnedByYou",
    ),
    "create another bucket": Row(
        call=lambda s3: s3.create_bucket(Bucket="a-new-bucket"),
        status=405,
        code="MethodNotAllowed",
    ),
    "delete the bucket": Row(
        call=lambda s3: s3.delete_bucket(Bucket=BUCKET), status=405, code="MethodNotAllowed"
    ),
    "if-match of another": Row(
        call=lambda s3: s3.get_object(Bucket=BUCKET, Key="k", IfMatch='"another"'),
        status=412,
        code="PreconditionFailed",
    ),
    "if-none-match of an object that is there": Row(
        call=lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"", IfNoneMatch="*"),
        status=412,
        code="PreconditionFailed",
    ),
    "not modified": Row(
        call=lambda s3: s3.get_object(Bucket=BUCKET, Key="k", IfNoneMatch=etag_of(s3, "k")),
        status=304,
        code="304",
    ),
    "range beyond the end": Row(
        call=lambda s3: s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=100-200"),
        status=416,
        code="InvalidRange",
    ),
    "wrong Content-MD5": Row(
        call=lambda s3: s3.put_object(Bucket=BUCKET, Key="k2", Body=b"x", ContentMD5=WRONG_MD5),
        status=400,
        code="BadDigest",
        needs_minio=True,
    ),
    "backend down": Row(
        call=lambda s3: s3.get_object(Bucket="unreachable", Key="k"),
        status=503,
        code="ServiceUnavailable",
    ),
    "suspended route": Row(
        call=lambda s3: s3.get_object(Bucket="suspended", Key="k"),
        status=503,
        code="ServiceUnavailable",
    ),
}


def etag_of(client: Any, key: str) -> str:
    etag: str = client.head_object(Bucket=BUCKET, Key=key)["ETag"]
    return etag


def assert_error(client: Any, row: Row) -> ClientError:
    expected: type[ClientError] = getattr(client.exceptions, row.exception)
    with pytest.raises(expected) as caught:
        row.call(client)
    response = caught.value.response
    seen = (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])
    assert seen == (row.status, row.code)
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    assert BACKEND_BUCKET not in str(response)
    return caught.value
