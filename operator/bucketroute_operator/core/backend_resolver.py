"""From a route's backend to the `Backend` that the data plane is given, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from bucketroute_operator.core.backend_target import (
    BackendTarget,
    backend_target,
    reach_refusals,
)
from bucketroute_operator.core.class_policy import (
    Refusal,
    endpoint_refusals,
    network_scope,
    role_refusal,
)
from bucketroute_operator.core.endpoints import AwsEndpoints, Endpoint, parse_endpoint
from bucketroute_operator.core.findings import Reason
from bucketroute_operator.core.objects import ObjectSet
from bucketroute_operator.core.permissions import granted_actions
from bucketroute_operator.core.resources import (
    AuthType,
    ClassSpec,
    IdentityRules,
    Metadata,
    RouteSpec,
    SessionPolicyMode,
)
from bucketroute_operator.core.secret_values import static_secret
from bucketroute_operator.core.session_name import session_name
from bucketroute_operator.core.session_policy import session_policy
from bucketroute_snapshot import (
    AddressingStyle,
    Backend,
    BackendProfile,
    CABundle,
    StaticAuth,
    StaticSecret,
    UnsignedAuth,
    WebIdentityAuth,
)

K = TypeVar("K")
V = TypeVar("V")

_FALLBACK_REGION = "us-east-1"
_CA_KEY = "ca.crt"
_PEM_MARK = "-----BEGIN CERTIFICATE-----"
_PROFILE_OF_SUFFIX = {
    ".r2.cloudflarestorage.com": BackendProfile.R2,
    "storage.googleapis.com": BackendProfile.GCS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What resolving needs beside the route itself."""

    objects: ObjectSet
    class_spec: ClassSpec
    aws_endpoints: AwsEndpoints
    allows_loopback: bool


def is_same_around(one: Surroundings, other: Surroundings) -> bool:
    """Whether all that routes can refer to is the same, object by object; routes are not."""
    before, now = one.objects, other.objects
    return (
        one.class_spec is other.class_spec
        and one.aws_endpoints is other.aws_endpoints
        and one.allows_loopback == other.allows_loopback
        and _are_same(before.backends, now.backends)
        and _are_same(before.namespaces, now.namespaces)
        and _are_same(before.secrets, now.secrets)
        and _are_same(before.config_maps, now.config_maps)
    )


