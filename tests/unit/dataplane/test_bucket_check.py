"""What a backend is asked about a route's bucket, and what its answers tell."""

import pytest

from bucketroute_dataplane.core.bucket_check import bucket_state, compose_bucket_check
from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_snapshot import AddressingStyle
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.heads import backend, route_entry


def target(**fields: object) -> BackendTarget:
    found = route_entry(backend=backend(**fields)).target
    assert found is not None
    return found


def test_one_key_below_the_routes_prefix_is_listed() -> None:
    asked = compose_bucket_check(target())
    assert (asked.method, asked.path) == (b"GET", b"/acme-backend")
    assert asked.query == b"list-type=2&max-keys=1&prefix=tenants%2Fone%2F"


def test_a_route_to_a_whole_bucket_lists_any_key() -> None:
    whole = target(prefix="", addressing_style=AddressingStyle.VIRTUAL)
    asked = compose_bucket_check(whole)
    assert (whole.host, asked.path) == (b"acme-backend.store:9000", b"/")
    assert asked.query == b"list-type=2&max-keys=1"


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, b"<ListBucketResult/>", BucketState.FOUND),
        (404, error("NoSuchBucket"), BucketState.NOT_FOUND),
        (404, b"", BucketState.NOT_FOUND),
        (403, error("AccessDenied"), BucketState.FORBIDDEN),
        (403, error("InvalidAccessKeyId"), BucketState.UNKNOWN),
        (301, error("PermanentRedirect"), BucketState.UNKNOWN),
        (400, error("IllegalLocationConstraintException"), BucketState.UNKNOWN),
        (503, error("SlowDown"), BucketState.UNKNOWN),
        (502, b"<html>", BucketState.UNKNOWN),
    ],
)
def test_an_answer_tells_what_a_client_would_hear(
    status: int, body: bytes, state: BucketState
) -> None:
    assert bucket_state(status, body, target()) is state
