"""Compiles the routes of one class: who is accepted, who gets which name, what each resolves to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bucketroute_operator.core.backend_resolver import Surroundings, is_same_around
from bucketroute_operator.core.class_policy import Refusal, route_refusals
from bucketroute_operator.core.compilation import (
    ClassResult,
    RouteResult,
    accepted,
    spec_refusal,
)
from bucketroute_operator.core.conflicts import Claim, NameHolder, Placement, place_claims
from bucketroute_operator.core.endpoints import AwsEndpoints
from bucketroute_operator.core.findings import (
    ConditionType,
    Finding,
    ObjectRef,
    Reason,
)
from bucketroute_operator.core.objects import Key, ObjectSet
from bucketroute_operator.core.resources import ClassObject, ClassSpec, RouteObject
from bucketroute_operator.core.route_compiler import CompiledRoute, compile_route
from bucketroute_operator.core.route_findings import RouteInputs
from bucketroute_operator.core.secret_values import access_key_secrets
from bucketroute_snapshot import (
    AccessKeySecret,
    CABundle,
    ClassSettings,
    Secret,
    Snapshot,
    SnapshotSecrets,
    StaticSecret,
)

# A snapshot is held whole by the operator and by every gateway. What a namespace's routes may take
# of it grows with the number that they may be; a few may be large.
MEAN_ROUTE_BYTES = 16 * 1024
MIN_NAMESPACE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassInputs:
    """One valid class, its routes and their surroundings; the fields are those of CompileInputs.

    `former` is what came out last time, if anything did.
    """

    class_object: ClassObject
    routes: tuple[RouteObject, ...]
    objects: ObjectSet
    holders: tuple[NameHolder, ...]
    aws_endpoints: AwsEndpoints
    allows_loopback: bool
    cluster_issuer: str | None
    cluster_jwks: str | None
    sealing_keys: tuple[Secret, ...]
    former: CompiledClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledClass:
    """`compiled` has each route with what it was compiled from, to be taken over the next time."""

    result: ClassResult
    routes: tuple[RouteResult, ...]
    findings: tuple[Finding, ...]
    compiled: Mapping[ObjectRef, tuple[RouteInputs, CompiledRoute]]
    around: Surroundings
    access_keys: Mapping[Key, AccessKeySecret | Refusal]


def compile_class(inputs: ClassInputs, class_spec: ClassSpec) -> CompiledClass:
    """A route is compiled again only if anything that it depends on is another than last time: one
    of thousands is what usually changes."""
    admission = _admission(inputs, class_spec)
    refusals = admission.refusals
    placements = _placements(inputs, admission)
    access_keys = access_key_secrets(inputs.objects, wanted_access_keys(inputs.routes))
    around = Surroundings(
        objects=inputs.objects,
        class_spec=class_spec,
        aws_endpoints=inputs.aws_endpoints,
        allows_loopback=inputs.allows_loopback,
    )
    former = inputs.former
    known = (
        former.compiled
        if former is not None
        and former.access_keys == access_keys
        and is_same_around(former.around, around)
        else {}
    )
    compiled: dict[ObjectRef, tuple[RouteInputs, CompiledRoute]] = {}
    for route in inputs.routes:
        ref = route.metadata.ref
        route_inputs = RouteInputs(
            route=route,
            refusal=refusals[ref],
            placement=placements.get(ref),
            access_keys=access_keys,
            around=around,
        )
        compiled[ref] = _taken_over(known.get(ref), route_inputs) or (
            route_inputs,
            compile_route(route_inputs),
        )
    outcomes = [outcome for _, outcome in compiled.values()]
    return CompiledClass(
        result=_class_result(inputs, class_spec, outcomes, access_keys),
        routes=tuple(item.result for item in outcomes),
        findings=tuple(finding for item in outcomes for finding in item.findings),
        compiled=compiled,
        around=around,
        access_keys=access_keys,
    )


def _taken_over(
    known: tuple[RouteInputs, CompiledRoute] | None, inputs: RouteInputs
) -> tuple[RouteInputs, CompiledRoute] | None:
    """What is known of a route that is still the very object, with the same name and refusal."""
    if known is None:
        return None
    before, outcome = known
    is_same = (
        before.route is inputs.route
        and before.placement is inputs.placement
        and before.refusal == inputs.refusal
    )
    return (inputs, outcome) if is_same else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admission:
    """Why each route is not accepted, and which of those that cannot be read have a place."""

    refusals: Mapping[ObjectRef, Refusal | None]
    broken: frozenset[ObjectRef]


def _admission(inputs: ClassInputs, class_spec: ClassSpec) -> _Admission:
    """Quotas go last: only routes that could be served, or cannot be read, count."""
    refusals: dict[ObjectRef, Refusal | None] = {}
    eligible: defaultdict[str, list[RouteObject]] = defaultdict(list)
    for route in inputs.routes:
        refusal = (
            spec_refusal(route.problems)
            if route.problems
            else next(route_refusals(route, class_spec, inputs.objects), None)
        )
        refusals[route.metadata.ref] = refusal
        if refusal is None or route.problems:
            eligible[route.metadata.namespace].append(route)
    held_uids = {holder.uid for holder in inputs.holders}
    broken = set()
    for members in eligible.values():
        members.sort(
            key=lambda route: (
                route.metadata.uid not in held_uids,
                bool(route.problems),
                route.metadata.created_at,
                route.metadata.ref,
            )
        )
        for route, refusal in _over_quota(members, class_spec.max_routes_per_namespace):
            if not route.problems:
                refusals[route.metadata.ref] = refusal
            elif refusal is None:
                broken.add(route.metadata.ref)
    return _Admission(refusals=refusals, broken=frozenset(broken))


def _over_quota(
    members: Iterable[RouteObject], quota: int
) -> Iterator[tuple[RouteObject, Refusal | None]]:
    """Each of a namespace's routes, in the order in which they come, with what is too much."""
    size_limit = max(MIN_NAMESPACE_BYTES, quota * MEAN_ROUTE_BYTES)
    size = 0
    for number, route in enumerate(members):
        if number >= quota:
            message = f"The class takes {quota} routes of a namespace; older ones come first."
            yield route, _quota_exceeded(message)
        elif size + route.size_bytes > size_limit:
            message = f"The routes of a namespace take {size_limit} bytes; older ones come first."
            yield route, _quota_exceeded(message)
        else:
            size += route.size_bytes
            yield route, None


