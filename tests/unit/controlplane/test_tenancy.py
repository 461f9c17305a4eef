"""One tenant never reaches another's role, backend or Secret."""

from __future__ import annotations

from typing import Any

import pytest

from bucketroute_operator.core.findings import Reason
from bucketroute_operator.core.objects import parse_object
from bucketroute_operator.core.resources import RouteObject
from bucketroute_snapshot import RouteState, SnapshotSecrets, WebIdentityAuth
from bucketroute_testing.compiling import (
    Manifest,
    acceptance,
    access_key,
    admitting,
    class_,
    compiled,
    lake,
    manifest,
    references,
    referring,
    role,
    route,
    secrets,
    served,
)

# Roles


@pytest.mark.rule("3.10.15")
def test_a_route_cannot_name_the_role_of_another_namespace() -> None:
    backend = {"bucket": "acme", "region": "eu-west-1", "roleARN": role("team-b")}
    compilation = compiled(class_(), route("team-a", backend=backend))
    condition = references(compilation, "team-a")
    assert (condition.status, condition.reason) == (False, Reason.ROLE_NOT_PERMITTED)
    assert role("team-b") not in condition.message
    found = served(compilation, "team-a")
    assert found is not None
    assert (found.state, found.backend) == (RouteState.UNRESOLVED, None)


def test_the_role_of_a_shared_backend_is_allowed_by_the_backends_namespace() -> None:
    opened = lake(**admitting(**{"from": "All"}))
    condition = references(compiled(class_(), opened, referring("team-a", "platform")), "team-a")
    assert condition.status is True


def test_a_shared_backend_cannot_lend_a_role_of_the_routes_namespace() -> None:
    auth = {"type": "WebIdentity", "webIdentity": {"roleARN": role("team-a")}}
    hostile = lake(auth=auth, **admitting(**{"from": "All"}))
    condition = references(compiled(class_(), hostile, referring("team-a", "platform")), "team-a")
    assert condition.reason is Reason.ROLE_NOT_PERMITTED


def test_the_session_carries_the_routes_namespace_and_is_limited_to_the_route() -> None:
    opened = lake(**admitting(**{"from": "All"}))
    found = served(
        compiled(class_(), opened, referring("team-a", "platform", prefix="p/")), "team-a"
    )
    assert found is not None
    assert found.backend is not None
    auth = found.backend.auth
    assert isinstance(auth, WebIdentityAuth)
    assert auth.session_name.startswith("team-a.")
    assert auth.session_policy is not None
    disabled = class_(identity={"sessionPolicy": "Disabled"})
    plain = served(compiled(disabled, route("team-a")), "team-a")
    assert plain is not None
    assert plain.backend is not None
    assert isinstance(plain.backend.auth, WebIdentityAuth)
    assert plain.backend.auth.session_policy is None


# Backends


@pytest.mark.parametrize(
    ("backend", "label"),
    [
        ([], "absent"),
        ([lake()], "of its own namespace only"),
        (
            [lake(**admitting(**{"from": "Selector", "selector": {"matchLabels": {"x": "y"}}}))],
            "unselected",
        ),
        ([manifest("BucketBackend", "lake", "platform", spec={})], "broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusing_backend_and_an_absent_one_look_alike(
    backend: list[Manifest], label: str
) -> None:
    condition = references(compiled(class_(), *backend, referring("team-a", "platform")), "team-a")
    absent = references(compiled(class_(), referring("team-a", "platform")), "team-a")
    assert condition == absent, label
    assert condition.reason is Reason.REF_NOT_PERMITTED


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}, True),
        ({"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}, False),
        ({"matchLabels": {"tier": "gold"}}, True),
        ({}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["x"]}]}, True),
    ],
)
def test_a_selector_reads_the_labels_of_the_routes_namespace(
    selector: Manifest, expected: bool
) -> None:
    namespace = manifest("Namespace", "team-a")
    namespace["metadata"]["labels"] = {"tier": "gold"}
    opened = lake(**admitting(**{"from": "Selector", "selector": selector}))
    compilation = compiled(class_(), namespace, opened, referring("team-a", "platform"))
    assert references(compilation, "team-a").status is expected


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        ({"bucket": "other"}, "spec.backend.bucket"),
        ({"prefix": "team-b/"}, "spec.backend.prefix"),
        ({"prefix": "team-a-x/"}, "spec.backend.prefix"),
        ({"prefix": ""}, "spec.backend.prefix"),
    ],
)
def test_a_backend_bounds_what_its_guests_reach(backend: Manifest, field: str) -> None:
    opened = lake(
        allowedRoutes={
            "namespaces": {"from": "All"},
            "buckets": ["ac*e"],
            "requiredPrefix": "${namespace}/",
        }
    )
    guest = referring("team-a", "platform", **{"prefix": "team-a/", **backend})
    (finding,) = compiled(class_(), opened, guest).findings
    assert (finding.reason, finding.field) == (Reason.REF_NOT_PERMITTED, field)
    fine = compiled(class_(), opened, referring("team-a", "platform", prefix="team-a/x/"))
    assert fine.findings == ()


