"""The store converges to the API server, whatever happens to the events on the way."""

from hypothesis import given
from hypothesis import strategies as st

from bucketroute_operator.shell.kube_api import NAMESPACES, ROUTES, Json
from bucketroute_operator.shell.store import Change, ObjectStore
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import raw_route

KEY = ("team-a", "reports")


def _raw(version: int, *, uid: str = "uid-1", generation: int = 1, name: str = "reports") -> Json:
    return raw_route(name, uid=uid, resourceVersion=str(version), generation=generation)


def test_a_new_object_is_content() -> None:
    store = ObjectStore()
    assert store.event(ROUTES, "ADDED", _raw(1)) is Change.CONTENT
    assert list(store.object_set().routes) == [KEY]


def test_the_same_event_twice_is_nothing() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    assert store.event(ROUTES, "ADDED", _raw(1)) is Change.NONE


def test_a_status_is_no_content() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    changed = {**_raw(2), "status": {"bucket": "reports"}}
    assert store.event(ROUTES, "MODIFIED", changed) is Change.STATUS


def test_our_own_write_coming_back_as_an_event_is_nothing() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    answer = {**_raw(2), "status": {"bucket": "reports"}}
    store.written(ROUTES, answer)
    assert store.event(ROUTES, "MODIFIED", answer) is Change.NONE


def test_an_edit_that_an_answer_to_a_write_tells_of_is_still_a_change_when_its_event_comes() -> (
    None
):
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    edited, answered = _raw(2, generation=2), _raw(3, generation=2)
    store.written(ROUTES, answered)
    assert store.event(ROUTES, "MODIFIED", edited) is Change.CONTENT
    assert store.event(ROUTES, "MODIFIED", answered) is Change.NONE


def test_an_answer_to_a_write_does_not_bring_a_deleted_object_back() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    store.event(ROUTES, "DELETED", _raw(3))
    store.written(ROUTES, _raw(2))
    assert store.of(ROUTES) == {}


def test_a_late_event_does_not_undo_a_newer_one() -> None:
    store = ObjectStore()
    store.event(ROUTES, "MODIFIED", _raw(10, generation=2))
    assert store.event(ROUTES, "MODIFIED", _raw(9, generation=1)) is Change.NONE
    assert store.of(ROUTES)[KEY].resource_version == "10"


def test_a_late_event_does_not_bring_a_deleted_object_back() -> None:
    store = ObjectStore()
    store.event(ROUTES, "DELETED", _raw(11))
    assert store.event(ROUTES, "MODIFIED", _raw(10)) is Change.NONE
    assert store.of(ROUTES) == {}


def test_a_late_deletion_does_not_remove_its_successor() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(12, uid="uid-2"))
    assert store.event(ROUTES, "DELETED", _raw(11, uid="uid-1")) is Change.NONE
    assert store.of(ROUTES)[KEY].uid == "uid-2"


def test_a_late_event_of_a_predecessor_does_not_replace_its_successor() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(12, uid="uid-2"))
    assert store.event(ROUTES, "MODIFIED", _raw(10, uid="uid-1")) is Change.NONE
    assert store.event(ROUTES, "DELETED", _raw(11, uid="uid-1")) is Change.NONE
    assert store.of(ROUTES)[KEY].uid == "uid-2"


def test_a_list_removes_what_was_deleted_unseen_and_that_is_no_deletion() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    began = store.begin_listing()
    assert store.listed(ROUTES, [], began) == (Change.CONTENT, 1)
    assert store.deleted_uids() == frozenset()


def test_an_event_that_came_during_a_list_is_newer_than_the_list() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    began = store.begin_listing()
    store.event(ROUTES, "MODIFIED", _raw(5, generation=2))
    store.event(ROUTES, "ADDED", _raw(6, uid="uid-2", name="another"))
    store.listed(ROUTES, [_raw(1)], began)
    assert store.of(ROUTES)[KEY].resource_version == "5"
    assert ("team-a", "another") in store.of(ROUTES)


def test_a_deletion_during_a_list_is_newer_than_the_list() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    began = store.begin_listing()
    store.event(ROUTES, "DELETED", _raw(2))
    store.listed(ROUTES, [_raw(1)], began)
    assert store.of(ROUTES) == {}


def test_a_list_that_says_the_same_changes_nothing() -> None:
    store = ObjectStore()
    store.event(ROUTES, "ADDED", _raw(1))
    assert store.listed(ROUTES, [_raw(1)], store.begin_listing()) == (Change.NONE, 0)


def test_a_label_of_a_namespace_is_content() -> None:
    store = ObjectStore()
    metadata = {"name": "team-a", "uid": "n", "labels": {"tenant": "yes"}}
    store.event(NAMESPACES, "ADDED", {"metadata": {**metadata, "resourceVersion": "1"}})
    metadata = {**metadata, "labels": {"tenant": "no"}, "resourceVersion": "2"}
    assert store.event(NAMESPACES, "MODIFIED", {"metadata": metadata}) is Change.CONTENT
    assert store.object_set().labels_of("team-a")["tenant"] == "no"


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "delete"]), st.integers(0, 3)), min_size=1, max_size=25
)


@given(steps=STEPS, order=st.randoms(use_true_random=False), kept=st.integers(0, 100))
def test_lost_doubled_and_reordered_events_are_healed_by_one_list(
    steps: list[tuple[str, int]], order: object, kept: int
) -> None:
    assert hasattr(order, "shuffle")
    kube, events = FakeKube(), []
    for verb, number in steps:
        name = f"r{number}"
        exists = name in kube.names(ROUTES)
        if verb == "write":
            events.append(("MODIFIED" if exists else "ADDED", kube.put(ROUTES, raw_route(name))))
        elif exists:
            events.append(("DELETED", kube.remove(ROUTES, "team-a", name)))
    received = [event for at, event in enumerate(events) if (at * 37 + kept) % 100 < 80]
    received += received[:3]
    order.shuffle(received)
    store = ObjectStore()
    for kind, raw in received:
        store.event(ROUTES, kind, raw)
    truth = [raw for (kind, _, _), raw in kube.objects.items() if kind == ROUTES.kind]
    store.listed(ROUTES, truth, store.begin_listing())
    assert {item.resource_version for item in store.of(ROUTES).values()} == {
        raw["metadata"]["resourceVersion"] for raw in truth
    }
