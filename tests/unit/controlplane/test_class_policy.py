"""Names, quota and endpoints: what a class gives its tenants, and what it keeps from them."""

from __future__ import annotations

from typing import Any

import pytest

from bucketroute_operator.core.conflicts import holders_of
from bucketroute_operator.core.findings import ConditionType, Reason
from bucketroute_snapshot import NetworkScope, RouteState, WebIdentityAuth
from bucketroute_testing.compiling import (
    Manifest,
    acceptance,
    class_,
    compiled,
    references,
    result_of,
    route,
    served,
)

# Names, class policy, quota


def test_the_loser_of_a_name_serves_its_own_namespace_and_does_not_learn_the_winner() -> None:
    older = "2025-01-01T00:00:00Z"
    compilation = compiled(class_(), route("team-a"), route("team-b", created=older))
    condition = result_of(compilation, "team-a").condition(ConditionType.EXPORTED)
    assert (condition.status, condition.reason) == (False, Reason.BUCKET_NAME_CONFLICT)
    assert "team-b" not in condition.message
    loser = served(compilation, "team-a")
    assert loser is not None
    assert (loser.state, loser.exported) == (RouteState.ACTIVE, False)


def test_a_route_that_its_class_once_refused_cannot_take_a_name_later() -> None:
    strict, lax = class_(bucketNamePattern="team-a*"), class_()
    squatter = route("team-b", bucket="team-a-data", created="2025-01-01T00:00:00Z")
    rightful = route("team-a", bucket="team-a-data")
    # The pattern lets both claim the name; what refuses the squatter first is the namespace.
    refusing = class_(
        allowedNamespaces={
            "from": "Selector",
            "selector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}},
        }
    )
    first = compiled(refusing, squatter, rightful).of_class("default")
    assert first is not None
    assert first.snapshot is not None
    for later in (strict, lax):
        second = compiled(later, squatter, rightful, holders=holders_of(first.snapshot))
        found = served(second, "team-a")
        assert found is not None
        assert found.exported


def test_a_second_route_of_a_name_in_one_namespace_is_not_accepted() -> None:
    twice = (route("team-a", "one", bucket="data"), route("team-a", "two", bucket="data"))
    compilation = compiled(class_(), *twice)
    assert acceptance(compilation, "team-a", "one") is Reason.ACCEPTED
    assert acceptance(compilation, "team-a", "two") is Reason.BUCKET_NAME_CONFLICT
    assert served(compilation, "team-a", "two") is None


@pytest.mark.parametrize(
    "spec",
    [
        {"bucketNamePattern": "${namespace}.*"},
        {"endpoints": {"inline": "Deny"}},
        {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}},
    ],
)
def test_what_the_class_forbids_is_not_served_but_a_revoked_route_keeps_its_name(
    spec: Manifest,
) -> None:
    allowed = compiled(class_(), route("team-a")).of_class("default")
    assert allowed is not None
    assert allowed.snapshot is not None
    fresh = compiled(class_(**spec), route("team-a"))
    assert acceptance(fresh, "team-a") is Reason.NOT_ALLOWED_BY_CLASS
    assert served(fresh, "team-a") is None
    revoked = compiled(class_(**spec), route("team-a"), holders=holders_of(allowed.snapshot))
    found = served(revoked, "team-a")
    assert found is not None
    assert (found.state, found.exported) == (RouteState.UNRESOLVED, True)


def test_a_quota_takes_the_oldest_routes_and_leaves_other_namespaces_alone() -> None:
    strict = class_(limits={"maxRoutesPerNamespace": 1})
    routes = (
        route("team-a", "new"),
        route("team-a", "old", created="2025-01-01T00:00:00Z"),
        route("team-b", "other"),
    )
    compilation = compiled(strict, *routes)
    assert acceptance(compilation, "team-a", "new") is Reason.QUOTA_EXCEEDED
    assert acceptance(compilation, "team-a", "old") is Reason.ACCEPTED
    assert acceptance(compilation, "team-b", "other") is Reason.ACCEPTED


def test_routes_that_cannot_be_read_count_where_they_have_a_place() -> None:
    """They keep their names at home, and so are in the snapshot."""
    strict = class_(limits={"maxRoutesPerNamespace": 3})
    broken = [route("team-a", f"broken-{n}", backend={"bucket": "acme"}) for n in range(5)]
    compilation = compiled(strict, route("team-a", "fine"), *broken)
    placed = [name for name in range(5) if served(compilation, "team-a", f"broken-{name}")]
    assert placed == [0, 1]
    assert acceptance(compilation, "team-a", "fine") is Reason.ACCEPTED
    assert acceptance(compilation, "team-a", "broken-4") is Reason.INVALID_SPEC


def large_routes() -> list[Manifest]:
    """More than a namespace's share of a snapshot."""
    names = [f"n{number:03}-{'n' * 56}" for number in range(32)]
    rules = [{"serviceAccounts": names, "permissions": ["Read"]} for _ in range(30)]
    return [route("team-a", f"large-{number:02}", access=rules) for number in range(12)]


