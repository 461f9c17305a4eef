"""Whatever the API server does to the operator, what is published ends up as what is there.

The operator runs against the real API server through a proxy that fails on demand. After each
fault the published snapshot is compared with a compilation of fresh LISTs, and the operator's
writes are counted where they arrive.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bucketroute_testing.api_calls import ApiCall
from bucketroute_testing.api_faults import (
    Duplicated,
    EventFaultFactory,
    Faults,
    Refusal,
    Reordered,
    Swallowing,
)
from bucketroute_testing.operator_beside import CLASS
from bucketroute_testing.operator_world import POINTER, World

STATUS_WRITES_PER_CHANGE = 2
# What there is to say of one change if data planes are late: pending, programmed here and there,
# programmed everywhere, and ready.
MOST_STATUSES_OF_A_CHANGE = 4
CHUNKS_EVERY_SECONDS = 10.0


@pytest.fixture(autouse=True)
def no_write_storm(world: World) -> Iterator[None]:
    """Whatever the test does: two statuses a change at most, and the process need not end."""
    since, before = len(world.proxy.seen), world.churn.changes.copy()
    ends = list(world.operator.ends)
    yield
    changed, written = world.churn.changes - before, world.status_writes(since)
    too_many = {
        name: (count, changed[name])
        for name, count in written.items()
        if count > MOST_STATUSES_OF_A_CHANGE * changed[name]
    }
    assert not too_many, f"status writes and changes: {too_many}"
    assert written.total() <= STATUS_WRITES_PER_CHANGE * changed.total(), written
    assert world.operator.ends == ends, world.operator.log_end()


def any_write(call: ApiCall) -> bool:
    return call.is_write


def config_map(call: ApiCall) -> bool:
    return call.resource == "/configmaps" and call.is_write


def any_call(_: ApiCall) -> bool:
    return True


def test_without_a_fault_nothing_is_written_once_all_is_said(world: World) -> None:
    since = len(world.proxy.seen)
    world.churn.run("plain")
    world.await_converged()
    assert world.churn.alive_of("plain") <= world.status_writes(since).keys()
    since = len(world.proxy.seen)
    world.await_lists(2)
    assert not world.status_writes(since)


def test_dropped_watches_lose_nothing(world: World) -> None:
    world.churn.put("dropped-1", "dropped-2", "dropped-3")
    world.proxy.drop_watches()
    world.churn.put("dropped-1", "dropped-4")
    world.churn.remove("dropped-2")
    world.proxy.drop_watches()
    world.churn.put("dropped-3")
    world.await_converged()


def test_a_watch_that_stalls_without_ending_holds_nothing_up(world: World) -> None:
    with world.proxy.failing(Faults(are_watches_stalled=True)):
        world.churn.run("stalled")
        world.await_converged()


def test_expired_watches_begin_with_a_list(world: World) -> None:
    world.churn.put("expired-1", "expired-2")
    world.proxy.expire_watches()
    world.churn.remove("expired-1")
    world.churn.put("expired-3")
    world.await_converged()


@pytest.mark.parametrize("events", [Duplicated, Reordered, Swallowing])
def test_events_that_lie_are_corrected(world: World, events: EventFaultFactory) -> None:
    name = events.__name__.lower()
    with world.proxy.failing(Faults(events=events)):
        world.churn.run(name)
        world.await_converged()


REFUSALS = {
    "409": Refusal(matches=any_write, status=409, share=0.4),
    "409-again-and-again": Refusal(matches=config_map, status=409, times=7),
    "429": Refusal(matches=any_call, status=429, share=0.2),
    "500": Refusal(matches=any_call, status=500, share=0.2),
    "lost-answers": Refusal(matches=any_write, status=500, share=0.4, after=True),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_only_delay(world: World, name: str) -> None:
    with world.proxy.failing(Faults(refusals=(REFUSALS[name],))):
        world.churn.run(f"refused-{name}")
        world.await_converged()


def test_lists_from_the_past_bring_nothing_back(world: World) -> None:
    world.churn.put("rewound-1", "rewound-2")
    world.await_converged()
    old = world.lists_now()
    world.churn.put("rewound-1", "rewound-3")
    world.churn.remove("rewound-2")
    world.await_converged()
    with world.proxy.failing(Faults(old_lists=old)):
        world.proxy.expire_watches()
        world.await_lists(2)
        world.churn.put("rewound-4")
        world.await_lists(1)
        assert not any("rewound-2" in names for names in world.served())
    world.await_converged()


def test_snapshots_are_stored_sparingly(world: World) -> None:
    """Over all that was before: the pointer once a publication, the content every ten seconds."""
    writes = [item for item in world.proxy.seen if item.call.is_write and item.has_arrived]
    stored = [
        item.at
        for item in writes
        # 409: a content that came back is there already, and is pointed at all the same.
        if item.call.verb == "create"
        and item.name.startswith(f"{POINTER}-")
        and item.status in (201, 409)
    ]
    assert len(stored) > 1
    # When they were answered: one of them may have been late, and the next one not.
    assert (len(stored) - 2) * CHUNKS_EVERY_SECONDS <= stored[-1] - stored[0]
    pointed = sum(item.name == POINTER and item.status < 400 for item in writes)
    published = world.operator.metric("bucketroute_operator_publications_total", **{"class": CLASS})
    assert pointed <= published + len(stored)
