"""A swap: prepared between requests, taken up in one piece, or not at all."""

import asyncio
import gc
from collections.abc import Generator, Iterable

import pytest

from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.shell.snapshots import Commit, SnapshotStore
from bucketroute_snapshot import SnapshotSecrets
from bucketroute_testing.operator_objects import route, snapshot

NO_SECRETS = SnapshotSecrets()
# Much more than fits into one slice of a few milliseconds.
MANY = snapshot(*(route(f"r{number:04}") for number in range(3000)))


async def test_requests_are_served_while_a_large_snapshot_is_prepared() -> None:
    store = SnapshotStore()
    seen: list[RouteIndex | None] = []

    async def request() -> None:
        while store.index is None:
            seen.append(store.index)
            await asyncio.sleep(0)

    requests = asyncio.ensure_future(request())
    await store.swap(MANY, NO_SECRETS)
    await requests
    assert len(seen) > 1
    assert store.snapshot is MANY


async def test_what_depends_on_all_routes_is_prepared_first_and_taken_up_with_the_swap() -> None:
    store = SnapshotStore()
    told: list[tuple[str, bool]] = []

    def tell(what: str) -> None:
        told.append((what, store.index is not None))

    def prepare(index: RouteIndex) -> Generator[None, None, Commit]:
        tell(f"prepared {len(index.entries)}")
        yield

        def commit() -> Iterable[None]:
            tell("committed")
            return map(tell, ["followed up"])

        return commit

    store.prepare_by(prepare)
    store.subscribe(lambda index, secrets: tell("listened"))
    await store.swap(snapshot(route()), NO_SECRETS)
    assert told == [
        ("prepared 1", False),
        ("listened", False),
        ("committed", False),
        ("followed up", True),
    ]


async def test_a_snapshot_that_cannot_be_served_changes_nothing() -> None:
    store = SnapshotStore()
    committed: list[int] = []

    def prepare(index: RouteIndex) -> Generator[None, None, Commit]:
        yield

        def commit() -> Iterable[None]:
            committed.append(len(index.entries))
            return ()

        return commit

    def refuse(index: RouteIndex, secrets: SnapshotSecrets) -> None:
        if not index.entries:
            raise ValueError("no routes")

    store.prepare_by(prepare)
    store.subscribe(refuse)
    await store.swap(snapshot(route()), NO_SECRETS)
    served = store.index
    with pytest.raises(ValueError, match="no routes"):
        await store.swap(snapshot(), NO_SECRETS)
    assert store.index is served
    assert committed == [1]
    assert gc.isenabled()


async def test_a_route_that_did_not_change_keeps_what_is_known_of_it() -> None:
    store = SnapshotStore()
    kept, changed = route("kept"), route("changed")
    await store.swap(snapshot(kept, changed), NO_SECRETS)
    assert store.index is not None
    before = {entry.route.name: entry for entry in store.index.entries}
    await store.swap(snapshot(kept, route("changed", generation=2), route("new")), NO_SECRETS)
    after = {entry.route.name: entry for entry in store.index.entries}
    assert after["kept"] is before["kept"]
    assert after["changed"] is not before["changed"]
    assert [entry.route.name for entry in store.index.entries] == ["changed", "kept", "new"]
