"""Bucket names to routes, and routes to what stands before a key at the backend."""

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import (
    ANONYMOUS,
    Identity,
    access_key_identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_snapshot import AddressingStyle, RouteState
from bucketroute_testing.heads import backend, refusal, route, route_entry, route_index

A = service_account_identity("team-a", "app")
B = service_account_identity("team-b", "app")
OUTSIDE = oidc_identity("https://ci.example", "job")


def found(index: RouteIndex, bucket: str, identity: Identity) -> str:
    return index.find(bucket, identity).label


def unknown(index: RouteIndex, bucket: str, identity: Identity) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        index.find(bucket, identity)
    return refusal(caught)


CONFLICT = route_index(route("photos"), route("photos", namespace="team-b", exported=False))


def test_a_callers_own_namespace_comes_first() -> None:
    assert found(CONFLICT, "photos", A) == "team-a/photos"
    assert found(CONFLICT, "photos", B) == "team-b/photos"
    assert found(CONFLICT, "photos", access_key_identity("team-b", "laptop")) == "team-b/photos"


@pytest.mark.parametrize("caller", [service_account_identity("team-c", "x"), OUTSIDE, ANONYMOUS])
def test_everybody_else_finds_the_holder_of_the_name(caller: Identity) -> None:
    assert found(CONFLICT, "photos", caller) == "team-a/photos"


@pytest.mark.rule("3.13")
def test_a_route_that_is_not_exported_is_found_by_its_namespace_alone() -> None:
    index = route_index(route("photos", exported=False))
    assert found(index, "photos", A) == "team-a/photos"
    for stranger in (B, OUTSIDE, ANONYMOUS):
        assert unknown(index, "photos", stranger) == (404, "NoSuchBucket")


@pytest.mark.rule("3.13")
def test_an_unknown_bucket_is_no_such_bucket_and_is_named() -> None:
    assert unknown(route_index(), "photos", A) == (404, "NoSuchBucket")
    with pytest.raises(S3Error) as caught:
        route_index(route("photos")).find("Photos", A)
    assert caught.value.fields == {"BucketName": "Photos"}


def test_a_caller_sees_each_name_once_and_only_what_it_could_use() -> None:
    index = route_index(
        route("logs", exported=False),
        route("photos"),
        route("photos", namespace="team-b", exported=False),
    )
    seen = {
        caller: [entry.label for entry in index.visible(caller)] for caller in (A, B, ANONYMOUS)
    }
    assert seen == {
        A: ["team-a/logs", "team-a/photos"],
        B: ["team-b/photos"],
        ANONYMOUS: ["team-a/photos"],
    }


def test_an_unresolved_route_has_no_target() -> None:
    entry = route_entry(state=RouteState.UNRESOLVED, backend=None)
    assert entry.target is None


TARGETS = [
    ("http://store:9000", "Path", b"store:9000", b"/acme/t/a%20b", b"/acme", "store", 9000),
    ("https://store", "Path", b"store", b"/acme/t/a%20b", b"/acme", "store", 443),
    ("http://store", "Path", b"store", b"/acme/t/a%20b", b"/acme", "store", 80),
    ("https://s3.test", "Virtual", b"acme.s3.test", b"/t/a%20b", b"/", "acme.s3.test", 443),
    ("https://s3.test:84", "Virtual", b"acme.s3.test:84", b"/t/a%20b", b"/", "acme.s3.test", 84),
    ("http://[::1]:9000", "Path", b"[::1]:9000", b"/acme/t/a%20b", b"/acme", "::1", 9000),
    ("http://[::1]", "Path", b"[::1]", b"/acme/t/a%20b", b"/acme", "::1", 80),
]  # fmt: skip


@pytest.mark.rule("3.4.2", "3.4.4", "3.4.10")
@pytest.mark.parametrize(
    ("endpoint", "style", "host", "object_path", "bucket_path", "name", "port"),
    TARGETS,
    ids=[f"{t[0]}-{t[1]}" for t in TARGETS],
)
def test_host_and_path_follow_from_endpoint_and_addressing_style(
    endpoint: str,
    style: str,
    host: bytes,
    object_path: bytes,
    bucket_path: bytes,
    name: str,
    port: int,
) -> None:
    place = backend(
        endpoint=endpoint, bucket="acme", prefix="t/", addressing_style=AddressingStyle(style)
    )
    target = route_entry(backend=place).target
    assert target is not None
    assert target.host == host
    assert target.object_path(b"a b") == object_path
    assert target.bucket_path == bucket_path
    assert (target.endpoint.host, target.endpoint.port) == (name, port)
    assert target.endpoint.is_tls is endpoint.startswith("https")


@pytest.mark.rule("3.13.4")
def test_a_key_is_measured_behind_the_prefix_of_its_route() -> None:
    target = route_entry(backend=backend(prefix="é/")).target
    assert target is not None
    target.check_key(b"k" * 1021)
    with pytest.raises(S3Error) as caught:
        target.check_key(b"k" * 1022)
    assert refusal(caught) == (400, "KeyTooLongError")
    assert caught.value.fields == {"Size": "1022", "MaxSizeAllowed": "1021"}


def test_domains_compare_in_lower_case() -> None:
    assert route_index(domains=("S3.Test",)).domains == (b"s3.test",)
