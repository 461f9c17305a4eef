"""What team-a may write to get at what is team-b's, and which layer refuses it.

The layers are those of docs/tenancy.md. What the gateway and STS refuse, and that a real API server
knows the schema, is in tests/e2e/cluster/test_tenants.py; here is what the objects' text decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
import yaml

from bucketroute_operator.core.findings import ConditionType, Reason
from bucketroute_testing.chart import REPOSITORY
from bucketroute_testing.compiling import (
    Manifest,
    access_key,
    class_,
    compiled,
    lake,
    manifest,
    referring,
    result_of,
    role,
    route,
    secrets,
    served,
)

A, B = "team-a", "team-b"
OLDER = "2025-01-01T00:00:00Z"


class Layer(Enum):
    """Who refuses. The compiler checks the schema as the API server does: `serve` has none."""

    SCHEMA = "the CRD's schema"
    CLASS = "the class"
    HANDSHAKE = "the backend's allowedRoutes"
    OWN_NAMESPACE = "references stay at home"
    NAMES = "the holder of the name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """team-a's route `data` and what it comes with; team-b's objects are always there."""

    layer: Layer
    reason: Reason
    route: Manifest
    beside: list[Manifest] = field(default_factory=list)

    @property
    def condition(self) -> ConditionType:
        """Where the refusal is seen."""
        if self.reason in (Reason.INVALID_SPEC, Reason.UNKNOWN_FIELD):
            return ConditionType.ACCEPTED
        is_name = self.layer is Layer.NAMES
        return ConditionType.EXPORTED if is_name else ConditionType.RESOLVED_REFS


def inline(role_arn: str, **fields: Any) -> Manifest:
    backend = {"bucket": "acme", "region": "eu-west-1", "roleARN": role_arn, **fields}
    return route(A, backend=backend)


def own_backend(**spec: Any) -> Manifest:
    return manifest("BucketBackend", "lake", A, spec={"region": "eu-west-1", **spec})


def web_identity(role_arn: str) -> Manifest:
    return {"type": "WebIdentity", "webIdentity": {"roleARN": role_arn}}


STATIC = {"type": "Static", "staticCredentials": {"secretName": "key"}}
OF_B = role(B)

ATTEMPTS = {
    "the role of team-b, inline": Attempt(
        layer=Layer.CLASS, reason=Reason.ROLE_NOT_PERMITTED, route=inline(OF_B)
    ),
    "the role of team-b, in a backend of its own": Attempt(
        layer=Layer.CLASS,
        reason=Reason.ROLE_NOT_PERMITTED,
        route=referring(A, A),
        beside=[own_backend(auth=web_identity(OF_B))],
    ),
    "the role of team-b behind its own path": Attempt(
        layer=Layer.CLASS,
        reason=Reason.ROLE_NOT_PERMITTED,
        route=inline(f"arn:aws:iam::111122223333:role/bucketroute/{A}/../{B}/x"),
    ),
    "a path that only begins like its own": Attempt(
        layer=Layer.CLASS,
        reason=Reason.ROLE_NOT_PERMITTED,
        route=inline(f"arn:aws:iam::111122223333:role/bucketroute/{A}-x/{A}/x"),
    ),
    "a wildcard for a role": Attempt(
        layer=Layer.SCHEMA,
        reason=Reason.INVALID_SPEC,
        route=inline("arn:aws:iam::111122223333:role/bucketroute/*/x"),
    ),
    "a second ARN behind its own": Attempt(
        layer=Layer.SCHEMA, reason=Reason.INVALID_SPEC, route=inline(f"{role(A)}\n{OF_B}")
    ),
    "the backend of team-b": Attempt(
        layer=Layer.HANDSHAKE, reason=Reason.REF_NOT_PERMITTED, route=referring(A, B)
    ),
    "the backend of team-b by a path": Attempt(
        layer=Layer.SCHEMA,
        reason=Reason.INVALID_SPEC,
        route=route(A, backend={"bucket": "acme", "ref": {"name": f"../{B}/lake"}}),
    ),
    "the Secret of team-b, by a backend of its own": Attempt(
        layer=Layer.OWN_NAMESPACE,
        reason=Reason.SECRET_NOT_FOUND,
        route=referring(A, A),
        beside=[own_backend(auth=STATIC)],
    ),
    "the Secret of team-b by a path": Attempt(
        layer=Layer.SCHEMA,
        reason=Reason.BACKEND_NOT_FOUND,  # a backend that is not valid is as good as none
        route=referring(A, A),
        beside=[
            own_backend(auth={"type": "Static", "staticCredentials": {"secretName": f"{B}/key"}})
        ],
    ),
    "the access key of team-b": Attempt(
        layer=Layer.OWN_NAMESPACE,
        reason=Reason.SECRET_NOT_FOUND,
        route=route(
            A,
            access=[{"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}],
        ),
    ),
    "the CA bundle of team-b": Attempt(
        layer=Layer.OWN_NAMESPACE,
        reason=Reason.CONFIG_MAP_NOT_FOUND,
        route=referring(A, A),
        beside=[own_backend(auth=web_identity(role(A)), tls={"caConfigMapName": "ca"})],
    ),
    "the name of team-b's bucket": Attempt(
        layer=Layer.NAMES,
        reason=Reason.BUCKET_NAME_CONFLICT,
        route=route(A, bucket="of-team-b"),
    ),
    "an STS of its own, by the region": Attempt(
        layer=Layer.SCHEMA,
        reason=Reason.INVALID_SPEC,
        route=inline(role(A), region="evil.example.com/"),
    ),
    "an STS of its own, by a field": Attempt(
        layer=Layer.SCHEMA,
        reason=Reason.UNKNOWN_FIELD,
        route=inline(role(A), stsEndpoint="https://evil.example.com"),
    ),
    "an audience of its own": Attempt(
        layer=Layer.SCHEMA, reason=Reason.UNKNOWN_FIELD, route=inline(role(A), audience="vault")
    ),
    "a server of its own for a backend": Attempt(
        layer=Layer.CLASS,
        reason=Reason.ENDPOINT_NOT_PERMITTED,
        route=inline(role(A), endpoint="https://evil.example.com"),
    ),
}


def of_team_b() -> list[Manifest]:
    ca = {"ca.crt": "-----BEGIN CERTIFICATE-----"}
    return [
        route(B, bucket="of-team-b", created=OLDER),
        lake(B),
        access_key(B),
        manifest("ConfigMap", "ca", B, data=ca),
    ]


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_an_attempt_is_refused_by_its_layer_and_team_b_is_served_on(attempt: Attempt) -> None:
    compilation = compiled(class_(), attempt.route, *attempt.beside, *of_team_b())
    condition = result_of(compilation, A).condition(attempt.condition)
    assert (condition.status, condition.reason) == (False, attempt.reason)
    for text in (OF_B, f"secret-of-{B}"):
        assert text not in condition.message
    tried, owners = served(compilation, A), served(compilation, B)
    assert owners == served(compiled(class_(), *of_team_b()), B)
    assert secrets(compilation).static == ()
    if attempt.layer is Layer.NAMES:
        assert tried is not None
        assert not tried.exported
    elif tried is not None and tried.backend is not None:
        # Refused is a subject and not the backend, which is then team-a's own.
        assert secrets(compilation).access_keys == ()


def names_of(schema: Manifest) -> Iterator[str]:
    for name, field_schema in (schema.get("properties") or {}).items():
        yield name
        yield from names_of(field_schema)
        yield from names_of(field_schema.get("items") or {})


@pytest.mark.parametrize("kind", ["bucketroutes", "bucketbackends"])
def test_no_object_of_a_tenant_names_an_sts_an_audience_or_a_session_policy(kind: str) -> None:
    """Who chooses both where a token goes and whom it is for receives one that works elsewhere."""
    crd = yaml.safe_load((REPOSITORY / "crds" / f"{kind}.yaml").read_text())
    for version in crd["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        names = set(names_of(spec))
        assert "endpoint" in names
        relaying = re.compile("^sts|STS|[aA]udience|[sS]ession|[tT]oken(?!s)|[pP]olicy")
        assert [name for name in names if relaying.search(name)] == []
