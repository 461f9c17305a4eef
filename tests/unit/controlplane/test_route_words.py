"""Since when a route has its backend, and which words are about that."""

from dataclasses import replace

import pytest

from bucketroute_operator.core.route_words import Revision, backend_revisions
from bucketroute_snapshot import Route, RouteState, Snapshot
from bucketroute_testing.operator_objects import route, snapshot

KEY, NAME = ("team-a", "one"), "team-a/one"
BEFORE = route("one", generation=4)


def _after(edited: Route) -> Revision:
    known = {NAME: Revision(uid=BEFORE.uid, generation=3)}
    return backend_revisions(known, {KEY}, snapshot(BEFORE), snapshot(edited))[NAME]


def test_an_edit_of_anything_but_the_backend_leaves_what_was_said_standing() -> None:
    edited = replace(BEFORE, generation=5, access=(), exported=False)
    assert _after(edited) == Revision(uid=BEFORE.uid, generation=3)


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param(route("one", generation=5, signs=False), id="another backend"),
        pytest.param(replace(BEFORE, generation=5, state=RouteState.SUSPENDED), id="another state"),
        pytest.param(
            replace(BEFORE, generation=5, state=RouteState.UNRESOLVED, backend=None),
            id="no backend",
        ),
    ],
)
def test_with_another_backend_a_route_begins_anew(edited: Route) -> None:
    assert _after(edited) == Revision(uid=BEFORE.uid, generation=5)


def test_another_route_of_the_same_name_begins_anew() -> None:
    made_anew = route("one", generation=1, uid="another")
    assert _after(made_anew) == Revision(uid="another", generation=1)


def test_what_a_route_refers_to_may_change_and_words_on_this_generation_stand() -> None:
    """A change of a class or BucketBackend may concern thousands of routes."""
    revision = _after(route("one", generation=4, signs=False))
    assert revision.is_met_by(Revision(uid=BEFORE.uid, generation=4))


@pytest.mark.parametrize("previous", [None, snapshot()])
def test_a_new_route_begins_with_its_generation(previous: Snapshot | None) -> None:
    made = backend_revisions({}, {KEY}, previous, snapshot(BEFORE))
    assert made == {NAME: Revision(uid=BEFORE.uid, generation=4)}


def test_a_new_leader_lets_words_of_any_generation_count() -> None:
    restored = backend_revisions({}, (), None, snapshot(BEFORE))
    assert restored == {NAME: Revision(uid=BEFORE.uid, generation=0)}
    edited = replace(BEFORE, generation=5, access=())
    following = backend_revisions(restored, {KEY}, snapshot(BEFORE), snapshot(edited))
    assert following == restored


def test_routes_that_are_gone_are_forgotten() -> None:
    known = {NAME: Revision(uid=BEFORE.uid, generation=4)}
    assert backend_revisions(known, {KEY}, snapshot(BEFORE), snapshot()) == {}


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (Revision(uid="u", generation=5), True),
        (Revision(uid="u", generation=6), True),
        (Revision(uid="u", generation=4), False),
        (Revision(uid="v", generation=6), False),
        (None, True),
    ],
)
def test_a_word_counts_from_the_revision_on(about: Revision | None, expected: bool) -> None:
    assert Revision(uid="u", generation=5).is_met_by(about) is expected
