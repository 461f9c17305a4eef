"""Statuses: the summary, times of transition, and when nothing needs to be written."""

import pytest

from bucketroute_operator.core.compilation import (
    BackendResult,
    ResolvedReferences,
    RouteResult,
    accepted,
)
from bucketroute_operator.core.conditions import (
    RouteOutcome,
    backend_status,
    condition_of,
    is_same,
    route_status,
)
from bucketroute_operator.core.findings import Condition, ConditionType, ObjectRef, Reason
from bucketroute_operator.core.resources import Metadata
from bucketroute_operator.core.rollout import NO_ANSWER, NOT_NEEDED, PROGRAMMED, Outcome
from bucketroute_snapshot import RouteState

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
PENDING = Outcome(status="False", reason="Pending", message="Not yet.")
REFUSED = Outcome(status="False", reason="AccessDenied", message="No.")
UNKNOWN = Outcome(status="Unknown", reason="NotTried", message="Not yet.")
NO_BUCKET = Outcome(status="False", reason="BackendBucketNotFound", message="There is none.")


def _condition(kind: ConditionType, status: bool | None, reason: Reason) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message="So it is.")


ACCEPTED = _condition(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
RESOLVED = _condition(ConditionType.RESOLVED_REFS, True, Reason.RESOLVED_REFS)
DANGLING = _condition(ConditionType.RESOLVED_REFS, False, Reason.BACKEND_NOT_FOUND)
CONFLICT = _condition(ConditionType.EXPORTED, False, Reason.BUCKET_NAME_CONFLICT)


def _metadata(kind: str = "BucketRoute", generation: int = 3) -> Metadata:
    ref = ObjectRef(kind=kind, namespace="team-a", name="reports")
    return Metadata(ref=ref, uid="uid-1", generation=generation, created_at=EARLIER)


def _outcome(
    *conditions: Condition,
    programmed: Outcome = PROGRAMMED,
    credential: Outcome = NOT_NEEDED,
    bucket: Outcome = NO_ANSWER,
    awaits_word: bool = False,
    generation: int = 3,
) -> RouteOutcome:
    result = RouteResult(
        metadata=_metadata(generation=generation),
        class_name="default",
        bucket="reports",
        state=RouteState.ACTIVE,
        conditions=conditions,
        resolved=ResolvedReferences(endpoint="https://s3.example.com", region="eu-west-1"),
    )
    return RouteOutcome(
        result=result,
        programmed=programmed,
        credential_ready=credential,
        bucket_found=bucket,
        awaits_word=awaits_word,
        version="1.2",
    )


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (_outcome(ACCEPTED, RESOLVED), "True", "Ready"),
        (_outcome(ACCEPTED, RESOLVED, credential=UNKNOWN), "True", "Ready"),
        (
            _outcome(ACCEPTED, RESOLVED, credential=UNKNOWN, awaits_word=True),
            "Unknown",
            "NotTried",
        ),
        (_outcome(ACCEPTED, RESOLVED, CONFLICT), "True", "Ready"),
        (_outcome(ACCEPTED, DANGLING, programmed=PENDING), "False", "BackendNotFound"),
        (_outcome(ACCEPTED, RESOLVED, programmed=PENDING), "False", "Pending"),
        (_outcome(ACCEPTED, RESOLVED, credential=REFUSED), "False", "AccessDenied"),
        (
            _outcome(ACCEPTED, RESOLVED, credential=REFUSED, bucket=NO_BUCKET),
            "False",
            "AccessDenied",
        ),
        (_outcome(ACCEPTED, RESOLVED, bucket=NO_BUCKET), "False", "BackendBucketNotFound"),
    ],
    ids=[
        "all-true",
        "credentials-not-tried",
        "credentials-about-to-be-tried",
        "only-its-own-namespace",
        "first-failure-counts",
        "not-programmed",
        "refused-by-the-sts",
        "refused-by-the-sts-now",
        "no-such-bucket",
    ],
)
def test_ready_is_the_first_failure_or_true(
    outcome: RouteOutcome, status: str, reason: str
) -> None:
    ready = condition_of(route_status(outcome, {}, NOW), "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == (status, reason)


def test_every_condition_speaks_of_the_generation_that_was_compiled() -> None:
    status = route_status(_outcome(ACCEPTED, RESOLVED), {}, NOW)
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    assert status["observedGeneration"] == 3
    assert {item["observedGeneration"] for item in conditions} == {3}


def test_a_transition_is_dated_and_the_rest_keeps_its_time() -> None:
    before = route_status(_outcome(ACCEPTED, RESOLVED, programmed=PENDING), {}, EARLIER)
    after = route_status(_outcome(ACCEPTED, RESOLVED), before, NOW)
    times = {
        kind: (condition_of(after, kind) or {})["lastTransitionTime"]
        for kind in ("Accepted", "Programmed", "Ready")
    }
    assert times == {"Accepted": EARLIER, "Programmed": NOW, "Ready": NOW}


def test_a_time_alone_is_no_difference() -> None:
    earlier = route_status(_outcome(ACCEPTED, RESOLVED), {}, EARLIER)
    now = route_status(_outcome(ACCEPTED, RESOLVED), {}, NOW)
    assert earlier != now
    assert is_same(earlier, now)


@pytest.mark.parametrize(
    "other",
    [
        _outcome(ACCEPTED, RESOLVED, programmed=PENDING),
        _outcome(ACCEPTED, RESOLVED, generation=4),
        _outcome(ACCEPTED, DANGLING),
    ],
    ids=["status", "generation", "reason"],
)
def test_anything_else_is_a_difference(other: RouteOutcome) -> None:
    status = route_status(_outcome(ACCEPTED, RESOLVED), {}, NOW)
    assert not is_same(status, route_status(other, {}, NOW))


def test_an_empty_status_differs_from_any() -> None:
    assert not is_same({}, route_status(_outcome(ACCEPTED, RESOLVED), {}, NOW))


def test_a_message_is_cut_to_what_the_schema_takes() -> None:
    long = Outcome(status="False", reason="Rejected", message="x" * 5000)
    status = route_status(_outcome(ACCEPTED, RESOLVED, programmed=long), {}, NOW)
    message = (condition_of(status, "Programmed") or {})["message"]
    assert isinstance(message, str)
    assert (len(message), message[-1]) == (1024, "…")


def test_empty_fields_are_left_out() -> None:
    status = route_status(_outcome(ACCEPTED, RESOLVED), {}, NOW)
    assert "endpoint" not in status
    assert status["resolved"] == {"endpoint": "https://s3.example.com", "region": "eu-west-1"}


def test_a_backend_tells_how_many_routes_use_it() -> None:
    result = BackendResult(
        metadata=_metadata("BucketBackend"), accepted=accepted("BucketBackend"), attached_routes=2
    )
    status = backend_status(result, {}, NOW)
    assert status["attachedRoutes"] == 2
    assert (condition_of(status, "Accepted") or {})["status"] == "True"
