"""Since when a route has its backend, and which words are about that."""

from dataclasses import replace

import pytest

from bucketroute_operator.core.route_words import PublishedRoute, Revision, published_routes
from bucketroute_snapshot import Route, RouteState, WebIdentityAuth
from bucketroute_testing.operator_objects import route, snapshot

KEY, NAME = ("team-a", "one"), "team-a/one"
BEFORE = route("one", generation=4)
BEFORE_REVISION = Revision(uid=BEFORE.uid, generation=4)


def _after(edited: Route) -> PublishedRoute:
    known = {NAME: PublishedRoute(route=BEFORE, backend_since=3)}
    return published_routes(known, {KEY}, snapshot(edited))[NAME]


def _narrowed(made: Route, policy: str) -> Route:
    """As the access rules have it: a session policy is made of them."""
    assert made.backend is not None
    assert isinstance(made.backend.auth, WebIdentityAuth)
    auth = replace(made.backend.auth, session_policy=policy)
    return replace(made, backend=replace(made.backend, auth=auth))


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param(replace(BEFORE, generation=5, exported=False), id="a name"),
        pytest.param(_narrowed(replace(BEFORE, generation=5), "{}"), id="access"),
    ],
)
def test_an_edit_of_anything_but_the_backend_leaves_what_was_said_standing(edited: Route) -> None:
    assert _after(edited) == PublishedRoute(route=edited, backend_since=3)


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
    assert _after(edited).backend_since == 5


def test_another_route_of_the_same_name_begins_anew() -> None:
    made_anew = route("one", generation=1, uid="another")
    assert _after(made_anew) == PublishedRoute(route=made_anew, backend_since=1)


def test_what_a_route_refers_to_may_change_and_words_on_this_generation_stand() -> None:
    """A change of a class or BucketBackend may concern thousands of routes."""
    assert _after(route("one", generation=4, signs=False)).counts(BEFORE_REVISION)


def test_a_new_route_begins_with_its_generation() -> None:
    made = published_routes({}, {KEY}, snapshot(BEFORE))
    assert made == {NAME: PublishedRoute(route=BEFORE, backend_since=4)}
    assert made[NAME].has(BEFORE_REVISION)
    assert made[NAME].has(Revision(uid=BEFORE.uid, generation=3))
    assert not made[NAME].has(Revision(uid=BEFORE.uid, generation=5))
    assert not made[NAME].has(Revision(uid="another", generation=4))


def test_a_new_leader_takes_words_on_what_it_finds_and_later() -> None:
    restored = published_routes({}, (), snapshot(BEFORE))
    assert restored[NAME].backend_since == 4
    edited = replace(BEFORE, generation=5, exported=False)
    following = published_routes(restored, {KEY}, snapshot(edited))
    assert following == {NAME: PublishedRoute(route=edited, backend_since=4)}


def test_routes_that_are_gone_are_forgotten() -> None:
    known = published_routes({}, (), snapshot(BEFORE))
    assert published_routes(known, {KEY}, snapshot()) == {}


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (Revision(uid=BEFORE.uid, generation=3), True),
        (Revision(uid=BEFORE.uid, generation=5), True),
        (Revision(uid=BEFORE.uid, generation=2), False),
        (Revision(uid="v", generation=6), False),
        (None, True),
    ],
)
def test_a_word_counts_from_the_generation_on_that_brought_the_backend(
    about: Revision | None, expected: bool
) -> None:
    assert PublishedRoute(route=BEFORE, backend_since=3).counts(about) is expected
