"""What a route says about its backend, whether inline or by reference, in one form.

The handshake stands here: a BucketBackend says which namespaces may refer to it. Across namespaces
an absent BucketBackend and one that refuses give the same answer, so that nobody learns what
exists elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.findings import Reason
from bucketroute_operator.core.globs import expand_namespace, matches_name
from bucketroute_operator.core.objects import ObjectSet
from bucketroute_operator.core.resources import (
    AllowedRoutes,
    AuthType,
    BackendAuthSpec,
    BackendRef,
    BackendSpec,
    NamespacesFrom,
    RouteBackend,
    Signing,
)
from bucketroute_operator.core.selectors import selects
from bucketroute_snapshot import AddressingStyle, BackendProfile

_REF_FIELD = "spec.backend.ref"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTarget:
    """`owner` is the namespace of the object that names role and Secret.

    `endpoint_field` and `auth_field` are the fields of the route to blame for either. Only a
    BucketBackend has `allowed_routes`.
    """

    owner: str
    endpoint_field: str
    auth_field: str
    endpoint: str | None
    region: str | None
    auth: BackendAuthSpec
    addressing_style: AddressingStyle | None = None
    profile: BackendProfile | None = None
    ca_config_map_name: str | None = None
    allowed_routes: AllowedRoutes | None = None
    backend_ref: str | None = None


def backend_target(
    namespace: str, backend: RouteBackend, objects: ObjectSet
) -> BackendTarget | Refusal:
    """The target of a route in `namespace`; whether its bucket may be used is another matter."""
    if backend.ref is None:
        return _inline_target(namespace, backend)
    return _referred_target(namespace, backend, backend.ref, objects)


def _inline_target(namespace: str, backend: RouteBackend) -> BackendTarget:
    is_unsigned = backend.signing is Signing.UNSIGNED
    return BackendTarget(
        owner=namespace,
        endpoint_field="spec.backend.region"
        if backend.endpoint is None
        else "spec.backend.endpoint",
        auth_field="spec.backend.roleARN",
        endpoint=backend.endpoint,
        region=backend.region,
        auth=BackendAuthSpec(
            type=AuthType.UNSIGNED if is_unsigned else AuthType.WEB_IDENTITY,
            role_arn=backend.role_arn,
        ),
        profile=backend.profile,
    )


def _referred_target(
    namespace: str, backend: RouteBackend, ref: BackendRef, objects: ObjectSet
) -> BackendTarget | Refusal:
    owner = ref.namespace or namespace
    found = objects.backends.get((owner, ref.name))
    spec = None if found is None else found.spec
    if spec is None or not _is_open_to(namespace, owner, spec.allowed_routes, objects):
        return _unavailable(is_own=owner == namespace)
    return _target_of(owner, ref.name, spec)


def _target_of(owner: str, name: str, spec: BackendSpec) -> BackendTarget:
    return BackendTarget(
        owner=owner,
        endpoint_field=_REF_FIELD,
        auth_field=_REF_FIELD,
        endpoint=spec.endpoint,
        region=spec.region,
        auth=spec.auth,
        addressing_style=spec.addressing_style,
        profile=spec.profile,
        ca_config_map_name=spec.ca_config_map_name,
        allowed_routes=spec.allowed_routes,
        backend_ref=f"{owner}/{name}",
    )


def _is_open_to(namespace: str, owner: str, allowed: AllowedRoutes, objects: ObjectSet) -> bool:
    if namespace == owner:
        return True
    match allowed.namespaces:
        case NamespacesFrom.SAME:
            return False
        case NamespacesFrom.SELECTOR:
            return selects(allowed.selector, objects.labels_of(namespace))
        case NamespacesFrom.ALL:
            return True


def reach_refusals(
    namespace: str, backend: RouteBackend, allowed: AllowedRoutes
) -> Iterator[Refusal]:
    """Which of bucket and prefix a BucketBackend does not let routes of the namespace reach."""
    if allowed.buckets and not any(
        matches_name(glob, backend.bucket, namespace=namespace) for glob in allowed.buckets
    ):
        message = f"The BucketBackend does not offer the bucket {backend.bucket}."
        yield Refusal(reason=Reason.REF_NOT_PERMITTED, field="spec.backend.bucket", message=message)
    required = expand_namespace(allowed.required_prefix, namespace=namespace)
    if not backend.prefix.startswith(required):
        message = f"The BucketBackend requires a prefix that starts with {required!r}."
        yield Refusal(reason=Reason.REF_NOT_PERMITTED, field="spec.backend.prefix", message=message)


def _unavailable(*, is_own: bool) -> Refusal:
    """Of another namespace, it is not told whether there is one."""
    if is_own:
        message = "The namespace has no valid BucketBackend of this name."
        return Refusal(reason=Reason.BACKEND_NOT_FOUND, field=_REF_FIELD, message=message)
    message = "The BucketBackend does not exist, is not valid or does not admit this namespace."
    return Refusal(reason=Reason.REF_NOT_PERMITTED, field=_REF_FIELD, message=message)
