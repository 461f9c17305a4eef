"""Versions on a bucket that keeps them: a named version is never mistaken for the current one."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bucketroute_testing.error_rows import Call, Row, assert_error
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tenants import READER, VERSIONED

pytestmark = [pytest.mark.minio]


@pytest.fixture
def s3(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        yield client


def two_versions(s3: Any, key: str) -> tuple[str, str]:
    """The version IDs of an object whose bodies are `old` and `new`."""
    old = s3.put_object(Bucket=VERSIONED, Key=key, Body=b"old")["VersionId"]
    return old, s3.put_object(Bucket=VERSIONED, Key=key, Body=b"new")["VersionId"]


def body_of(s3: Any, **named: str) -> bytes:
    body: bytes = s3.get_object(Bucket=VERSIONED, **named)["Body"].read()
    return body


@pytest.mark.rule("3.5.1")
def test_get_and_head_take_the_version_that_is_named(s3: Any) -> None:
    old, new = two_versions(s3, "read")
    assert body_of(s3, Key="read") == b"new"
    assert body_of(s3, Key="read", VersionId=old) == b"old"
    assert s3.head_object(Bucket=VERSIONED, Key="read", VersionId=old)["VersionId"] == old
    assert s3.head_object(Bucket=VERSIONED, Key="read")["VersionId"] == new


@pytest.mark.rule("3.5.4")
def test_a_delete_of_a_version_leaves_the_others(s3: Any) -> None:
    old, new = two_versions(s3, "deleted")
    s3.delete_object(Bucket=VERSIONED, Key="deleted", VersionId=new)
    assert body_of(s3, Key="deleted") == b"old"
    marker = s3.delete_object(Bucket=VERSIONED, Key="deleted")
    assert marker["DeleteMarker"] is True
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=VERSIONED, Key="deleted")
    assert body_of(s3, Key="deleted", VersionId=old) == b"old"
    s3.delete_object(Bucket=VERSIONED, Key="deleted", VersionId=marker["VersionId"])
    assert body_of(s3, Key="deleted") == b"old"


@pytest.mark.rule("3.8.10")
def test_a_batch_delete_of_versions_leaves_the_others(s3: Any) -> None:
    old, new = two_versions(s3, "batch")
    batch = {"Objects": [{"Key": "batch", "VersionId": new}]}
    answer = s3.delete_objects(Bucket=VERSIONED, Delete=batch)
    assert [(each["Key"], each["VersionId"]) for each in answer["Deleted"]] == [("batch", new)]
    assert body_of(s3, Key="batch") == b"old"
    assert s3.head_object(Bucket=VERSIONED, Key="batch")["VersionId"] == old


@pytest.mark.rule("3.9.2", "3.9.6")
def test_a_copy_takes_the_version_of_its_source(s3: Any) -> None:
    old, _ = two_versions(s3, "source +")
    source = {"Bucket": VERSIONED, "Key": "source +", "VersionId": old}
    copied = s3.copy_object(Bucket=VERSIONED, Key="copied", CopySource=source)
    assert copied["CopySourceVersionId"] == old
    assert body_of(s3, Key="copied") == b"old"
    upload = s3.create_multipart_upload(Bucket=VERSIONED, Key="copied-part")["UploadId"]
    named = {"Bucket": VERSIONED, "Key": "copied-part", "UploadId": upload}
    part = s3.upload_part_copy(**named, PartNumber=1, CopySource=source)["CopyPartResult"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert body_of(s3, Key="copied-part") == b"old"


@pytest.mark.rule("3.7.7", "3.7.8")
def test_versions_are_listed_page_by_page_under_the_virtual_name(s3: Any) -> None:
    for key in ("vl/a b", "vl/c+d", "vl/dir/e"):
        two_versions(s3, key)
    s3.delete_object(Bucket=VERSIONED, Key="vl/c+d")
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=VERSIONED, Prefix="vl/", Delimiter="/", PaginationConfig={"PageSize": 2}
        )
    )
    assert len(pages) > 1
    assert {(page["Name"], page["Prefix"]) for page in pages} == {(VERSIONED, "vl/")}
    versions = [each["Key"] for page in pages for each in page.get("Versions", [])]
    assert versions == ["vl/a b", "vl/a b", "vl/c+d", "vl/c+d"]
    markers = [each["Key"] for page in pages for each in page.get("DeleteMarkers", [])]
    assert markers == ["vl/c+d"]
    folded = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    assert folded == ["vl/dir/"]


NAMED = {"Bucket": VERSIONED, "Key": "guarded", "VersionId": "null"}
NEED_A_VERSION_PERMISSION: dict[str, Call] = {
    "get": lambda s3: s3.get_object(**NAMED),
    "attributes": lambda s3: s3.get_object_attributes(**NAMED, ObjectAttributes=["ETag"]),
    "tagging": lambda s3: s3.get_object_tagging(**NAMED),
    "delete": lambda s3: s3.delete_object(**NAMED),
    "copy": lambda s3: s3.copy_object(Bucket=BUCKET, Key="c", CopySource=NAMED),
}


@pytest.mark.rule("3.9.2")
@pytest.mark.parametrize("call", NEED_A_VERSION_PERMISSION.values(), ids=NEED_A_VERSION_PERMISSION)
def test_reading_the_current_version_does_not_grant_the_others(
    minio_gateway: Gateway, call: Call
) -> None:
    with closing(minio_gateway.client(READER)) as client:
        assert_error(client, Row(call=call, status=403, code="AccessDenied"))


@pytest.mark.rule("3.8.3", "3.8.4")
def test_a_batch_delete_answers_for_each_version_apart(s3: Any) -> None:
    absent = {"Key": "absent", "VersionId": "00000000-0000-0000-0000-000000000000"}
    batch = {"Objects": [{"Key": "never-there"}, absent]}
    answer = s3.delete_objects(Bucket=VERSIONED, Delete=batch)
    seen = {each["Key"] for each in (*answer.get("Deleted", []), *answer.get("Errors", []))}
    assert seen == {"never-there", "absent"}
