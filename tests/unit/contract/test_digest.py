"""The digest of a snapshot: the same for the same content, another for any other."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_snapshot import (
    ClassSettings,
    Limits,
    Route,
    RouteState,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    snapshot_digest,
)
from bucketroute_testing.heads import backend, route, rule
from bucketroute_testing.snapshot_values import ROUTES

ROUTE = route("photos")
SNAPSHOT = Snapshot(settings=ClassSettings(name="default", region="r"), routes=(ROUTE,))

CHANGES = {
    "bucket": replace(ROUTE, bucket="other"),
    "state": replace(ROUTE, state=RouteState.SUSPENDED),
    "exported": replace(ROUTE, exported=False),
    "generation": replace(ROUTE, generation=2),
    "access": replace(ROUTE, access=(rule("GetObject"),)),
    "prefix": replace(ROUTE, backend=backend(prefix="tenants/two/")),
    "no backend": replace(ROUTE, backend=None),
    "limits": replace(ROUTE, limits=Limits(max_concurrent_requests=1)),
}


def test_the_digest_is_sha256_of_the_canonical_lines() -> None:
    expected = hashlib.sha256(encode_snapshot(SNAPSHOT)).hexdigest()
    assert snapshot_digest(SNAPSHOT) == f"sha256:{expected}"


@settings(max_examples=30)
@given(st.lists(ROUTES, max_size=2))
def test_the_digest_survives_the_way_over_the_wire(routes: list[Route]) -> None:
    snapshot = replace(SNAPSHOT, routes=tuple(routes))
    assert snapshot_digest(decode_snapshot(encode_snapshot(snapshot))) == snapshot_digest(snapshot)


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_any_change_of_a_route_changes_the_digest(changed: Route) -> None:
    assert snapshot_digest(replace(SNAPSHOT, routes=(changed,))) != snapshot_digest(SNAPSHOT)


def test_a_route_more_or_less_or_another_class_changes_the_digest() -> None:
    digests = {
        snapshot_digest(SNAPSHOT),
        snapshot_digest(replace(SNAPSHOT, routes=())),
        snapshot_digest(replace(SNAPSHOT, routes=(ROUTE, route("second")))),
        snapshot_digest(replace(SNAPSHOT, settings=replace(SNAPSHOT.settings, region="s"))),
    }
    assert len(digests) == 4


def test_an_explicit_default_changes_nothing() -> None:
    explicit = replace(ROUTE, limits=Limits(), cors=())
    assert snapshot_digest(replace(SNAPSHOT, routes=(explicit,))) == snapshot_digest(SNAPSHOT)
