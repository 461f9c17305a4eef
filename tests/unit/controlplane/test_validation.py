"""Rules of BucketRoute that tie fields together: what is refused, and the field that is blamed.

The CRDs say the same in CEL; the last table holds what only the compiler can see.
"""

from __future__ import annotations

from typing import Any

import pytest

from bucketroute_operator.core.objects import parse_object
from bucketroute_operator.core.resources import RouteObject
from bucketroute_testing.compiling import problem_fields

Case = tuple[str, str, dict[str, Any], str]

ROLE = "arn:aws:iam::111122223333:role/x"
INLINE = {"bucket": "acme", "region": "eu-west-1", "roleARN": ROLE}


def route(**spec: Any) -> dict[str, Any]:
    return {"backend": INLINE, **spec}


def backend(**fields: Any) -> dict[str, Any]:
    return {"backend": fields}


def rule(**fields: Any) -> dict[str, Any]:
    return route(access=[{"serviceAccounts": ["app"], "permissions": ["Read"], **fields}])


def subject(**fields: Any) -> dict[str, Any]:
    return route(access=[{"subjects": [fields], "permissions": ["Read"]}])


SUBJECT = "spec.access[0].subjects[0]"
REFUSED: list[Case] = [
    ("BucketRoute", "bucket with two dots", route(bucket="a..b"), "spec.bucket"),
    ("BucketRoute", "bucket with dot and dash", route(bucket="a.-b"), "spec.bucket"),
    ("BucketRoute", "bucket with dash and dot", route(bucket="a-.b"), "spec.bucket"),
    ("BucketRoute", "bucket like an address", route(bucket="192.168.5.4"), "spec.bucket"),
    ("BucketRoute", "bucket with reserved prefix", route(bucket="xn--abc"), "spec.bucket"),
    ("BucketRoute", "bucket with reserved suffix", route(bucket="abc-s3alias"), "spec.bucket"),
    (
        "BucketRoute",
        "prefix without final slash",
        backend(**INLINE, prefix="a"),
        "spec.backend.prefix",
    ),
    ("BucketRoute", "prefix that is a slash", backend(**INLINE, prefix="/"), "spec.backend.prefix"),
    ("BucketRoute", "prefix from the root", backend(**INLINE, prefix="/a/"), "spec.backend.prefix"),
    ("BucketRoute", "empty segment", backend(**INLINE, prefix="a//b/"), "spec.backend.prefix"),
    ("BucketRoute", "dot segment", backend(**INLINE, prefix="a/./b/"), "spec.backend.prefix"),
    ("BucketRoute", "leading dot segment", backend(**INLINE, prefix="./"), "spec.backend.prefix"),
    ("BucketRoute", "parent segment", backend(**INLINE, prefix="a/../b/"), "spec.backend.prefix"),
    ("BucketRoute", "control character", backend(**INLINE, prefix="a\n/"), "spec.backend.prefix"),
    ("BucketRoute", "no way to sign", backend(bucket="acme", region="x"), "spec.backend"),
    (
        "BucketRoute",
        "role beside Unsigned",
        backend(**INLINE, signing="Unsigned"),
        "spec.backend",
    ),
    ("BucketRoute", "no endpoint", backend(bucket="acme", roleARN=ROLE), "spec.backend"),
    ("BucketRoute", "role beside ref", backend(**INLINE, ref={"name": "lake"}), "spec.backend"),
    (
        "BucketRoute",
        "profile beside ref",
        backend(bucket="acme", ref={"name": "lake"}, profile="AWS"),
        "spec.backend",
    ),
    (
        "BucketRoute",
        "endpoint with user information",
        backend(**INLINE, endpoint="https://user@s3.example.com"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "endpoint with a path",
        backend(**INLINE, endpoint="https://s3.example.com/x"),
        "spec.backend.endpoint",
    ),
    ("BucketRoute", "rule for nobody", route(access=[{"permissions": ["Read"]}]), "spec.access[0]"),
    (
        "BucketRoute",
        "rule of nothing",
        route(access=[{"serviceAccounts": ["a"]}]),
        "spec.access[0]",
    ),
    (
        "BucketRoute",
        "Anonymous that writes",
        rule(subjects=[{"kind": "Anonymous"}], permissions=["Read", "Write"]),
        "spec.access[0]",
    ),
    (
        "BucketRoute",
        "Anonymous that reads versions",
        rule(subjects=[{"kind": "Anonymous"}], permissions=["ReadVersion"]),
        "spec.access[0]",
    ),
    (
        "BucketRoute",
        "Anonymous with an action that writes",
        rule(subjects=[{"kind": "Anonymous"}], actions=["s3:PutObject"]),
        "spec.access[0]",
    ),
    (
        "BucketRoute",
        "ServiceAccount without namespace",
        subject(kind="ServiceAccount", name="app"),
        f"{SUBJECT}.namespace",
    ),
    (
        "BucketRoute",
        "ServiceAccount without name",
        subject(kind="ServiceAccount", namespace="team-b"),
        f"{SUBJECT}.name",
    ),
    (
        "BucketRoute",
        "Namespace with namespace",
        subject(kind="Namespace", name="team-b", namespace="team-b"),
        f"{SUBJECT}.namespace",
    ),
    (
        "BucketRoute",
        "AccessKey of another namespace",
        subject(kind="AccessKey", name="key", namespace="team-b"),
        f"{SUBJECT}.namespace",
    ),
    ("BucketRoute", "AccessKey without name", subject(kind="AccessKey"), f"{SUBJECT}.name"),
    (
        "BucketRoute",
        "OIDC without subject",
        subject(kind="OIDC", issuer="https://id.example.com"),
        f"{SUBJECT}.subject",
    ),
    (
        "BucketRoute",
        "OIDC with name",
        subject(kind="OIDC", issuer="https://id.example.com", subject="x", name="y"),
        f"{SUBJECT}.name",
    ),
    (
        "BucketRoute",
        "issuer without TLS",
        subject(kind="OIDC", issuer="http://id.example.com", subject="x"),
        f"{SUBJECT}.issuer",
    ),
    ("BucketRoute", "Anonymous with name", subject(kind="Anonymous", name="x"), f"{SUBJECT}.name"),
    (
        "BucketRoute",
        "unknown placeholder",
        rule(prefixes=["home/${user}/"]),
        "spec.access[0].prefixes[0]",
    ),
]

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("BucketRoute", "public bucket", backend(bucket="acme", region="x", signing="Unsigned")),
    ("BucketRoute", "MinIO role", backend(**{**INLINE, "roleARN": "arn:minio:iam:::role/a-b"})),
    (
        "BucketRoute",
        "single label and port",
        backend(**INLINE, endpoint="http://minio:9000"),
    ),
    ("BucketRoute", "address", backend(**INLINE, endpoint="http://127.0.0.1:9000/")),
    ("BucketRoute", "IPv6 address", backend(**INLINE, endpoint="http://[::1]:9000")),
    ("BucketRoute", "suspended", route(state="Suspended")),
    ("BucketRoute", "all placeholders", rule(prefixes=["${namespace}/${serviceAccount}/$x$"])),
    (
        "BucketRoute",
        "public reading beside others",
        rule(subjects=[{"kind": "Anonymous"}], permissions=["Read", "List"]),
    ),
    (
        "BucketRoute",
        "a rule of actions",
        route(access=[{"serviceAccounts": ["*"], "actions": ["s3:GetObject"]}]),
    ),
]

