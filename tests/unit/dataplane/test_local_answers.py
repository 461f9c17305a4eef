"""Answers about buckets, without a backend."""

from collections.abc import Mapping

import pytest

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.local_answers import (
    BucketEntry,
    acl_result,
    create_bucket_error,
    delete_bucket_error,
    list_buckets_result,
    location_result,
    versioning_result,
)
from bucketroute_dataplane.core.sealing import SealingRing

RING = SealingRing([b"k" * 32], bytes)
BUCKETS = [
    BucketEntry(name=name, created_at="2026-01-02T03:04:05Z") for name in ("b2", "a1", "b1", "b3")
]


def listed(query: Mapping[bytes, bytes] | None = None) -> tuple[list[str], str | None]:
    root = xml.parse(list_buckets_result(BUCKETS, query or {}, RING, region="us-east-1"))
    names = [element.text or "" for element in root.findall("Buckets/Bucket/Name")]
    return names, root.findtext("ContinuationToken")


@pytest.mark.rule("3.7.15")
def test_buckets_are_listed_by_name_with_owner_and_date() -> None:
    body = list_buckets_result(BUCKETS[:1], {}, RING, region="eu-west-1")
    assert body == xml.document(
        "ListAllMyBucketsResult",
        "<Owner><ID>bucketroute</ID><DisplayName>bucketroute</DisplayName></Owner>"
        "<Buckets><Bucket><Name>b2</Name><CreationDate>2026-01-02T03:04:05.000Z</CreationDate>"
        "<BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets>",
    )
    assert listed() == (["a1", "b1", "b2", "b3"], None)


@pytest.mark.rule("3.7.14")
def test_dates_are_utc_with_milliseconds() -> None:
    entry = BucketEntry(name="a", created_at="2026-01-02T03:04:05.678901+02:00")
    body = list_buckets_result([entry], {}, RING, region="us-east-1")
    assert b"<CreationDate>2026-01-02T01:04:05.678Z</CreationDate>" in body


@pytest.mark.rule("3.7.15")
def test_prefix_narrows_and_is_echoed() -> None:
    assert listed({b"prefix": b"b"}) == (["b1", "b2", "b3"], None)
    body = list_buckets_result(BUCKETS, {b"prefix": b"b"}, RING, region="us-east-1")
    assert xml.parse(body).findtext("Prefix") == "b"


@pytest.mark.rule("3.7.15")
def test_pages_follow_each_other_by_token() -> None:
    query = {b"prefix": b"b", b"max-buckets": b"2"}
    names, token = listed(query)
    assert names == ["b1", "b2"]
    assert token is not None
    assert listed({**query, b"continuation-token": token.encode()}) == (["b3"], None)


@pytest.mark.parametrize("token", [b"b1", "é".encode()])
def test_a_token_that_was_not_made_here_is_refused(token: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        listed({b"continuation-token": token})
    assert caught.value.code == "InvalidArgument"
    assert listed({b"continuation-token": b""})[0] == ["a1", "b1", "b2", "b3"]


@pytest.mark.parametrize("value", [b"0", b"10001", b"-1", b"x", b"", b"1" * 50])
def test_max_buckets_is_1_to_10000(value: bytes) -> None:
    assert len(listed({b"max-buckets": b"10000"})[0]) == 4
    with pytest.raises(S3Error) as caught:
        listed({b"max-buckets": value})
    assert caught.value.fields["ArgumentName"] == "max-buckets"


def test_another_region_has_no_buckets() -> None:
    assert listed({b"bucket-region": b"us-east-1"})[0] == ["a1", "b1", "b2", "b3"]
    assert listed({b"bucket-region": b"eu-west-1"})[0] == []


def test_us_east_1_is_the_empty_location() -> None:
    assert location_result("us-east-1") == xml.document("LocationConstraint", "")
    assert location_result("eu-west-1") == xml.document("LocationConstraint", "eu-west-1")


def test_versioning_is_said_nothing_about() -> None:
    assert versioning_result() == xml.document("VersioningConfiguration", "")


def test_the_acl_is_private() -> None:
    root = xml.parse(acl_result())
    assert root.findtext("Owner/ID") == "bucketroute"
    (grant,) = root.findall("AccessControlList/Grant")
    assert grant.findtext("Grantee/ID") == "bucketroute"
    assert grant.findtext("Permission") == "FULL_CONTROL"


def test_create_bucket_lets_writers_go_on_and_shows_others_the_crd() -> None:
    owned = create_bucket_error("data", may_write=True)
    assert (owned.status, owned.code) == (409, "BucketAlreadyOwnedByYou")
    refused = create_bucket_error("data", may_write=False)
    assert (refused.status, refused.code) == (405, "MethodNotAllowed")
    assert "BucketRoute" in refused.message


def test_delete_bucket_shows_the_crd() -> None:
    error = delete_bucket_error()
    assert (error.status, error.code) == (405, "MethodNotAllowed")
    assert "BucketRoute" in error.message
