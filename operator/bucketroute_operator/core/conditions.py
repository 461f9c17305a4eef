"""The status of each object as the API server takes it, and whether it differs from what is there.

Compiling gives some conditions, the data planes the others; `Ready` sums them up. A time alone is
no difference: equal statuses are never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bucketroute_operator.core.compilation import BackendResult, RouteResult
from bucketroute_operator.core.data_planes import DataPlane
from bucketroute_operator.core.findings import Condition
from bucketroute_operator.core.rollout import NO_ANSWER, Outcome

Status = Mapping[str, object]

# Of a route, causes before what follows from them; `Ready` sums them up.
ROUTE_CONDITIONS = (
    "Accepted",
    "ResolvedRefs",
    "Exported",
    "Programmed",
    "CredentialReady",
    "BucketFound",
)

_MAX_MESSAGE_LENGTH = 1024
_WORDS = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOutcome:
    """One route as of now. `version` is that of the first snapshot that has it as it is.

    `awaits_word`: whether the data planes' first word on credentials and bucket is about to come.
    """

    result: RouteResult
    programmed: Outcome
    credential_ready: Outcome
    bucket_found: Outcome = NO_ANSWER
    awaits_word: bool = False
    version: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutcome:
    """One class as of now: what was published of it and how many pods have it."""

    generation: int
    accepted: Condition
    synced: Outcome
    version: str
    digest: str
    total_count: int
    accepted_count: int
    programmed_count: int
    connected_count: int
    synced_count: int
    rejecting_count: int
    data_planes: tuple[DataPlane, ...] = ()


def route_status(outcome: RouteOutcome, before: Status, now: str) -> dict[str, object]:
    """The whole status of a route; `now` is RFC 3339 and dates the conditions that changed."""
    result = outcome.result
    compiled = [_compiled(condition) for condition in result.conditions]
    outcomes = {
        **dict(compiled),
        "Programmed": outcome.programmed,
        "CredentialReady": outcome.credential_ready,
        "BucketFound": outcome.bucket_found,
    }
    outcomes["Ready"] = _ready(outcomes, awaits_word=outcome.awaits_word)
    status: dict[str, object] = {
        "observedGeneration": result.metadata.generation,
        "conditions": _conditions(outcomes, result.metadata.generation, before, now),
    }
    optional: dict[str, object] = {
        "bucket": result.bucket,
        "endpoint": outcome.endpoint,
        "configVersion": outcome.version,
        "resolved": _resolved(result),
    }
    status.update((name, value) for name, value in optional.items() if value)
    return status


def backend_status(result: BackendResult, before: Status, now: str) -> dict[str, object]:
    generation = result.metadata.generation
    accepted = dict([_compiled(result.accepted)])
    return {
        "observedGeneration": generation,
        "attachedRoutes": result.attached_routes,
        "conditions": _conditions(accepted, generation, before, now),
    }


def class_status(outcome: ClassOutcome, before: Status, now: str) -> dict[str, object]:
    outcomes = {**dict([_compiled(outcome.accepted)]), "Synced": outcome.synced}
    status: dict[str, object] = {
        "observedGeneration": outcome.generation,
        "routes": {
            "total": outcome.total_count,
            "accepted": outcome.accepted_count,
            "programmed": outcome.programmed_count,
        },
        "dataPlanes": {
            "connected": outcome.connected_count,
            "synced": outcome.synced_count,
            "rejecting": outcome.rejecting_count,
            "summary": f"{outcome.synced_count}/{outcome.connected_count}",
            "pods": [pod.entry() for pod in outcome.data_planes],
        },
        "conditions": _conditions(outcomes, outcome.generation, before, now),
    }
    if outcome.version:
        status |= {"configVersion": outcome.version, "configDigest": outcome.digest}
    return status


def is_same(one: Status, other: Status) -> bool:
    """Whether two statuses say the same, whatever the times of their conditions."""
    return _timeless(one) == _timeless(other)


def condition_of(status: Status, kind: str) -> Mapping[str, object] | None:
    """The condition of a type in a status that came from the API server."""
    return _by_type(status).get(kind)


def _ready(outcomes: Mapping[str, Outcome], *, awaits_word: bool) -> Outcome:
    for kind in ("Accepted", "ResolvedRefs", "Programmed"):
        if outcomes[kind].status != "True":
            failing = outcomes[kind]
            return Outcome(status="False", reason=failing.reason, message=failing.message)
    for outcome in (outcomes["CredentialReady"], outcomes["BucketFound"]):
        if outcome.status == "False" or (outcome.status == "Unknown" and awaits_word):
            return outcome
    return Outcome(status="True", reason="Ready", message="The route can be used.")


def _compiled(condition: Condition) -> tuple[str, Outcome]:
    outcome = Outcome(
        status=_WORDS[condition.status], reason=condition.reason.value, message=condition.message
    )
    return condition.type.value, outcome


def _conditions(
    outcomes: Mapping[str, Outcome], generation: int, before: Status, now: str
) -> list[dict[str, object]]:
    known = _by_type(before)
    return [
        {
            "type": kind,
            "status": outcome.status,
            "observedGeneration": generation,
            "lastTransitionTime": _transition_time(known.get(kind), outcome, now),
            "reason": outcome.reason,
            "message": _shortened(outcome.message),
        }
        for kind, outcome in outcomes.items()
    ]


def _transition_time(before: Mapping[str, object] | None, outcome: Outcome, now: str) -> object:
    if before is None or before.get("status") != outcome.status:
        return now
    return before.get("lastTransitionTime") or now


def _shortened(message: str) -> str:
    if len(message) <= _MAX_MESSAGE_LENGTH:
        return message
    return message[: _MAX_MESSAGE_LENGTH - 1] + "…"


def _resolved(result: RouteResult) -> dict[str, object]:
    resolved = result.resolved
    if resolved is None:
        return {}
    values = {
        "endpoint": resolved.endpoint,
        "region": resolved.region,
        "roleARN": resolved.role_arn,
        "sessionName": resolved.session_name,
        "backendRef": resolved.backend_ref,
    }
    return {name: value for name, value in values.items() if value}


def _by_type(status: Status) -> dict[str, Mapping[str, object]]:
    conditions = status.get("conditions")
    if not isinstance(conditions, Iterable):
        return {}
    return {
        str(condition.get("type")): condition
        for condition in conditions
        if isinstance(condition, Mapping)
    }


def _timeless(status: Status) -> dict[str, object]:
    plain = {name: value for name, value in status.items() if name != "conditions"}
    conditions = {
        kind: {name: value for name, value in condition.items() if name != "lastTransitionTime"}
        for kind, condition in _by_type(status).items()
    }
    return {**plain, "conditions": conditions}
