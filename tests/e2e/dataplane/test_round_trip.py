"""boto3, unmodified, through the gateway and back: it reads what it stored, byte for byte."""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from bucketroute_testing.clients import ChecksumMode
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_PREFIX,
    BUCKET,
    DOMAIN,
    Gateway,
)
from bucketroute_testing.wire_types import MiB

SIZES = {"0": 0, "1": 1, "5MiB-1": 5 * MiB - 1, "5MiB": 5 * MiB, "5MiB+1": 5 * MiB + 1}


@pytest.fixture
def s3(gateway: Gateway) -> Iterator[Any]:
    with closing(gateway.client()) as client:
        yield client


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_objects_of_every_size_round_trip(
    front: Gateway, checksums: ChecksumMode, size: int
) -> None:
    body = payload(size)
    with closing(front.client(checksums=checksums)) as client:
        put = client.put_object(Bucket=BUCKET, Key="round-trip", Body=body)
        got = client.get_object(Bucket=BUCKET, Key="round-trip")
        assert got["Body"].read() == body
        head = client.head_object(Bucket=BUCKET, Key="round-trip")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])


def test_64_mib_round_trip_by_multipart(front: Gateway) -> None:
    body = payload(64 * MiB)
    config = TransferConfig(multipart_threshold=8 * MiB, multipart_chunksize=8 * MiB)
    with closing(front.client()) as client:
        client.upload_fileobj(io.BytesIO(body), BUCKET, "big", Config=config)
        assert client.head_object(Bucket=BUCKET, Key="big")["ETag"].endswith('-8"')
        out = io.BytesIO()
        client.download_fileobj(BUCKET, "big", out, Config=config)
    assert out.getvalue() == body


def test_64_mib_round_trip_in_one_piece(front: Gateway) -> None:
    body = payload(64 * MiB)
    with closing(front.client()) as client:
        client.put_object(Bucket=BUCKET, Key="single", Body=io.BytesIO(body))
        assert client.get_object(Bucket=BUCKET, Key="single")["Body"].read() == body


def test_the_backend_holds_the_object_under_its_real_name(s3: Any, gateway: Gateway) -> None:
    s3.put_object(Bucket=BUCKET, Key="where/am-i", Body=b"here")
    with closing(gateway.backend.direct_client()) as direct:
        stored = direct.get_object(Bucket=BACKEND_BUCKET, Key=f"{BACKEND_PREFIX}where/am-i")
    assert stored["Body"].read() == b"here"


def test_metadata_and_description_come_back(s3: Any) -> None:
    described = {
        "ContentType": "text/csv",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.csv"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"owner": "team-a", "purpose": "test"},
    }
    s3.put_object(Bucket=BUCKET, Key="described", Body=b"x", **described)
    head = s3.head_object(Bucket=BUCKET, Key="described")
    assert {name: head[name] for name in described} == described


@pytest.mark.rule("3.5.3")
def test_metadata_survives_multipart(s3: Any) -> None:
    upload = s3.create_multipart_upload(
        Bucket=BUCKET, Key="multi", Metadata={"owner": "me"}, ContentType="text/plain"
    )["UploadId"]
    named = {"Bucket": BUCKET, "Key": "multi", "UploadId": upload}
    etag = s3.upload_part(**named, PartNumber=1, Body=b"only")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    completed = s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert (completed["Bucket"], completed["Key"]) == (BUCKET, "multi")
    head = s3.head_object(Bucket=BUCKET, Key="multi")
    assert (head["Metadata"], head["ContentType"]) == ({"owner": "me"}, "text/plain")


@pytest.mark.minio
@pytest.mark.parametrize("backend", ["minio"], indirect=True)  # moto's document has another name
def test_parts_are_listed_under_the_virtual_name(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="some parts")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "some parts", "UploadId": upload}
    for number in (1, 3):
        s3.upload_part(**named, PartNumber=number, Body=b"x" * number)
    listed = s3.list_parts(**named)
    assert (listed["Bucket"], listed["Key"], listed["UploadId"]) == tuple(named.values())
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 1), (3, 3)]
    s3.abort_multipart_upload(**named)