# Secrets


def test_a_backends_secret_is_looked_up_in_the_backends_namespace_only() -> None:
    auth = {"type": "Static", "staticCredentials": {"secretName": "key"}}
    opened = lake(auth=auth, **admitting(**{"from": "All"}))
    guest = referring("team-a", "platform")
    without = compiled(class_(), opened, guest, access_key("team-a"))
    assert references(without, "team-a").reason is Reason.SECRET_NOT_FOUND
    assert "key" not in references(without, "team-a").message
    assert secrets(without) == SnapshotSecrets()
    with_it = compiled(class_(), opened, guest, access_key("platform"), access_key("team-a"))
    assert [item.namespace for item in secrets(with_it).static] == ["platform"]


def test_an_access_key_is_looked_up_in_the_routes_namespace_only() -> None:
    rule = {"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}
    compilation = compiled(class_(), route("team-a", access=[rule]), access_key("team-b"))
    assert references(compilation, "team-a").reason is Reason.SECRET_NOT_FOUND
    assert secrets(compilation).access_keys == ()


def test_secrets_that_no_route_names_are_not_sent() -> None:
    assert secrets(compiled(class_(), route("team-a"), access_key("team-a"))) == SnapshotSecrets()


@pytest.mark.parametrize(
    "spec",
    [
        {"backend": 7},
        {"surprise": 1},
        {"access": [{"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": "Read"}]},
        {"access": [{"subjects": [{"kind": "AccesKey", "name": "key"}]}]},
    ],
    ids=["backend", "unknown field", "the rule itself", "the subject's kind"],
)
def test_the_access_keys_of_a_route_with_a_mistake_are_known(spec: Manifest) -> None:
    rule = {"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}
    broken = route("team-a", **{"access": [rule], **spec})
    compilation = compiled(class_(), broken, access_key("team-a"))
    assert acceptance(compilation, "team-a") in (Reason.INVALID_SPEC, Reason.UNKNOWN_FIELD)
    assert [item.namespace for item in secrets(compilation).access_keys] == ["team-a"]


@pytest.mark.parametrize("name", ["", "..", "../secrets/other", "*", 7])
@pytest.mark.parametrize("kind", ["AccessKey", "?"])
def test_no_secret_is_asked_for_by_what_is_not_a_name(kind: str, name: Any) -> None:
    rule = {"subjects": [{"kind": kind, "name": name}], "permissions": ["Read"]}
    parsed = parse_object(route("team-a", access=[rule]))
    assert isinstance(parsed, RouteObject)
    assert parsed.access_keys == ()


def test_an_access_key_id_belongs_to_the_older_secret() -> None:
    rule = {"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}
    compilation = compiled(
        class_(),
        route("team-a", access=[rule]),
        route("team-b", access=[rule]),
        access_key("team-a", created="2026-02-02T00:00:00Z"),
        access_key("team-b", created="2026-01-01T00:00:00Z"),
    )
    assert [item.namespace for item in secrets(compilation).access_keys] == ["team-b"]
    assert references(compilation, "team-a").reason is Reason.SECRET_INVALID
    assert references(compilation, "team-b").status is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "Opaque"}, "type"),
        ({"stringData": {"accessKeyID": "KEY1"}}, "secretAccessKey"),
        ({"stringData": {"accessKeyID": "a/b", "secretAccessKey": "12345678"}}, "accessKeyID"),
        ({"stringData": {"accessKeyID": "KEY1", "secretAccessKey": "short"}}, "8 characters"),
        ({"stringData": {"accessKeyID": "KEY1", "secretAccessKey": "12345678\n"}}, "newline"),
        ({"stringData": {}, "data": {"accessKeyID": "%%", "secretAccessKey": "eA=="}}, "keys"),
    ],
)
def test_a_malformed_access_key_lets_nobody_in(change: Manifest, words: str) -> None:
    rule = {"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}
    compilation = compiled(
        class_(), route("team-a", access=[rule]), {**access_key("team-a"), **change}
    )
    condition = references(compilation, "team-a")
    assert condition.reason is Reason.SECRET_INVALID
    assert words in condition.message
    assert "12345678" not in condition.message
    assert secrets(compilation).access_keys == ()