ONLY_HERE: list[Case] = [
    (
        "BucketRoute",
        "decimal address",
        backend(**INLINE, endpoint="http://2130706433"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "short address",
        backend(**INLINE, endpoint="http://127.1"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "hexadecimal label",
        backend(**INLINE, endpoint="http://foo.0x7f"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "octal address",
        backend(**INLINE, endpoint="http://0177.0.0.1"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "empty label",
        backend(**INLINE, endpoint="http://a..b"),
        "spec.backend.endpoint",
    ),
    (
        "BucketRoute",
        "port out of range",
        backend(**INLINE, endpoint="http://s3.example.com:99999"),
        "spec.backend.endpoint",
    ),
    ("BucketRoute", "timeout of zero", route(timeouts={"connect": "0s"}), "spec.timeouts.connect"),
]


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [(kind, spec, field) for kind, _, spec, field in [*REFUSED, *ONLY_HERE]],
    ids=[f"{kind} {label}" for kind, label, _, _ in [*REFUSED, *ONLY_HERE]],
)
def test_the_field_that_breaks_a_rule_is_blamed(
    kind: str, spec: dict[str, Any], field: str
) -> None:
    assert field in problem_fields(kind, spec)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [(kind, spec) for kind, _, spec in ACCEPTED],
    ids=[f"{kind} {label}" for kind, label, _ in ACCEPTED],
)
def test_what_no_rule_forbids_is_accepted(kind: str, spec: dict[str, Any]) -> None:
    assert problem_fields(kind, spec) == []


def test_all_problems_of_an_object_are_found_at_once() -> None:
    spec = {
        "backend": {"bucket": "A", "region": "?", "prefix": "a"},
        "state": "Off",
        "surprise": 1,
        "access": [{"serviceAccounts": ["app"], "prefixes": ["$" + "{who}"]}],
    }
    assert problem_fields("BucketRoute", spec) == [
        "spec.backend.bucket",
        "spec.backend.region",
        "spec.state",
        "spec.access[0].prefixes[0]",
        "spec.surprise",
        "spec.backend.prefix",
        "spec.backend",
        "spec.access[0]",
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("BucketRoute", backend(bucket="acme", region="x", rolARN=ROLE), "spec.backend.rolARN"),
        ("BucketRoute", backend(bucket="acme", ref=7), "spec.backend.ref"),
        ("BucketRoute", rule(permissions=["Raed"]), "spec.access[0].permissions[0]"),
        ("BucketRoute", rule(serviceAccounts="app"), "spec.access[0].serviceAccounts"),
        ("BucketRoute", subject(kind="AccesKey", name="laptop"), f"{SUBJECT}.kind"),
        ("BucketBackend", {"auth": {"type": "Unsigned"}, "regoin": "x"}, "spec.regoin"),
        (
            "BucketBackend",
            {"region": "x", "auth": {"type": "static", "staticCredentials": {"secretName": "s"}}},
            "spec.auth.type",
        ),
        (
            "BucketBackend",
            {
                "region": "x",
                "auth": {"type": "Unsigned"},
                "allowedRoutes": {"namespaces": {"from": "Selecter", "selector": {}}},
            },
            "spec.allowedRoutes.namespaces.from",
        ),
        ("BucketRouteClass", {"dataPlane": {"mode": "Shard"}}, "spec.dataPlane.mode"),
        (
            "BucketRouteClass",
            {
                "dataPlane": {"mode": "Sidecar"},
                "allowedNamespaces": {
                    "from": "Selector",
                    "selector": {"matchExpressions": [{"key": "team", "operator": "Exist"}]},
                },
            },
            "spec.allowedNamespaces.selector.matchExpressions[0].operator",
        ),
        (
            "BucketRouteClass",
            {"dataPlane": {"mode": "Sidecar"}, "allowedNamespaces": {"from": "all"}},
            "spec.allowedNamespaces.from",
        ),
    ],
)
def test_one_slip_is_one_problem(kind: str, spec: dict[str, Any], field: str) -> None:
    assert problem_fields(kind, spec) == [field]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (route(acess=[]), "is not a known field (did you mean access?)"),
        (backend(**INLINE, rolearn=ROLE), "is not a known field (did you mean roleARN?)"),
        (route(surprise=1), "is not a known field"),
        (route(state="active"), "must be one of Active, Suspended (did you mean Active?)"),
        (route(state="?"), "must be one of Active, Suspended"),
        (route(state=1), "must be one of Active, Suspended"),
        (
            rule(permissions=["read"]),
            "must be one of Read, List, Write, Delete, ReadVersion, DeleteVersion"
            " (did you mean Read?)",
        ),
    ],
    ids=["field", "case", "no field like it", "value", "no value like it", "no text", "item"],
)
def test_a_slip_is_told_with_what_was_meant(spec: dict[str, Any], told: str) -> None:
    parsed = parse_object({"kind": "BucketRoute", "metadata": {"name": "data"}, "spec": spec})
    assert isinstance(parsed, RouteObject)
    assert [problem.message for problem in parsed.problems] == [told]


def test_the_name_of_the_object_must_be_a_bucket_name_where_it_is_one() -> None:
    parsed = parse_object(
        {"kind": "BucketRoute", "metadata": {"name": "ab"}, "spec": {"backend": INLINE}}
    )
    assert isinstance(parsed, RouteObject)
    assert (parsed.bucket, [problem.field for problem in parsed.problems]) == (
        "",
        ["metadata.name"],
    )
