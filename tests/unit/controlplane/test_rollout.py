"""Which routes count as programmed, which credentials as ready, and what is held back."""

import pytest

from bucketroute_operator.core.delta import render
from bucketroute_operator.core.rollout import (
    CredentialState,
    Fleet,
    PodState,
    bucket_found,
    credential_ready,
    is_mass_removal,
    lost_routes,
    programmed,
    route_versions,
    synced,
)
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.operator_objects import route, snapshot, version

ROUTE = "team-a/reports"
OLD, NOW, NEXT = version("1.1"), version("1.2"), version("2.1")
HAS = PodState(applied=NOW)
IS_BEHIND = PodState(applied=OLD)
REFUSED = PodState(applied=OLD, rejected=NOW)
LEFT_OUT = PodState(applied=NOW, rejected_routes={ROUTE: "UnsupportedRoute"})


@pytest.mark.parametrize(
    ("fleet", "status", "reason"),
    [
        (Fleet(is_required=True, heard=(HAS, HAS)), "True", "Programmed"),
        (Fleet(is_required=True, heard=(PodState(applied=NEXT),)), "True", "Programmed"),
        (Fleet(is_required=True, heard=(HAS, IS_BEHIND)), "False", "PartiallyProgrammed"),
        (Fleet(is_required=True, heard=(HAS,), unheard_count=1), "False", "PartiallyProgrammed"),
        (Fleet(is_required=True, heard=(IS_BEHIND,)), "False", "Pending"),
        (Fleet(is_required=True, unheard_count=2), "False", "Pending"),
        (Fleet(is_required=True, heard=(HAS, REFUSED)), "False", "Rejected"),
        (Fleet(is_required=True, heard=(HAS, LEFT_OUT)), "False", "Rejected"),
        (Fleet(is_required=True), "False", "NoDataPlane"),
        (Fleet(is_required=False), "True", "Programmed"),
        (Fleet(is_required=False, heard=(REFUSED,)), "True", "Programmed"),
    ],
    ids=[
        "all-have-it",
        "a-later-version-has-it-too",
        "one-is-behind",
        "one-was-never-heard",
        "none-has-it",
        "none-was-heard",
        "one-refused-the-snapshot",
        "one-left-the-route-out",
        "no-pod-is-ready",
        "sidecars-only",
        "sidecars-cannot-hold-it-back",
    ],
)
def test_a_route_is_programmed_once_every_ready_pod_has_it(
    fleet: Fleet, status: str, reason: str
) -> None:
    outcome = programmed(ROUTE, NOW, fleet)
    assert (outcome.status, outcome.reason) == (status, reason)


def test_a_route_that_was_never_published_is_pending() -> None:
    assert programmed(ROUTE, None, Fleet(is_required=True, heard=(HAS,))).reason == "Pending"


def test_a_route_that_a_pod_left_out_of_an_older_version_is_not_rejected_now() -> None:
    before = PodState(applied=OLD, rejected_routes={ROUTE: "UnsupportedRoute"})
    assert programmed(ROUTE, NOW, Fleet(is_required=True, heard=(before,))).reason == "Pending"


def _saying(*words: tuple[str, str]) -> list[PodState]:
    return [
        PodState(credentials={ROUTE: CredentialState(status=status, code=code)})
        for status, code in words
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ("Unknown", "NotTried")),
        ([("True", "Exchanged")], ("True", "Exchanged")),
        ([("True", "Exchanged"), ("False", "AccessDenied")], ("False", "AccessDenied")),
        ([("Unknown", "NotTried"), ("True", "Exchanged")], ("Unknown", "NotTried")),
        ([("False", "B"), ("False", "A")], ("False", "A")),
    ],
    ids=["nobody-said", "granted", "refused-once", "not-tried-by-all", "two-codes"],
)
def test_credentials_are_as_ready_as_the_worst_pod_says(
    said: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    outcome = credential_ready(ROUTE, _saying(*said))
    assert (outcome.status, outcome.reason) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], ("Unknown", "NoAnswer")),
        ([BucketState.UNKNOWN], ("Unknown", "NoAnswer")),
        ([BucketState.FOUND, BucketState.UNKNOWN], ("True", "BucketFound")),
        ([BucketState.FOUND, BucketState.NOT_FOUND], ("False", "BackendBucketNotFound")),
        ([BucketState.FORBIDDEN, BucketState.UNKNOWN], ("Unknown", "ListForbidden")),
    ],
    ids=["nobody-said", "no-answer", "a-new-pod", "gone-since", "forbidden"],
)
def test_what_a_pod_has_seen_of_the_bucket_counts(
    seen: list[BucketState], expected: tuple[str, str]
) -> None:
    pods = [
        PodState(credentials={ROUTE: CredentialState(status="True", code="Exchanged", bucket=word)})
        for word in seen
    ]
    outcome = bucket_found(ROUTE, pods)
    assert (outcome.status, outcome.reason) == expected


def test_pods_that_say_nothing_of_a_route_do_not_count() -> None:
    pods = [*_saying(("True", "Exchanged")), PodState()]
    assert credential_ready(ROUTE, pods).status == "True"


def test_a_route_that_somebody_deleted_is_not_lost() -> None:
    before = snapshot(route("one"), route("two"), route("three"))
    lost = lost_routes(before, snapshot(route("one")), {"uid-team-a-two"})
    assert lost == {"uid-team-a-three"}


def test_nothing_is_lost_by_the_first_publication() -> None:
    assert lost_routes(None, snapshot(), ()) == frozenset()
    assert not is_mass_removal(100, None)


@pytest.mark.parametrize(
    ("lost", "total", "is_held"),
    [(10, 20, False), (11, 20, True), (11, 55, False), (12, 55, True), (0, 0, False)],
    ids=["ten-is-few", "eleven-of-twenty", "a-fifth", "over-a-fifth", "nothing"],
)
def test_a_removal_is_massive_above_ten_and_a_fifth(lost: int, total: int, is_held: bool) -> None:
    before = snapshot(*(route(f"r{number:03}") for number in range(total)))
    assert is_mass_removal(lost, before) is is_held


def test_a_route_keeps_the_version_that_first_had_it() -> None:
    rendering = render(snapshot(route("new"), route("old")))
    known = {("team-a", "old"): OLD, ("team-a", "gone"): OLD}
    versions = route_versions(known, {("team-a", "new"), ("team-a", "gone")}, rendering, NOW)
    assert versions == {("team-a", "new"): NOW, ("team-a", "old"): OLD}


@pytest.mark.parametrize(
    ("fleet", "counts", "is_held", "reason"),
    [
        (Fleet(is_required=True, heard=(HAS, HAS)), (2, 0), False, "Synced"),
        (Fleet(is_required=True, heard=(HAS, HAS)), (2, 0), True, "MassRemovalHeld"),
        (Fleet(is_required=True, heard=(HAS, REFUSED)), (1, 1), False, "Rejected"),
        (Fleet(is_required=True, heard=(HAS, IS_BEHIND)), (1, 0), False, "Pending"),
        (Fleet(is_required=True), (0, 0), False, "NoDataPlane"),
        (Fleet(is_required=False), (0, 0), False, "Published"),
    ],
    ids=["all", "held", "refused", "behind", "no-pod", "sidecars-only"],
)
def test_a_class_says_how_far_its_data_planes_are(
    fleet: Fleet, counts: tuple[int, int], is_held: bool, reason: str
) -> None:
    assert synced(fleet, *counts, is_held=is_held).reason == reason