def _quota_exceeded(message: str) -> Refusal:
    return Refusal(reason=Reason.QUOTA_EXCEEDED, field="metadata.namespace", message=message)


def _placements(inputs: ClassInputs, admission: _Admission) -> dict[ObjectRef, Placement]:
    """A refused route claims a name only if it had one already, a broken one at home at least."""
    held_uids = {holder.uid for holder in inputs.holders}
    claims = []
    for route in inputs.routes:
        ref = route.metadata.ref
        refusal = admission.refusals[ref]
        is_held = route.metadata.uid in held_uids
        if route.bucket and (refusal is None or is_held or ref in admission.broken):
            claims.append(
                Claim(metadata=route.metadata, bucket=route.bucket, is_accepted=refusal is None)
            )
    return place_claims(claims, inputs.holders)


def wanted_access_keys(routes: Iterable[RouteObject]) -> set[Key]:
    return {(route.metadata.namespace, name) for route in routes for name in route.access_keys}


def _class_result(
    inputs: ClassInputs,
    class_spec: ClassSpec,
    compiled: list[CompiledRoute],
    access_keys: dict[Key, AccessKeySecret | Refusal],
) -> ClassResult:
    name = inputs.class_object.metadata.name
    bundles: dict[str, CABundle] = {}
    statics: dict[Key, StaticSecret] = {}
    for item in compiled:
        if item.ca_bundle is not None:
            bundles[item.ca_bundle.name] = item.ca_bundle
        if item.static_secret is not None:
            statics[item.static_secret.namespace, item.static_secret.name] = item.static_secret
    routes = [item.route for item in compiled if item.route is not None]
    settings = ClassSettings(
        name=name,
        region=class_spec.region,
        client_audience=class_spec.client_audience,
        domains=tuple(sorted(class_spec.domains)),
        client_issuers=tuple(sorted(class_spec.client_issuers, key=lambda item: item.issuer)),
        cluster_issuer=inputs.cluster_issuer,
        cluster_jwks=inputs.cluster_jwks,
        ca_bundles=tuple(bundle for _, bundle in sorted(bundles.items())),
        signature_diagnostics=class_spec.signature_diagnostics,
    )
    return ClassResult(
        metadata=inputs.class_object.metadata,
        accepted=accepted("BucketRouteClass"),
        route_count=len(compiled),
        accepted_route_count=sum(
            item.result.condition(ConditionType.ACCEPTED).status is True for item in compiled
        ),
        snapshot=Snapshot(
            settings=settings,
            routes=tuple(sorted(routes, key=lambda route: (route.namespace, route.name))),
        ),
        secrets=SnapshotSecrets(
            static=tuple(secret for _, secret in sorted(statics.items())),
            access_keys=tuple(
                secret
                for _, secret in sorted(access_keys.items())
                if isinstance(secret, AccessKeySecret)
            ),
            sealing_keys=inputs.sealing_keys,
        ),
    )
