"""What else objects have: tags, attributes, parts, overrides, customer keys, addressing."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.clients import s3_client
from bucketroute_testing.error_rows import Row, assert_error
from bucketroute_testing.gateway import BUCKET, DOMAIN, Gateway
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import KiB, MiB

NAMED = {"Bucket": BUCKET, "Key": "features/k"}
TAGS = [{"Key": "project +", "Value": "a/b"}, {"Key": "empty", "Value": ""}]


@pytest.fixture
def s3(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        client.put_object(**NAMED, Body=b"0123456789")
        yield client


@pytest.fixture
def wire_s3(shared_gateway: Gateway) -> Iterator[Any]:
    with closing(shared_gateway.client()) as client:
        yield client


@pytest.mark.minio
@pytest.mark.rule("3.3.10")
def test_tags_are_set_read_and_removed_and_the_object_stays(s3: Any) -> None:
    s3.put_object_tagging(**NAMED, Tagging={"TagSet": TAGS})
    stored = s3.get_object_tagging(**NAMED)["TagSet"]
    assert sorted(stored, key=lambda tag: tag["Key"], reverse=True) == TAGS
    assert s3.get_object(**NAMED)["TagCount"] == 2
    s3.delete_object_tagging(**NAMED)
    assert s3.get_object_tagging(**NAMED)["TagSet"] == []
    assert s3.get_object(**NAMED)["Body"].read() == b"0123456789"


@pytest.mark.minio
@pytest.mark.rule("3.5.3")
def test_tags_come_with_the_object_and_with_its_copy(s3: Any) -> None:
    s3.put_object(**NAMED, Body=b"x", Tagging="a=1&b=2%20%2B")
    wanted = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2 +"}]
    assert s3.get_object_tagging(**NAMED)["TagSet"] == wanted
    s3.copy_object(
        Bucket=BUCKET,
        Key="features/copy",
        CopySource=NAMED,
        Tagging="c=3",
        TaggingDirective="REPLACE",
    )
    copied = s3.get_object_tagging(Bucket=BUCKET, Key="features/copy")
    assert copied["TagSet"] == [{"Key": "c", "Value": "3"}]


@pytest.mark.minio
@pytest.mark.rule("3.5.7")
def test_a_copy_replaces_its_metadata_when_asked_to(s3: Any) -> None:
    s3.put_object(**NAMED, Body=b"x", Metadata={"old": "1"}, ContentType="text/plain")
    copy = {"Bucket": BUCKET, "Key": "features/replaced"}
    s3.copy_object(
        **copy,
        CopySource=NAMED,
        MetadataDirective="REPLACE",
        Metadata={"new": "2"},
        ContentType="text/csv",
    )
    head = s3.head_object(**copy)
    assert (head["Metadata"], head["ContentType"]) == ({"new": "2"}, "text/csv")


@pytest.fixture
def two_parts(s3: Any) -> tuple[bytes, bytes]:
    """`features/k` as an object of two parts."""
    bodies = (b"a" * 5 * MiB, b"b" * KiB)
    upload = {**NAMED, "UploadId": s3.create_multipart_upload(**NAMED)["UploadId"]}
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(bodies, start=1)
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    return bodies


@pytest.mark.minio
@pytest.mark.rule("3.5.1", "3.3.10")
def test_one_part_of_an_object_can_be_read(s3: Any, two_parts: tuple[bytes, bytes]) -> None:
    got = s3.get_object(**NAMED, PartNumber=2)
    assert (got["Body"].read(), got["PartsCount"]) == (two_parts[1], 2)
    assert got["ContentRange"] == f"bytes {5 * MiB}-{5 * MiB + KiB - 1}/{5 * MiB + KiB}"
    head = s3.head_object(**NAMED, PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (5 * MiB, 2)


@pytest.mark.minio
@pytest.mark.rule("3.3.10")
def test_attributes_tell_size_and_parts(s3: Any, two_parts: tuple[bytes, bytes]) -> None:
    wanted = ["ETag", "ObjectParts", "ObjectSize", "StorageClass"]
    found = s3.get_object_attributes(**NAMED, ObjectAttributes=wanted)
    assert found["ObjectSize"] == sum(map(len, two_parts))
    assert found["ObjectParts"]["TotalPartsCount"] == 2
    assert found["ETag"] == s3.head_object(**NAMED)["ETag"].strip('"')


@pytest.mark.minio
@pytest.mark.rule("3.3.10", "3.6.6")
def test_parts_of_an_upload_are_listed_page_by_page(s3: Any) -> None:
    upload = {**NAMED, "UploadId": s3.create_multipart_upload(**NAMED)["UploadId"]}
    for number in (1, 2, 5):
        s3.upload_part(**upload, PartNumber=number, Body=b"x" * number)
    paginator = s3.get_paginator("list_parts")
    pages = list(paginator.paginate(**upload, PaginationConfig={"PageSize": 2}))
    assert {(page["Bucket"], page["Key"]) for page in pages} == {tuple(NAMED.values())}
    sizes = [(part["PartNumber"], part["Size"]) for page in pages for part in page["Parts"]]
    assert sizes == [(1, 1), (2, 2), (5, 5)]
    s3.abort_multipart_upload(**upload)


@pytest.mark.minio
@pytest.mark.rule("3.9.1")
def test_a_part_is_copied_from_a_range(s3: Any) -> None:
    upload = {"Bucket": BUCKET, "Key": "features/of-range"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    copied = s3.upload_part_copy(
        **upload, PartNumber=1, CopySource=NAMED, CopySourceRange="bytes=2-4"
    )["CopyPartResult"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": copied["ETag"]}]}
    completed = s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert "/features/of-range" in completed["Location"]
    got = s3.get_object(Bucket=BUCKET, Key="features/of-range")
    assert got["Body"].read() == b"234"


CUSTOMER_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}


@pytest.mark.rule("3.5.1", "3.6.4")
@pytest.mark.parametrize("operation", ["put_object", "get_object", "head_object"])
def test_a_customers_key_never_goes_to_a_plaintext_backend(
    recorded: WireBackend, wire_s3: Any, operation: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(wire_s3, operation)(**NAMED, **CUSTOMER_KEY)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert recorded.requests() == ()


@pytest.mark.rule("3.5.3")
def test_encryption_and_storage_class_reach_the_backend_signed(
    recorded: WireBackend, wire_s3: Any
) -> None:
    wire_s3.put_object(
        **NAMED, Body=b"x", ServerSideEncryption="AES256", StorageClass="STANDARD_IA"
    )
    head = recorded.only_request("PUT").head
    sent = {"x-amz-server-side-encryption": "AES256", "x-amz-storage-class": "STANDARD_IA"}
    assert {name: head.header(name) for name in sent} == sent
    assert sent.keys() <= head.signed_headers


@pytest.mark.minio
@pytest.mark.rule("3.3.2")
def test_boto3_names_the_bucket_in_the_host(minio_gateway: Gateway, s3: Any) -> None:
    address = minio_gateway.endpoint.removeprefix("http://")
    named = f"http://{DOMAIN}:{address.partition(':')[2]}"

    def resolve(request: Any, **_: object) -> None:
        # Stands in for the DNS entry of the domain, after the request was signed for its host.
        url = urlsplit(request.url)
        request.headers["Host"] = url.netloc
        request.url = urlunsplit(url._replace(netloc=address))

    with closing(s3_client(named, minio_gateway.key, addressing="virtual")) as client:
        client.meta.events.register("before-send.s3", resolve)
        client.put_object(**NAMED, Body=b"by host")
        assert client.get_object(**NAMED)["Body"].read() == b"by host"
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix="features/k")
    assert [each["Key"] for each in listed["Contents"]] == ["features/k"]
    assert s3.get_object(**NAMED)["Body"].read() == b"by host"


@pytest.mark.rule("3.3.10")
@pytest.mark.parametrize("operation", ["get_object_acl", "get_object_legal_hold"])
def test_a_sub_resource_that_is_not_served_is_never_the_object(
    recorded: WireBackend, wire_s3: Any, operation: str
) -> None:
    row = Row(call=lambda s3: getattr(s3, operation)(**NAMED), status=501, code="NotImplemented")
    assert_error(wire_s3, row)
    assert recorded.requests() == ()
