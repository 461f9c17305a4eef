"""Who sees what: anonymous callers, two tenants on one backend bucket, ListBuckets by caller."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bucketroute_testing.error_rows import Call, Row, assert_error
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tenants import (
    PUBLIC,
    READER,
    TENANT_B_BUCKET,
    TENANT_B_KEY,
    VERSIONED,
)

pytestmark = [pytest.mark.minio]
DENIED = "AccessDenied"


@pytest.fixture
def tenant_a(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        yield client


@pytest.fixture
def tenant_b(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client(TENANT_B_KEY)) as client:
        yield client


def names(client: Any, **wanted: object) -> list[str]:
    return [each["Name"] for each in client.list_buckets(**wanted)["Buckets"]]


@pytest.mark.rule("3.10.16", "3.7.15")
def test_list_buckets_shows_each_caller_its_own(tenant_a: Any, tenant_b: Any) -> None:
    assert names(tenant_a) == [BUCKET, VERSIONED]
    # The bucket of tenant A has a folder that is open to everybody; the versioned one has not.
    assert names(tenant_b) == [BUCKET, TENANT_B_BUCKET]


@pytest.mark.rule("3.7.15")
def test_list_buckets_takes_a_prefix_and_pages(tenant_a: Any) -> None:
    assert names(tenant_a, Prefix="ver") == [VERSIONED]
    first = tenant_a.list_buckets(MaxBuckets=1)
    assert [each["Name"] for each in first["Buckets"]] == [BUCKET]
    rest = names(tenant_a, MaxBuckets=1, ContinuationToken=first["ContinuationToken"])
    assert rest == [VERSIONED]


@pytest.mark.rule("3.10.16")
def test_list_buckets_needs_a_caller(minio_gateway: Gateway) -> None:
    with closing(minio_gateway.anonymous_client()) as client:
        row = Row(call=lambda s3: s3.list_buckets(), status=403, code=DENIED)
        assert_error(client, row)


def test_tenants_on_one_backend_bucket_see_their_own_objects_only(
    tenant_a: Any, tenant_b: Any
) -> None:
    tenant_a.put_object(Bucket=BUCKET, Key="same/key", Body=b"of a")
    tenant_b.put_object(Bucket=TENANT_B_BUCKET, Key="same/key", Body=b"of b")
    for client, bucket, body in (
        (tenant_a, BUCKET, b"of a"),
        (tenant_b, TENANT_B_BUCKET, b"of b"),
    ):
        assert client.get_object(Bucket=bucket, Key="same/key")["Body"].read() == body
        listed = client.list_objects_v2(Bucket=bucket, Prefix="same/")["Contents"]
        assert [each["Key"] for each in listed] == ["same/key"]


OF_TENANT_A: dict[str, Call] = {
    "get": lambda s3: s3.get_object(Bucket=BUCKET, Key="same/key"),
    "put": lambda s3: s3.put_object(Bucket=BUCKET, Key="same/key", Body=b"overwritten"),
    "delete": lambda s3: s3.delete_object(Bucket=BUCKET, Key="same/key"),
    "batch delete": lambda s3: s3.delete_objects(
        Bucket=BUCKET, Delete={"Objects": [{"Key": "same/key"}]}
    ),
    "list": lambda s3: s3.list_objects_v2(Bucket=BUCKET),
    "list of the public folder's parent": lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="p"),
    "copy from it": lambda s3: s3.copy_object(
        Bucket=TENANT_B_BUCKET, Key="stolen", CopySource={"Bucket": BUCKET, "Key": "same/key"}
    ),
    "copy into it": lambda s3: s3.copy_object(
        Bucket=BUCKET, Key="planted", CopySource={"Bucket": TENANT_B_BUCKET, "Key": "same/key"}
    ),
    "list its uploads": lambda s3: s3.list_multipart_uploads(Bucket=BUCKET),
}


@pytest.mark.rule("3.9.1", "3.10.11")
@pytest.mark.parametrize("call", OF_TENANT_A.values(), ids=OF_TENANT_A)
def test_a_tenant_reaches_nothing_of_another(tenant_b: Any, call: Call) -> None:
    tenant_b.put_object(Bucket=TENANT_B_BUCKET, Key="same/key", Body=b"of b")
    assert_error(tenant_b, Row(call=call, status=403, code=DENIED))


@pytest.mark.rule("3.10.10")
def test_anonymous_callers_read_and_list_what_is_public(
    minio_gateway: Gateway, tenant_a: Any
) -> None:
    tenant_a.put_object(Bucket=BUCKET, Key=f"{PUBLIC}page.html", Body=b"hello")
    with closing(minio_gateway.anonymous_client()) as client:
        got = client.get_object(Bucket=BUCKET, Key=f"{PUBLIC}page.html")
        assert got["Body"].read() == b"hello"
        assert client.head_object(Bucket=BUCKET, Key=f"{PUBLIC}page.html")["ContentLength"] == 5
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=PUBLIC)["Contents"]
    assert f"{PUBLIC}page.html" in [each["Key"] for each in listed]


ANONYMOUS_MAY_NOT: dict[str, Call] = {
    "read elsewhere": lambda s3: s3.get_object(Bucket=BUCKET, Key="private"),
    "read a sibling": lambda s3: s3.get_object(Bucket=BUCKET, Key="public-not/k"),
    "list the bucket": lambda s3: s3.list_objects_v2(Bucket=BUCKET),
    "write": lambda s3: s3.put_object(Bucket=BUCKET, Key=f"{PUBLIC}k", Body=b""),
    "delete": lambda s3: s3.delete_object(Bucket=BUCKET, Key=f"{PUBLIC}k"),
    "batch delete": lambda s3: s3.delete_objects(
        Bucket=BUCKET, Delete={"Objects": [{"Key": f"{PUBLIC}k"}]}
    ),
    "create a bucket": lambda s3: s3.create_bucket(Bucket=BUCKET),
}


@pytest.mark.rule("3.8.2", "3.10.10")
@pytest.mark.parametrize("call", ANONYMOUS_MAY_NOT.values(), ids=ANONYMOUS_MAY_NOT)
def test_anonymous_callers_do_nothing_else(minio_gateway: Gateway, call: Call) -> None:
    with closing(minio_gateway.anonymous_client()) as client:
        assert_error(client, Row(call=call, status=403, code=DENIED))


@pytest.mark.rule("3.8.3", "3.8.4")
def test_a_reader_deletes_nothing_by_batch(minio_gateway: Gateway, tenant_a: Any) -> None:
    tenant_a.put_object(Bucket=BUCKET, Key="kept", Body=b"kept")

    def call(client: Any) -> object:
        return client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "kept"}]})

    with closing(minio_gateway.client(READER)) as client:
        assert_error(client, Row(call=call, status=403, code=DENIED))
    assert tenant_a.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"kept"
