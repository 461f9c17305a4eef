"""Compiles one route: its place in the snapshot, its conditions and its findings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bucketroute_operator.core.advice import told
from bucketroute_operator.core.backend_resolver import (
    ResolvedBackend,
    resolve_backend,
)
from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.compilation import (
    ResolvedReferences,
    RouteResult,
    accepted,
    finding_of,
    not_accepted,
    pending,
)
from bucketroute_operator.core.conflicts import Placement
from bucketroute_operator.core.findings import (
    Condition,
    ConditionType,
    Finding,
    Reason,
    Severity,
)
from bucketroute_operator.core.permissions import granted_actions
from bucketroute_operator.core.resources import (
    AccessRuleSpec,
    DesiredState,
    RouteSpec,
)
from bucketroute_operator.core.route_findings import (
    NAME_TAKEN_AT_HOME,
    NAME_TAKEN_ELSEWHERE,
    RouteInputs,
    findings_of_refused,
    findings_of_served,
    subject_refusals,
)
from bucketroute_snapshot import (
    AccessRule,
    CABundle,
    Limits,
    Route,
    RouteState,
    StaticSecret,
    Timeouts,
    WebIdentityAuth,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRoute:
    """`route` is None when nothing of it is in the snapshot."""

    result: RouteResult
    findings: tuple[Finding, ...]
    route: Route | None = None
    ca_bundle: CABundle | None = None
    static_secret: StaticSecret | None = None


def compile_route(inputs: RouteInputs) -> CompiledRoute:
    """Never raises: a fault of ours in one route must not take the others down."""
    try:
        return _compile(inputs)
    except Exception as exc:
        message = f"The route could not be compiled ({type(exc).__name__}); please report this."
        refusal = Refusal(reason=Reason.INVALID_SPEC, field="spec", message=message)
        finding = finding_of(inputs.route.metadata.ref, refusal, Severity.ERROR)
        return _refused(inputs, refusal, (finding,))


def _compile(inputs: RouteInputs) -> CompiledRoute:
    route, spec = inputs.route, inputs.route.spec
    if inputs.refusal is not None or spec is None:
        refusal = inputs.refusal or _UNREADABLE
        return _refused(inputs, refusal, findings_of_refused(inputs, refusal))
    if inputs.placement in (None, Placement.LOST):
        findings = findings_of_refused(inputs, NAME_TAKEN_AT_HOME)
        return _refused(inputs, NAME_TAKEN_AT_HOME, findings)
    resolved = resolve_backend(route.metadata, spec, inputs.around)
    subjects = tuple(subject_refusals(inputs, spec))
    if isinstance(resolved, tuple):
        refusals, resolved_backend, state = resolved, None, RouteState.UNRESOLVED
    else:
        refusals, resolved_backend, state = (), resolved, RouteState(spec.state.value)
    conditions = (
        _accepted_condition(spec),
        _references_condition((*refusals, *subjects)),
        _exported_condition(inputs),
    )
    return CompiledRoute(
        result=RouteResult(
            metadata=route.metadata,
            class_name=route.class_name,
            bucket=route.bucket,
            state=state,
            conditions=conditions,
            resolved=_references(resolved_backend),
        ),
        findings=findings_of_served(inputs, refusals, subjects),
        route=_snapshot_route(inputs, state, resolved_backend),
        ca_bundle=resolved_backend.ca_bundle if resolved_backend else None,
        static_secret=resolved_backend.static_secret if resolved_backend else None,
    )


_UNREADABLE = Refusal(reason=Reason.INVALID_SPEC, field="spec", message="The spec cannot be read.")


def _refused(inputs: RouteInputs, refusal: Refusal, findings: tuple[Finding, ...]) -> CompiledRoute:
    """Not served; a name that it had stays with it, so that nobody else answers in its place."""
    route = inputs.route
    keeps_name = inputs.placement in (Placement.EXPORTED, Placement.LOCAL)
    state = RouteState.UNRESOLVED if keeps_name else None
    return CompiledRoute(
        result=RouteResult(
            metadata=route.metadata,
            class_name=route.class_name,
            bucket=route.bucket,
            state=state,
            conditions=(
                not_accepted(refusal.reason, told(refusal)),
                pending(ConditionType.RESOLVED_REFS),
                pending(ConditionType.EXPORTED),
            ),
        ),
        findings=findings,
        route=_name_only(inputs, refusal) if keeps_name else None,
    )


def _name_only(inputs: RouteInputs, refusal: Refusal) -> Route:
    """It answers everybody 503. What is too much of a snapshot does not go into it."""
    route = _snapshot_route(inputs, RouteState.UNRESOLVED, None)
    if refusal.reason is not Reason.QUOTA_EXCEEDED:
        return route
    return replace(route, access=(), cors=())


def _snapshot_route(
    inputs: RouteInputs, state: RouteState, resolved: ResolvedBackend | None
) -> Route:
    metadata, spec = inputs.route.metadata, inputs.route.spec
    return Route(
        namespace=metadata.namespace,
        name=metadata.name,
        bucket=inputs.route.bucket,
        uid=metadata.uid,
        generation=metadata.generation,
        created_at=metadata.created_at,
        state=state,
        exported=inputs.placement is Placement.EXPORTED,
        backend=None if resolved is None else resolved.backend,
        access=tuple(map(_access_rule, inputs.route.access)),
        cors=() if spec is None else spec.cors,
        limits=Limits() if spec is None else spec.limits,
        timeouts=Timeouts() if spec is None else spec.timeouts,
    )


def _access_rule(rule: AccessRuleSpec) -> AccessRule:
    return AccessRule(
        subjects=rule.subjects,
        actions=granted_actions(rule.permissions, rule.actions),
        prefixes=rule.prefixes,
    )


def _accepted_condition(spec: RouteSpec) -> Condition:
    if spec.state is DesiredState.SUSPENDED:
        message = "The route is suspended: it keeps its name and answers 503."
        return not_accepted(Reason.SUSPENDED, message)
    return accepted("route")


def _references_condition(refusals: tuple[Refusal, ...]) -> Condition:
    refusal = next(iter(refusals), None)
    return Condition(
        type=ConditionType.RESOLVED_REFS,
        status=refusal is None,
        reason=Reason.RESOLVED_REFS if refusal is None else refusal.reason,
        message="All references are resolved." if refusal is None else told(refusal),
    )


def _exported_condition(inputs: RouteInputs) -> Condition:
    is_exported = inputs.placement is Placement.EXPORTED
    message = "The name serves all callers of the class."
    return Condition(
        type=ConditionType.EXPORTED,
        status=is_exported,
        reason=Reason.EXPORTED if is_exported else NAME_TAKEN_ELSEWHERE.reason,
        message=message if is_exported else told(NAME_TAKEN_ELSEWHERE),
    )


def _references(resolved: ResolvedBackend | None) -> ResolvedReferences | None:
    if resolved is None:
        return None
    backend = resolved.backend
    auth = backend.auth
    return ResolvedReferences(
        endpoint=backend.endpoint,
        region=backend.region,
        role_arn=auth.role_arn if isinstance(auth, WebIdentityAuth) else "",
        session_name=auth.session_name if isinstance(auth, WebIdentityAuth) else "",
        backend_ref=resolved.backend_ref or "",
    )
