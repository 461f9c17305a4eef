"""Rules of BucketBackend and BucketRouteClass that tie fields together."""

from __future__ import annotations

from typing import Any

import pytest

from bucketroute_testing.compiling import problem_fields

Case = tuple[str, str, dict[str, Any], str]

ROLE = "arn:aws:iam::111122223333:role/x"


def auth(**fields: Any) -> dict[str, Any]:
    return {"region": "eu-west-1", "auth": fields}


WEB_IDENTITY = {"roleARN": ROLE}
STATIC = {"secretName": "keys"}
EXPRESSION = "spec.allowedNamespaces.selector.matchExpressions[0].values"

REFUSED: list[Case] = [
    ("BucketBackend", "neither endpoint nor region", {"auth": {"type": "Unsigned"}}, "spec"),
    (
        "BucketBackend",
        "WebIdentity without settings",
        auth(type="WebIdentity"),
        "spec.auth.webIdentity",
    ),
    (
        "BucketBackend",
        "WebIdentity with a Secret",
        auth(type="WebIdentity", webIdentity=WEB_IDENTITY, staticCredentials=STATIC),
        "spec.auth.staticCredentials",
    ),
    ("BucketBackend", "Static without Secret", auth(type="Static"), "spec.auth.staticCredentials"),
    (
        "BucketBackend",
        "Unsigned with a role",
        auth(type="Unsigned", webIdentity=WEB_IDENTITY),
        "spec.auth.webIdentity",
    ),
    (
        "BucketBackend",
        "selector without from",
        {**auth(type="Unsigned"), "allowedRoutes": {"namespaces": {"from": "All", "selector": {}}}},
        "spec.allowedRoutes.namespaces.selector",
    ),
    (
        "BucketBackend",
        "from Selector without one",
        {**auth(type="Unsigned"), "allowedRoutes": {"namespaces": {"from": "Selector"}}},
        "spec.allowedRoutes.namespaces.selector",
    ),
    (
        "BucketBackend",
        "required prefix without slash",
        {**auth(type="Unsigned"), "allowedRoutes": {"requiredPrefix": "${namespace}"}},
        "spec.allowedRoutes.requiredPrefix",
    ),
    (
        "BucketRouteClass",
        "Shared without service account",
        {"dataPlane": {"mode": "Shared"}},
        "spec.dataPlane.serviceAccountRef",
    ),
    (
        "BucketRouteClass",
        "token to a URL with user information",
        {
            "dataPlane": {"mode": "Sidecar"},
            "identity": {"stsEndpoint": "https://x@sts.example.com"},
        },
        "spec.identity.stsEndpoint",
    ),
]

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("BucketBackend", "static key", auth(type="Static", staticCredentials=STATIC)),
    (
        "BucketRouteClass",
        "STS on the backend",
        {"dataPlane": {"mode": "Sidecar"}, "identity": {"stsEndpoint": "${endpoint}"}},
    ),
]

ONLY_HERE: list[Case] = [
    (
        "BucketBackend",
        "bucket in front of an address",
        {
            "auth": {"type": "Unsigned"},
            "endpoint": "http://10.0.0.1",
            "addressingStyle": "Virtual",
        },
        "spec.addressingStyle",
    ),
    (
        "BucketBackend",
        "decimal address",
        {
            "auth": {"type": "Unsigned"},
            "endpoint": "http://2130706433",
            "addressingStyle": "Virtual",
        },
        "spec.endpoint",
    ),
    (
        "BucketRouteClass",
        "In without values",
        {
            "dataPlane": {"mode": "Sidecar"},
            "allowedNamespaces": {
                "from": "Selector",
                "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
            },
        },
        EXPRESSION,
    ),
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
