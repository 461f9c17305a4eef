"""All that is wrong with one route, each thing once, whatever of it has the route refused.

A condition has room for the first reason. Whoever reads findings wants to put everything right in
one go, so that a field that cannot be read hides nothing but what may be its consequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bucketroute_operator.core.backend_resolver import Surroundings, resolve_backend
from bucketroute_operator.core.class_policy import Refusal, route_refusals
from bucketroute_operator.core.compilation import finding_of, findings_of_problems
from bucketroute_operator.core.conflicts import Placement
from bucketroute_operator.core.findings import (
    Fault,
    FieldProblem,
    Finding,
    Reason,
    Severity,
    may_follow_from,
)
from bucketroute_operator.core.objects import Key
from bucketroute_operator.core.resources import RouteObject, RouteSpec
from bucketroute_operator.core.validation import route_backend_problems
from bucketroute_snapshot import AccessKeySecret, AccessKeySubject, OIDCSubject

NAME_TAKEN_AT_HOME = Refusal(
    reason=Reason.BUCKET_NAME_CONFLICT,
    field="spec.bucket",
    message="Another route of this namespace has this virtual bucket name.",
)
NAME_TAKEN_ELSEWHERE = Refusal(
    reason=Reason.BUCKET_NAME_CONFLICT,
    field="spec.bucket",
    message="The name is taken in this class; the route serves callers of its own namespace only.",
)

# They say what is in the backend's bucket, and not where the backend is.
_BESIDE_THE_PLACE = ("spec.backend.bucket", "spec.backend.prefix")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInputs:
    """One route, why its class refuses it (if so), and the name it got (None: it claims none)."""

    route: RouteObject
    refusal: Refusal | None
    placement: Placement | None
    access_keys: Mapping[Key, AccessKeySecret | Refusal]
    around: Surroundings


def subject_refusals(inputs: RouteInputs, spec: RouteSpec) -> Iterator[Refusal]:
    """Subjects that cannot log in. The route serves all others, so these do not stop it."""
    issuers = {item.issuer for item in inputs.around.class_spec.client_issuers}
    for index, rule in enumerate(spec.access):
        for position, subject in enumerate(rule.subjects, -rule.shorthand_count):
            field = f"spec.access[{index}].subjects[{position}]"
            if isinstance(subject, AccessKeySubject):
                found = inputs.access_keys.get((subject.namespace, subject.name))
                if isinstance(found, Refusal):
                    yield Refusal(reason=found.reason, field=field, message=found.message)
            elif isinstance(subject, OIDCSubject) and subject.issuer not in issuers:
                message = f"The class does not list the issuer {subject.issuer}."
                yield Refusal(reason=Reason.ISSUER_NOT_PERMITTED, field=field, message=message)


def findings_of_served(
    inputs: RouteInputs, backend: tuple[Refusal, ...], subjects: tuple[Refusal, ...]
) -> tuple[Finding, ...]:
    """Of a route that is in the snapshot, from the reasons that are known already."""
    ref = inputs.route.metadata.ref
    findings = [finding_of(ref, refusal, Severity.ERROR) for refusal in (*backend, *subjects)]
    if inputs.placement is Placement.LOCAL:
        findings.append(finding_of(ref, NAME_TAKEN_ELSEWHERE, Severity.WARNING))
    return tuple(findings)


def findings_of_refused(inputs: RouteInputs, refusal: Refusal) -> tuple[Finding, ...]:
    """Of a route that is refused for this reason: it, and all that would come after it."""
    route = inputs.route
    refusals = dict.fromkeys(
        (
            refusal,
            *route_refusals(route, inputs.around.class_spec, inputs.around.objects),
            *_backend_refusals(inputs),
            *subject_refusals(inputs, route.draft),
        )
    )
    return (
        *findings_of_problems(route.metadata.ref, route.problems),
        *(
            finding_of(route.metadata.ref, item, Severity.ERROR)
            for item in refusals
            if not may_follow_from(item.field, route.problems)
        ),
    )


def _backend_refusals(inputs: RouteInputs) -> tuple[Refusal, ...]:
    route = inputs.route
    if not _is_placeable(route.draft, route.problems):
        return ()
    resolved = resolve_backend(route.metadata, route.draft, inputs.around)
    return resolved if isinstance(resolved, tuple) else ()


def _is_placeable(draft: RouteSpec, problems: tuple[FieldProblem, ...]) -> bool:
    """Whether the draft tells the backend's place and identity as its author meant them."""
    within = [
        item.field
        for item in problems
        if item.field.startswith("spec.backend") and item.fault is not Fault.UNKNOWN
    ]
    is_read = all(field in _BESIDE_THE_PLACE for field in within)
    return is_read and not any(route_backend_problems(draft.backend))