def _are_same(one: Mapping[K, V], other: Mapping[K, V]) -> bool:
    return len(one) == len(other) and all(one.get(key) is item for key, item in other.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedBackend:
    """The backend, and what must travel beside it."""

    backend: Backend
    backend_ref: str | None
    ca_bundle: CABundle | None
    static_secret: StaticSecret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The target's endpoint with everything about it decided."""

    target: BackendTarget
    endpoint: Endpoint
    region: str
    profile: BackendProfile
    ca_bundle: CABundle | None


def resolve_backend(
    route: Metadata, spec: RouteSpec, around: Surroundings
) -> ResolvedBackend | tuple[Refusal, ...]:
    """Everything that the data plane needs to reach the route's bucket, or all reasons against."""
    target = backend_target(route.namespace, spec.backend, around.objects)
    if isinstance(target, Refusal):
        return (target,)
    allowed = target.allowed_routes
    refusals = [] if allowed is None else [*reach_refusals(route.namespace, spec.backend, allowed)]
    place = _place(target, around)
    refusals += place if isinstance(place, tuple) else ()
    secret = _secret(target, around)
    refusals += (secret,) if isinstance(secret, Refusal) else ()
    if refusals or isinstance(place, tuple) or isinstance(secret, Refusal):
        return tuple(refusals)
    auth: WebIdentityAuth | StaticAuth | UnsignedAuth = UnsignedAuth()
    if secret is not None:
        auth = StaticAuth(namespace=secret.namespace, secret_name=secret.name)
    elif target.auth.type is AuthType.WEB_IDENTITY:
        auth = _web_identity(route, spec, place, around.class_spec)
    return ResolvedBackend(
        backend=_backend(spec, place, auth, around),
        backend_ref=target.backend_ref,
        ca_bundle=place.ca_bundle,
        static_secret=secret,
    )


def _secret(target: BackendTarget, around: Surroundings) -> StaticSecret | Refusal | None:
    """The key pair of a static identity, or why the target's identity may not be used."""
    match target.auth.type:
        case AuthType.STATIC:
            name = target.auth.secret_name or ""
            return static_secret(around.objects, target.owner, name, field=target.auth_field)
        case AuthType.WEB_IDENTITY:
            return role_refusal(
                target.auth.role_arn or "",
                around.class_spec,
                owner_namespace=target.owner,
                field=target.auth_field,
            )
        case AuthType.UNSIGNED:
            return None


def _backend(
    spec: RouteSpec,
    place: _Place,
    auth: WebIdentityAuth | StaticAuth | UnsignedAuth,
    around: Surroundings,
) -> Backend:
    bucket = spec.backend.bucket
    style = place.target.addressing_style or _addressing_style(place.endpoint, bucket)
    return Backend(
        endpoint=place.endpoint.url,
        bucket=bucket,
        region=place.region,
        auth=auth,
        prefix=spec.backend.prefix,
        addressing_style=style,
        profile=place.profile,
        network_scope=network_scope(around.class_spec, allows_loopback=around.allows_loopback),
        ca_bundle=None if place.ca_bundle is None else place.ca_bundle.name,
    )


def _place(target: BackendTarget, around: Surroundings) -> _Place | tuple[Refusal, ...]:
    url = target.endpoint or around.aws_endpoints(target.region or "")
    if url is None:
        message = f"{target.region} is not a region of AWS; set an endpoint for other stores."
        field = target.endpoint_field
        return (Refusal(reason=Reason.REGION_UNKNOWN, field=field, message=message),)
    endpoint = parse_endpoint(url)
    refusals = tuple(
        endpoint_refusals(
            endpoint,
            around.class_spec,
            allows_loopback=around.allows_loopback,
            field=target.endpoint_field,
        )
    )
    bundle = ca_bundle(
        target.owner, target.ca_config_map_name, around.objects, field=target.endpoint_field
    )
    if isinstance(bundle, Refusal):
        return (*refusals, bundle)
    if refusals:
        return refusals
    return _Place(
        target=target,
        endpoint=endpoint,
        region=target.region or endpoint.region or _FALLBACK_REGION,
        profile=target.profile or _profile(endpoint),
        ca_bundle=bundle,
    )


def _web_identity(
    route: Metadata, spec: RouteSpec, place: _Place, class_spec: ClassSpec
) -> WebIdentityAuth:
    target, identity = place.target, class_spec.identity
    sts_endpoint = _sts_endpoint(identity, place)
    is_same_host = sts_endpoint == place.endpoint.url
    return WebIdentityAuth(
        role_arn=target.auth.role_arn or "",
        sts_endpoint=sts_endpoint,
        session_name=session_name(namespace=route.namespace, route_name=route.name),
        audience=identity.audience,
        duration_seconds=target.auth.duration_seconds,
        session_policy=_policy(spec, place, identity),
        sts_ca_bundle=place.ca_bundle.name if place.ca_bundle and is_same_host else None,
    )


def _policy(spec: RouteSpec, place: _Place, identity: IdentityRules) -> str | None:
    if identity.session_policy is SessionPolicyMode.DISABLED:
        return None
    granted = {
        action for rule in spec.access for action in granted_actions(rule.permissions, rule.actions)
    }
    return session_policy(
        bucket=spec.backend.bucket,
        prefix=spec.backend.prefix,
        actions=granted,
        role_arn=place.target.auth.role_arn or "",
        allows_kms=place.profile is BackendProfile.AWS,
    )


def _sts_endpoint(identity: IdentityRules, place: _Place) -> str:
    template = identity.sts_endpoint
    if identity.sts_endpoint_off_aws is not None and not place.endpoint.is_aws:
        template = identity.sts_endpoint_off_aws
    return template.replace("${endpoint}", place.endpoint.url).replace("${region}", place.region)


def ca_bundle(
    namespace: str, name: str | None, objects: ObjectSet, *, field: str
) -> CABundle | Refusal | None:
    """The certificates in a ConfigMap, if one is named, or why there are none."""
    if name is None:
        return None
    found = objects.config_maps.get((namespace, name))
    pem = None if found is None else found.values.get(_CA_KEY)
    if pem is None or _PEM_MARK not in pem:
        message = f"The BucketBackend's ConfigMap has no certificates under {_CA_KEY}."
        return Refusal(reason=Reason.CONFIG_MAP_NOT_FOUND, field=field, message=message)
    return CABundle(name=f"{namespace}/{name}", pem=pem)


def _addressing_style(endpoint: Endpoint, bucket: str) -> AddressingStyle:
    """A wildcard certificate covers one label, so a bucket with a dot cannot stand in the host."""
    is_virtual = endpoint.is_aws and "." not in bucket
    return AddressingStyle.VIRTUAL if is_virtual else AddressingStyle.PATH


def _profile(endpoint: Endpoint) -> BackendProfile:
    if endpoint.is_aws:
        return BackendProfile.AWS
    for suffix, profile in _PROFILE_OF_SUFFIX.items():
        if endpoint.host.endswith(suffix):
            return profile
    return BackendProfile.GENERIC
