"""Listings: pages, folding and encoding on MinIO; what the backend is asked on the wire."""

import base64
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bucketroute_testing.error_rows import Call, Row, assert_error
from bucketroute_testing.gateway import BACKEND_BUCKET, BACKEND_PREFIX, BUCKET, Gateway
from bucketroute_testing.tenants import VERSIONED
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_store_xml import document

FOLDED = ["ls/a b/", "ls/a+b/", "ls/ü/"]
PLAIN = ["ls/0", "ls/p+q", "ls/r s", "ls/z%20"]


@pytest.fixture(scope="module")
def filled(minio_gateway: Gateway) -> Iterator[Any]:
    """A client of a bucket with seven names at one level, three of them folders."""
    with closing(minio_gateway.client()) as client:
        for key in (*PLAIN, *(f"{folder}{name}" for folder in FOLDED for name in "12")):
            client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        yield client


def pages_of(client: Any, operation: str, **settings: object) -> list[dict[str, Any]]:
    paginator = client.get_paginator(operation)
    size = {"PageSize": 2}
    return list(paginator.paginate(Bucket=BUCKET, PaginationConfig=size, **settings))


@pytest.mark.minio
@pytest.mark.rule("3.7.2", "3.7.5", "3.7.8", "3.7.9")
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_pages_fold_at_the_delimiter(filled: Any, operation: str) -> None:
    pages = pages_of(filled, operation, Prefix="ls/", Delimiter="/")
    assert len(pages) == 4
    assert all(page["Prefix"] == "ls/" and page["Delimiter"] == "/" for page in pages)
    folded = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    assert folded == FOLDED
    assert [each["Key"] for page in pages for each in page.get("Contents", [])] == PLAIN
    assert [page["IsTruncated"] for page in pages] == [True, True, True, False]


@pytest.mark.minio
@pytest.mark.rule("3.7.3", "3.7.10")
def test_a_continuation_token_tells_nothing_and_serves_its_listing_only(filled: Any) -> None:
    named = {"Bucket": BUCKET, "Prefix": "ls/", "MaxKeys": 2}
    token = filled.list_objects_v2(**named)["NextContinuationToken"]
    clear = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"ls/" not in clear
    assert BACKEND_PREFIX.encode() not in clear
    again = filled.list_objects_v2(**named, ContinuationToken=token)
    assert again["ContinuationToken"] == token
    for elsewhere in ({**named, "Prefix": "other/"}, {**named, "Bucket": VERSIONED}):
        call: Call = lambda s3, at=elsewhere: s3.list_objects_v2(**at, ContinuationToken=token)  # type: ignore[misc]  # noqa: E731
        assert_error(filled, Row(call=call, status=400, code="InvalidArgument"))


@pytest.mark.minio
@pytest.mark.rule("3.7.4")
def test_listings_start_where_they_are_told_to(filled: Any) -> None:
    named = {"Bucket": BUCKET, "Prefix": "ls/", "Delimiter": "/"}
    later = filled.list_objects_v2(**named, StartAfter="ls/p+q")
    assert [each["Key"] for each in later["Contents"]] == ["ls/r s", "ls/z%20"]
    assert later["StartAfter"] == "ls/p+q"
    marked = filled.list_objects(**named, Marker="ls/p+q")
    assert [each["Key"] for each in marked["Contents"]] == ["ls/r s", "ls/z%20"]
    assert marked["Marker"] == "ls/p+q"


@pytest.mark.minio
@pytest.mark.rule("3.7.2")
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_a_page_of_no_keys_is_empty(filled: Any, operation: str) -> None:
    page = getattr(filled, operation)(Bucket=BUCKET, Prefix="ls/", MaxKeys=0)
    assert (page["IsTruncated"], page.get("Contents", [])) == (False, [])
    assert (page["Name"], page["MaxKeys"]) == (BUCKET, 0)


REFUSED: dict[str, Call] = {
    "negative page": lambda s3: s3.list_objects_v2(Bucket=BUCKET, MaxKeys=-1),
    "unknown encoding": lambda s3: s3.list_objects_v2(Bucket=BUCKET, EncodingType="gzip"),
    "forged token": lambda s3: s3.list_objects_v2(Bucket=BUCKET, ContinuationToken="Zm9yZ2Vk"),
    "version without key": lambda s3: s3.list_object_versions(Bucket=BUCKET, VersionIdMarker="v"),
}


