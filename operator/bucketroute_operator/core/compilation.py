"""What comes out of the compiler: a snapshot per class, and what to tell of each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bucketroute_operator.core.advice import told
from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.findings import (
    Condition,
    ConditionType,
    Fault,
    FieldProblem,
    Finding,
    ObjectRef,
    Reason,
    Severity,
)
from bucketroute_operator.core.resources import Metadata
from bucketroute_snapshot import RouteState, Snapshot, SnapshotSecrets

if TYPE_CHECKING:  # it is made of this module
    from bucketroute_operator.core.class_compiler import CompiledClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedReferences:
    """What a route's references came to, for its status. Empty strings where nothing applies."""

    endpoint: str
    region: str
    role_arn: str = ""
    session_name: str = ""
    backend_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteResult:
    """One route's outcome. `state` is None when the route is not in its class's snapshot."""

    metadata: Metadata
    class_name: str
    bucket: str
    state: RouteState | None
    conditions: tuple[Condition, ...]
    resolved: ResolvedReferences | None = None

    def condition(self, kind: ConditionType) -> Condition:
        return next(condition for condition in self.conditions if condition.type is kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendResult:
    """One BucketBackend's outcome; `attached_routes` counts the routes that use it."""

    metadata: Metadata
    accepted: Condition
    attached_routes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """One BucketRouteClass's outcome. An invalid class has no snapshot: the last one stays."""

    metadata: Metadata
    accepted: Condition
    route_count: int
    accepted_route_count: int
    snapshot: Snapshot | None
    secrets: SnapshotSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """Everything, each part sorted by object. `compiled` is for the next compilation."""

    classes: tuple[ClassResult, ...]
    routes: tuple[RouteResult, ...]
    backends: tuple[BackendResult, ...]
    findings: tuple[Finding, ...]
    compiled: Mapping[str, CompiledClass] = field(default_factory=dict, compare=False, repr=False)

    def of_class(self, name: str) -> ClassResult | None:
        return next((item for item in self.classes if item.metadata.name == name), None)


def accepted(what: str) -> Condition:
    return Condition(
        type=ConditionType.ACCEPTED,
        status=True,
        reason=Reason.ACCEPTED,
        message=f"The {what} is valid.",
    )


def not_accepted(reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.ACCEPTED, status=False, reason=reason, message=message)


def pending(kind: ConditionType) -> Condition:
    """For what is not looked at because the object is not accepted."""
    message = "This is decided once the route is accepted."
    return Condition(type=kind, status=None, reason=Reason.PENDING, message=message)


def spec_refusal(problems: tuple[FieldProblem, ...]) -> Refusal:
    """The problem that a condition has room for; a field that is unknown may explain the others.

    An unknown field is no reason to go on without it: it may be what keeps somebody out.
    """
    first = next((item for item in problems if item.fault is Fault.UNKNOWN), problems[0])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"{first.field or 'The object'} {first.message}{more}."
    return Refusal(reason=first.reason, field=first.field, message=message)


def invalid_spec(problems: tuple[FieldProblem, ...]) -> Condition:
    refusal = spec_refusal(problems)
    return not_accepted(refusal.reason, told(refusal))


def findings_of_problems(ref: ObjectRef, problems: tuple[FieldProblem, ...]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            severity=Severity.ERROR,
            object=ref,
            field=problem.field,
            reason=problem.reason,
            message=f"It {problem.message}.",
        )
        for problem in problems
    )


def finding_of(ref: ObjectRef, refusal: Refusal, severity: Severity) -> Finding:
    return Finding(
        severity=severity,
        object=ref,
        field=refusal.field,
        reason=refusal.reason,
        message=refusal.message,
    )
