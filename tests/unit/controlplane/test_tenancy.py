"""One tenant never reaches another's role, Secret, backend, name or place in the quota."""

from __future__ import annotations

from typing import Any

import pytest

from bucketroute_operator.core.compilation import Compilation, RouteResult
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.conflicts import NameHolder, holders_of
from bucketroute_operator.core.findings import Condition, ConditionType, Reason
from bucketroute_operator.core.objects import object_set, parse_object
from bucketroute_snapshot import (
    NetworkScope,
    Route,
    RouteState,
    SnapshotSecrets,
    WebIdentityAuth,
)

Manifest = dict[str, Any]


def manifest(kind: str, name: str, namespace: str = "", **fields: Any) -> Manifest:
    created = fields.pop("created", "2026-01-01T00:00:00Z")
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"kind": kind, "metadata": metadata, **fields}


def class_(**spec: Any) -> Manifest:
    return manifest("BucketRouteClass", "default", spec={"dataPlane": {"mode": "Sidecar"}, **spec})


def role(namespace: str) -> str:
    return f"arn:aws:iam::111122223333:role/bucketroute/{namespace}/x"


def route(namespace: str, name: str = "data", **spec: Any) -> Manifest:
    created = spec.pop("created", "2026-01-01T00:00:00Z")
    backend = {"bucket": "acme", "region": "eu-west-1", "roleARN": role(namespace)}
    spec = {"backend": backend, **spec}
    return manifest("BucketRoute", name, namespace, spec=spec, created=created)


def referring(namespace: str, owner: str, **backend: Any) -> Manifest:
    ref = {"name": "lake", "namespace": owner}
    return route(namespace, backend={"bucket": "acme", "ref": ref, **backend})


def lake(namespace: str = "platform", **spec: Any) -> Manifest:
    auth = {"type": "WebIdentity", "webIdentity": {"roleARN": role(namespace)}}
    return manifest(
        "BucketBackend", "lake", namespace, spec={"region": "eu-west-1", "auth": auth, **spec}
    )


def admitting(**namespaces: Any) -> Manifest:
    return {"allowedRoutes": {"namespaces": namespaces}}


def access_key(
    namespace: str, key_id: str = "KEY1", created: str = "2026-01-01T00:00:00Z"
) -> Manifest:
    return manifest(
        "Secret",
        "key",
        namespace,
        created=created,
        type="bucketroute.io/access-key",
        stringData={"accessKeyID": key_id, "secretAccessKey": f"secret-of-{namespace}"},
    )


def compiled(*manifests: Manifest, holders: tuple[NameHolder, ...] = ()) -> Compilation:
    return compile_snapshot(
        CompileInputs(
            objects=object_set(map(parse_object, manifests)),
            aws_endpoints=lambda region: f"https://s3.{region}.amazonaws.com",
            holders=holders,
        )
    )


def result_of(compilation: Compilation, namespace: str, name: str = "data") -> RouteResult:
    return next(
        item
        for item in compilation.routes
        if (item.metadata.namespace, item.metadata.name) == (namespace, name)
    )


def references(compilation: Compilation, namespace: str) -> Condition:
    return result_of(compilation, namespace).condition(ConditionType.RESOLVED_REFS)


def acceptance(compilation: Compilation, namespace: str, name: str = "data") -> Reason:
    return result_of(compilation, namespace, name).condition(ConditionType.ACCEPTED).reason


def served(compilation: Compilation, namespace: str, name: str = "data") -> Route | None:
    result = compilation.of_class("default")
    assert result is not None
    assert result.snapshot is not None
    return next(
        (
            item
            for item in result.snapshot.routes
            if (item.namespace, item.name) == (namespace, name)
        ),
        None,
    )


def secrets(compilation: Compilation) -> SnapshotSecrets:
    result = compilation.of_class("default")
    assert result is not None
    return result.secrets


# Roles


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
