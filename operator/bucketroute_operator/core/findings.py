"""What the compiler tells people: findings about objects, and the conditions of a route.

The catalogue of condition types and reasons lives here and nowhere else. Messages are sentences;
they never hold anything that came back from a backend, and a message shown in one namespace never
tells what exists in another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """ERROR: the object is not served as written. WARNING: it is, but something is amiss."""

    ERROR = "Error"
    WARNING = "Warning"


class ConditionType(Enum):
    """The conditions that compiling decides; acknowledgements decide the others."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    EXPORTED = "Exported"


class Reason(Enum):
    """Why a condition has its status (CamelCase, as Kubernetes' API conventions ask)."""

    ACCEPTED = "Accepted"
    PENDING = "Pending"
    CLASS_NOT_FOUND = "ClassNotFound"
    NOT_ALLOWED_BY_CLASS = "NotAllowedByClass"
    BUCKET_NAME_CONFLICT = "BucketNameConflict"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_FIELD = "UnknownField"

    RESOLVED_REFS = "ResolvedRefs"
    BACKEND_NOT_FOUND = "BackendNotFound"
    REF_NOT_PERMITTED = "RefNotPermitted"
    ROLE_NOT_PERMITTED = "RoleNotPermitted"
    ENDPOINT_NOT_PERMITTED = "EndpointNotPermitted"
    ISSUER_NOT_PERMITTED = "IssuerNotPermitted"
    REGION_UNKNOWN = "RegionUnknown"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105  # a reason, not a password
    SECRET_INVALID = "SecretInvalid"  # noqa: S105  # a reason, not a password
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"

    EXPORTED = "Exported"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ObjectRef:
    """Names one object. `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}".replace(" /", " ")


class Fault(Enum):
    """VALUE: what is written was read, but may not stand there. UNREAD: a stand-in was read in its
    place. UNKNOWN: nobody reads a field of this name."""

    VALUE = "Value"
    UNREAD = "Unread"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """One thing wrong inside one object; `field` is a path such as `spec.access[0].prefixes[1]`."""

    field: str
    message: str
    fault: Fault = Fault.VALUE

    @property
    def reason(self) -> Reason:
        is_unknown = self.fault is Fault.UNKNOWN
        return Reason.UNKNOWN_FIELD if is_unknown else Reason.INVALID_SPEC


def may_follow_from(field: str, problems: Iterable[FieldProblem]) -> bool:
    """Whether what is wrong with the field may be no more than a consequence of these problems.

    It may if the field, or an object around it, has one; and if something inside it could not be
    read, since then what was read in its place has been judged.
    """
    return any(
        _holds(problem.field, field)
        or (problem.fault is not Fault.VALUE and _holds(field, problem.field))
        for problem in problems
    )


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about one field of one object."""

    severity: Severity
    object: ObjectRef
    field: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition as compiling sees it; the operator adds generation and transition time.

    A status of None is Kubernetes' `Unknown`.
    """

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str
