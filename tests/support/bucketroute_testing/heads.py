"""Request heads, routes and plans in a line each, for the unit tests of the data plane's core."""

from collections.abc import Iterable
from typing import Any

import pytest

from bucketroute_dataplane.core.authorize import ForwardPlan, authorize
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import Identity, service_account_identity
from bucketroute_dataplane.core.messages import Header, RequestHead
from bucketroute_dataplane.core.operations import OPERATIONS
from bucketroute_dataplane.core.request import S3Request, parse_request
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_snapshot import (
    AccessRule,
    Backend,
    ClassSettings,
    Route,
    RouteState,
    ServiceAccountSubject,
    Snapshot,
    SnapshotSecrets,
    StaticAuth,
    Subject,
)

CALLER = service_account_identity("team-a", "app")
EVERY_ACTION = tuple(
    sorted(
        {
            action
            for operation in OPERATIONS
            for action in (operation.action, operation.versioned_action)
            if action is not None
        }
    )
)


def head(method: str, target: str, *headers: Header, is_tls: bool = False) -> RequestHead:
    """A head as the parser of the client's leg gives it."""
    path, _, query = target.partition("?")
    return RequestHead(
        method=method.encode(),
        raw_path=path.encode(),
        raw_query=query.encode(),
        headers=headers,
        is_tls=is_tls,
    )


def s3_request(method: str, target: str, *headers: Header) -> S3Request:
    return parse_request(head(method, target, *headers))


def backend(**fields: Any) -> Backend:
    given = {
        "endpoint": "http://store:9000",
        "bucket": "acme-backend",
        "region": "eu-west-1",
        "auth": StaticAuth(namespace="team-a", secret_name="keys"),
        "prefix": "tenants/one/",
    }
    return Backend(**{**given, **fields})


def rule(
    *actions: str, prefixes: Iterable[str] = (), subjects: Iterable[Subject] | None = None
) -> AccessRule:
    """A rule for CALLER, unless it names subjects; without actions it grants everything."""
    own = ServiceAccountSubject(namespace="team-a", name="app")
    return AccessRule(
        subjects=(own,) if subjects is None else tuple(subjects),
        actions=tuple(f"s3:{action}" for action in actions) or EVERY_ACTION,
        prefixes=tuple(prefixes),
    )


def route(
    bucket: str = "photos", *rules: AccessRule, namespace: str = "team-a", **fields: Any
) -> Route:
    """A route without rules grants CALLER everything."""
    given = {
        "name": bucket,
        "uid": "u",
        "generation": 1,
        "created_at": "2026-01-02T03:04:05Z",
        "state": RouteState.ACTIVE,
        "exported": True,
        "backend": backend(),
        "access": rules or (rule(),),
    }
    return Route(namespace=namespace, bucket=bucket, **{**given, **fields})


def route_index(
    *routes: Route, secrets: SnapshotSecrets | None = None, domains: tuple[str, ...] = ()
) -> RouteIndex:
    settings = ClassSettings(name="default", region="eu-west-1", domains=domains)
    return RouteIndex(Snapshot(settings=settings, routes=routes), secrets or SnapshotSecrets())


def route_entry(*rules: AccessRule, **fields: Any) -> RouteEntry:
    return route_index(route("photos", *rules, **fields)).entries[0]


def plan_for(request: S3Request, *, identity: Identity = CALLER, **fields: Any) -> ForwardPlan:
    """The plan of a request whose caller may do everything; `fields` are the backend's."""
    return authorize(request, route_entry(backend=backend(**fields)), identity)


def refusal(caught: "pytest.ExceptionInfo[S3Error]") -> tuple[int, str]:
    return caught.value.status, caught.value.code