def test_the_routes_of_a_namespace_take_so_much_of_a_snapshot_and_no_more() -> None:
    large = large_routes()
    strict = class_(limits={"maxRoutesPerNamespace": 64})
    compilation = compiled(strict, *large, route("team-b"))
    accepted = [acceptance(compilation, "team-a", f"large-{number:02}") for number in range(12)]
    assert accepted[0] is Reason.ACCEPTED
    assert accepted[-1] is Reason.QUOTA_EXCEEDED
    assert acceptance(compilation, "team-b") is Reason.ACCEPTED


def test_a_large_route_that_is_refused_takes_no_room_from_a_small_one() -> None:
    large = large_routes()
    strict = class_(limits={"maxRoutesPerNamespace": 64})
    compilation = compiled(strict, *large, route("team-a", "small", created="2027-01-01T00:00:00Z"))
    assert acceptance(compilation, "team-a", "large-11") is Reason.QUOTA_EXCEEDED
    assert acceptance(compilation, "team-a", "small") is Reason.ACCEPTED


def test_a_route_that_outgrew_its_namespace_keeps_its_name_and_nothing_else() -> None:
    strict = class_(limits={"maxRoutesPerNamespace": 64})
    small = [route("team-a", f"large-{number:02}") for number in range(12)]
    first = compiled(strict, *small).of_class("default")
    assert first is not None
    assert first.snapshot is not None
    grown = large_routes()
    later = compiled(strict, *grown, holders=holders_of(first.snapshot))
    last = served(later, "team-a", "large-11")
    assert last is not None
    assert (last.state, last.exported, last.access) == (RouteState.UNRESOLVED, True, ())


# Endpoints


@pytest.mark.parametrize(
    ("endpoints", "endpoint", "permitted"),
    [
        ({}, "https://s3.eu-west-1.amazonaws.com", True),
        ({}, "https://s3.evil.example.com", False),
        ({"allowed": ["*"]}, "https://s3.example.com", True),
        ({"allowed": ["*"]}, "http://s3.example.com", False),
        ({"allowed": ["*"], "insecureHTTP": "Allow"}, "http://s3.example.com", True),
        ({"allowed": ["*"]}, "https://10.0.0.1", False),
        ({"allowed": ["*"], "privateNetworks": "Allow"}, "https://10.0.0.1", True),
        ({"allowed": ["*"], "privateNetworks": "Allow"}, "https://127.0.0.1", False),
        ({"allowed": ["*"], "privateNetworks": "Allow"}, "https://localhost", False),
        ({"allowed": ["*"], "privateNetworks": "Allow"}, "https://169.254.169.254", False),
    ],
)
def test_the_class_decides_which_endpoints_are_used(
    endpoints: Manifest, endpoint: str, permitted: bool
) -> None:
    backend = {"bucket": "acme", "endpoint": endpoint, "signing": "Unsigned"}
    compilation = compiled(class_(endpoints=endpoints), route("team-a", backend=backend))
    condition = references(compilation, "team-a")
    assert condition.status is permitted
    assert permitted or condition.reason is Reason.ENDPOINT_NOT_PERMITTED


def test_the_data_plane_is_told_the_widest_address_that_it_may_connect_to() -> None:
    def scope(**endpoints: Any) -> NetworkScope:
        found = served(compiled(class_(endpoints=endpoints), route("team-a")), "team-a")
        assert found is not None
        assert found.backend is not None
        return found.backend.network_scope

    assert scope() is NetworkScope.PUBLIC
    assert scope(privateNetworks="Allow") is NetworkScope.PRIVATE


def test_the_token_goes_only_to_the_sts_of_the_class() -> None:
    identity = {"audience": "minio", "stsEndpoint": "${endpoint}"}
    for settings, expected in (
        ({}, ("https://sts.eu-west-1.amazonaws.com", "sts.amazonaws.com")),
        (identity, ("https://s3.eu-west-1.amazonaws.com", "minio")),
    ):
        found = served(compiled(class_(identity=settings), route("team-a")), "team-a")
        assert found is not None
        assert found.backend is not None
        auth = found.backend.auth
        assert isinstance(auth, WebIdentityAuth)
        assert (auth.sts_endpoint, auth.audience) == expected


# Faults of ours


def test_an_unexpected_fault_in_one_route_stops_no_other() -> None:
    def aws_endpoints(region: str) -> str:
        if region == "eu-west-2":
            raise ZeroDivisionError
        return f"https://s3.{region}.amazonaws.com"

    unlucky = {"bucket": "acme", "region": "eu-west-2", "signing": "Unsigned"}
    compilation = compiled(
        class_(), route("team-a"), route("team-b", backend=unlucky), aws_endpoints=aws_endpoints
    )
    assert acceptance(compilation, "team-a") is Reason.ACCEPTED
    assert acceptance(compilation, "team-b") is Reason.INVALID_SPEC
    (finding,) = compilation.findings
    assert "ZeroDivisionError" in finding.message