@pytest.mark.minio
@pytest.mark.rule("3.7.2", "3.7.3")
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_listed_is_refused(filled: Any, call: Call) -> None:
    assert_error(filled, Row(call=call, status=400, code="InvalidArgument"))


@pytest.mark.minio
@pytest.mark.rule("3.7.13", "3.7.14")
def test_entries_keep_what_the_backend_says_of_them(filled: Any) -> None:
    entry = filled.list_objects_v2(Bucket=BUCKET, Prefix="ls/0", FetchOwner=True)["Contents"][0]
    head = filled.head_object(Bucket=BUCKET, Key="ls/0")
    assert (entry["Size"], entry["ETag"]) == (1, head["ETag"])
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert entry["StorageClass"] == "STANDARD"


@pytest.mark.minio
@pytest.mark.rule("3.3.10")
def test_uploads_of_a_key_are_listed_under_its_virtual_name(filled: Any) -> None:
    # MinIO lists the uploads of one key only, whatever the prefix, and cannot page them.
    named = {"Bucket": BUCKET, "Key": "up/of this"}
    uploads = {filled.create_multipart_upload(**named)["UploadId"] for _ in range(3)}
    page = filled.list_multipart_uploads(Bucket=BUCKET, Prefix=named["Key"])
    assert (page["Bucket"], page["Prefix"]) == (BUCKET, named["Key"])
    assert {each["Key"] for each in page["Uploads"]} == {named["Key"]}
    assert {each["UploadId"] for each in page["Uploads"]} == uploads
    for upload in uploads:
        filled.abort_multipart_upload(**named, UploadId=upload)


# -- on the wire -------------------------------------------------------------------------------

UPLOADS_PAGE = f"""<Bucket>{BACKEND_BUCKET}</Bucket><EncodingType>url</EncodingType>
<KeyMarker>{BACKEND_PREFIX}u/a%2Bb</KeyMarker><UploadIdMarker>id-1</UploadIdMarker>
<Prefix>{BACKEND_PREFIX}u/</Prefix><Delimiter>%2F</Delimiter><MaxUploads>2</MaxUploads>
<NextKeyMarker>{BACKEND_PREFIX}u/c%20d</NextKeyMarker>
<NextUploadIdMarker>id-3</NextUploadIdMarker><IsTruncated>true</IsTruncated>
<Upload><Key>{BACKEND_PREFIX}u/c%20d</Key><UploadId>id-3</UploadId>
<Initiated>2026-01-02T03:04:05.000Z</Initiated><StorageClass>STANDARD</StorageClass></Upload>
<CommonPrefixes><Prefix>{BACKEND_PREFIX}u/dir%2B/</Prefix></CommonPrefixes>"""


@pytest.mark.rule("3.7.4", "3.7.5", "3.7.6", "3.7.7")
def test_uploads_are_listed_by_prefix_marker_and_delimiter(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    recorded.script("GET", "*uploads*", document("ListMultipartUploadsResult", UPLOADS_PAGE))
    with closing(shared_gateway.client()) as client:
        page = client.list_multipart_uploads(
            Bucket=BUCKET,
            Prefix="u/",
            Delimiter="/",
            KeyMarker="u/a+b",
            UploadIdMarker="id-1",
            MaxUploads=2,
        )
    asked = recorded.only_request("GET", "*uploads*").head.query
    assert asked == {
        "uploads": "",
        "encoding-type": "url",
        "max-uploads": "2",
        "prefix": f"{BACKEND_PREFIX}u/",
        "delimiter": "/",
        "key-marker": f"{BACKEND_PREFIX}u/a+b",
        "upload-id-marker": "id-1",
    }
    assert (page["Bucket"], page["Prefix"], page["KeyMarker"]) == (BUCKET, "u/", "u/a+b")
    assert (page["NextKeyMarker"], page["NextUploadIdMarker"]) == ("u/c d", "id-3")
    assert [(each["Key"], each["UploadId"]) for each in page["Uploads"]] == [("u/c d", "id-3")]
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["u/dir+/"]