def test_an_aborted_upload_is_gone(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="aborted")["UploadId"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="aborted", UploadId=upload)
    listed = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="aborted").get("Uploads", [])
    assert listed == []


def test_deleted_objects_are_gone_one_by_one_and_by_batch(s3: Any) -> None:
    for name in ("del/1", "del/2", "del/3"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="del/1")
    batch = {"Objects": [{"Key": "del/2"}, {"Key": "del/3"}]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=batch)
    assert sorted(each["Key"] for each in answer["Deleted"]) == ["del/2", "del/3"]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="del/")["KeyCount"] == 0


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_listings_page_through_the_virtual_bucket(s3: Any, operation: str) -> None:
    keys = [f"{operation}/{number:02d}" for number in range(7)]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    pages = s3.get_paginator(operation).paginate(
        Bucket=BUCKET, Prefix=f"{operation}/", PaginationConfig={"PageSize": 3}
    )
    listed = list(pages)
    assert [each["Key"] for page in listed for each in page["Contents"]] == keys
    assert {page["Name"] for page in listed} == {BUCKET}


def test_a_listing_folds_at_the_delimiter(s3: Any) -> None:
    for name in ("fold/a/1", "fold/a/2", "fold/b/1", "fold/c"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    answer = s3.list_objects_v2(Bucket=BUCKET, Prefix="fold/", Delimiter="/")
    assert [each["Prefix"] for each in answer["CommonPrefixes"]] == ["fold/a/", "fold/b/"]
    assert [each["Key"] for each in answer["Contents"]] == ["fold/c"]


@pytest.mark.rule("3.9.6")
def test_a_copy_is_the_same_object(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="original", Body=b"copied", Metadata={"m": "v"})
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "original"})
    got = s3.get_object(Bucket=BUCKET, Key="copy")
    assert (got["Body"].read(), got["Metadata"]) == (b"copied", {"m": "v"})


def test_ranges_and_conditions_are_honoured(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="ranged", Body=b"0123456789")["ETag"]
    part = s3.get_object(Bucket=BUCKET, Key="ranged", Range="bytes=2-4", IfMatch=etag)
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert s3.get_object(Bucket=BUCKET, Key="ranged", Range="bytes=-3")["Body"].read() == b"789"


def test_the_bucket_is_seen_under_its_virtual_name_only(s3: Any) -> None:
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [BUCKET]
    s3.head_bucket(Bucket=BUCKET)
    assert "LocationConstraint" in s3.get_bucket_location(Bucket=BUCKET)


@pytest.mark.rule("3.10.1")
def test_presigned_urls_upload_and_download(s3: Any, gateway: Gateway) -> None:
    named = {"Bucket": BUCKET, "Key": "presigned +key"}
    put = s3.generate_presigned_url("put_object", Params=named).removeprefix(gateway.endpoint)
    get = s3.generate_presigned_url("get_object", Params=named).removeprefix(gateway.endpoint)
    host = ("Host", gateway.endpoint.partition("//")[2])
    with gateway.raw() as raw:
        raw.send_head("PUT", put, (host, ("Content-Length", "4")))
        raw.send(b"body")
        assert raw.read_response("PUT").status == 200
        raw.send_head("GET", get, (host,))
        assert raw.read_response().body == b"body"


@pytest.mark.rule("3.3.2")
def test_virtual_hosted_style_names_the_bucket_in_the_host(gateway: Gateway) -> None:
    host = f"{BUCKET}.{DOMAIN}"
    signed = gateway.signer.sign("PUT", f"http://{host}/virtual/key")
    with gateway.raw() as raw:
        raw.send_head("PUT", "/virtual/key", (*signed.headers, ("Content-Length", "2")))
        raw.send(b"vh")
        assert raw.read_response("PUT").status == 200
    with closing(gateway.client()) as client:
        assert client.get_object(Bucket=BUCKET, Key="virtual/key")["Body"].read() == b"vh"
