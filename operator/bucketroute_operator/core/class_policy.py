"""What a BucketRouteClass allows its tenants: namespaces, names, endpoints, roles, issuers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bucketroute_operator.core.endpoints import Endpoint, needed_scope, scope_allows
from bucketroute_operator.core.findings import Reason
from bucketroute_operator.core.globs import matches_host, matches_name, matches_role_arn
from bucketroute_operator.core.objects import ObjectSet
from bucketroute_operator.core.resources import ClassSpec, Decision, RouteObject
from bucketroute_operator.core.selectors import selects
from bucketroute_snapshot import NetworkScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is not done, and which field of the route asked for it."""

    reason: Reason
    field: str
    message: str


def route_refusals(
    route: RouteObject, class_spec: ClassSpec, objects: ObjectSet
) -> Iterator[Refusal]:
    """Why the class does not take the route at all: nothing, or one reason or more."""
    namespace = route.metadata.namespace
    if class_spec.namespaces is not None and not selects(
        class_spec.namespaces, objects.labels_of(namespace)
    ):
        yield _not_allowed("spec.className", "The class does not serve this namespace.")
    pattern = class_spec.bucket_name_pattern
    is_named = bool(route.bucket)  # else it has a problem that says so
    if is_named and not matches_name(pattern, route.bucket, namespace=namespace):
        message = f"The class takes only virtual bucket names that match {pattern!r}."
        yield _not_allowed("spec.bucket", message)
    if route.draft.backend.ref is None and class_spec.endpoints.inline is Decision.DENY:
        message = "The class takes only routes that refer to a BucketBackend."
        yield _not_allowed("spec.backend", message)


def endpoint_refusals(
    endpoint: Endpoint, class_spec: ClassSpec, *, allows_loopback: bool, field: str
) -> Iterator[Refusal]:
    """Why no route of the class may use the endpoint, as far as its text tells."""
    rules = class_spec.endpoints
    if not any(matches_host(glob, endpoint.host) for glob in rules.allowed):
        yield _no_endpoint(field, f"The class does not allow the host {endpoint.host}.")
    if endpoint.scheme == "http" and rules.insecure_http is Decision.DENY:
        yield _no_endpoint(field, "The class does not allow endpoints without TLS.")
    needed = needed_scope(endpoint)
    scope = network_scope(class_spec, allows_loopback=allows_loopback)
    if needed is None:
        yield _no_endpoint(field, f"{endpoint.host} is an address that no class may allow.")
    elif not scope_allows(scope, needed):
        message = f"The class does not allow {needed.value.lower()} addresses."
        yield _no_endpoint(field, message)


def network_scope(class_spec: ClassSpec, *, allows_loopback: bool) -> NetworkScope:
    """The widest address that the data plane may connect to.

    Loopback is for a data plane on one's own machine, and there it goes with private networks.
    """
    scope = class_spec.endpoints.network_scope
    if scope is NetworkScope.PRIVATE and allows_loopback:
        return NetworkScope.LOOPBACK
    if scope is NetworkScope.LOOPBACK and not allows_loopback:
        return NetworkScope.PRIVATE
    return scope


def role_refusal(
    role_arn: str, class_spec: ClassSpec, *, owner_namespace: str, field: str
) -> Refusal | None:
    """Why objects of the namespace may not name the role. The message never repeats the ARN."""
    globs = class_spec.identity.allowed_role_arns
    if any(matches_role_arn(glob, role_arn, namespace=owner_namespace) for glob in globs):
        return None
    message = f"The class does not let namespace {owner_namespace} use this role."
    return Refusal(reason=Reason.ROLE_NOT_PERMITTED, field=field, message=message)


def _not_allowed(field: str, message: str) -> Refusal:
    return Refusal(reason=Reason.NOT_ALLOWED_BY_CLASS, field=field, message=message)


def _no_endpoint(field: str, message: str) -> Refusal:
    return Refusal(reason=Reason.ENDPOINT_NOT_PERMITTED, field=field, message=message)
