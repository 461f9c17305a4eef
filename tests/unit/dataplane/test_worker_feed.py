"""A worker's end: configurations that come in pieces, and what is made of those that are wrong."""

import json
from collections.abc import Iterator

import pytest

from bucketroute_dataplane.shell.config_client import ChannelError
from bucketroute_dataplane.shell.config_store import HeldConfig, read_update, update_lines
from bucketroute_dataplane.shell.worker_feed import SupervisorReports, WorkerFeed
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, Taken, WorkerLink
from bucketroute_operator.core.delta import full_update, render
from bucketroute_snapshot import Secret, Snapshot, SnapshotSecrets, encode_secrets
from bucketroute_testing.config_channel import RecordingTarget
from bucketroute_testing.operator_objects import route, snapshot, version

SECRETS = SnapshotSecrets(sealing_keys=(Secret("c2VhbA=="),))
ONE, TWO = snapshot(route("one")), snapshot(route("one"), route("two"))


async def held(at: str, made: Snapshot) -> HeldConfig:
    update = full_update(version(at), render(made), encode_secrets(SECRETS))
    return await read_update(update.splitlines(keepends=True), None)


class Worker:
    def __init__(self) -> None:
        self.target = RecordingTarget()
        self.listened = 0
        self.feed = WorkerFeed(self.target, listen=self._listen, counts=self._counts)

    async def take(self, lines: list[bytes], piece_bytes: int = 7) -> Taken:
        update = b"".join(lines)
        for start in range(0, len(update), piece_bytes):
            await self.feed.answer(Kind.PIECE, update[start : start + piece_bytes])
        return Taken(await self.feed.answer(Kind.UPDATE, b""))

    async def _listen(self) -> None:
        self.listened += 1

    def _counts(self) -> Iterator[list[object]]:
        yield [1, 2, 3]
        yield ["team-a/one", "GetObject"]


async def test_a_configuration_is_served_and_what_leads_on_from_it() -> None:
    worker = Worker()
    first, second = await held("1.1", ONE), await held("1.2", TWO)
    assert await worker.take(update_lines(first)) is Taken.APPLIED
    assert await worker.take(update_lines(second, first)) is Taken.APPLIED
    assert worker.target.served == [(ONE, SECRETS), (TWO, SECRETS)]
    assert worker.feed.held is not None
    assert worker.feed.held.version == version("1.2")


async def test_who_follows_what_is_held_finds_it_there() -> None:
    """A report that is made too early speaks to the former leader."""
    worker, seen = Worker(), list[HeldConfig | None]()
    worker.feed.on_held = lambda: seen.append(worker.feed.held)
    first = await held("1.1", ONE)
    await worker.take(update_lines(first))
    assert [item and item.version for item in seen] == [version("1.1")]


async def test_what_leads_on_from_something_else_is_stale() -> None:
    worker = Worker()
    first, second = await held("1.1", ONE), await held("1.2", TWO)
    assert await worker.take(update_lines(second, first)) is Taken.STALE
    assert await worker.take(update_lines(second)) is Taken.APPLIED


async def test_a_damaged_one_is_refused_and_leaves_nothing_for_the_next() -> None:
    worker = Worker()
    good = update_lines(await held("1.1", ONE))
    assert await worker.take([*good, b"half a line"]) is Taken.REFUSED
    assert (
        await worker.take([*good[:2], good[2].replace(b"us-east-1", b"us-east-2")]) is Taken.REFUSED
    )
    assert worker.target.served == []
    assert await worker.take(good) is Taken.APPLIED


async def test_one_that_cannot_be_served_is_refused_and_the_former_one_stays() -> None:
    worker = Worker()
    first = await held("1.1", ONE)
    await worker.take(update_lines(first))
    worker.target.refuses = True
    assert await worker.take(update_lines(await held("1.2", TWO), first)) is Taken.REFUSED
    assert worker.feed.held is not None
    assert worker.feed.held.version == version("1.1")


async def test_a_worker_listens_when_it_is_told_to() -> None:
    worker = Worker()
    before = worker.feed.is_listening
    await worker.feed.answer(Kind.LISTEN, b"")
    assert (before, worker.feed.is_listening, worker.listened) == (False, True, 1)


async def test_its_counts_are_a_line_each() -> None:
    content = await Worker().feed.answer(Kind.COUNTS, b"")
    assert [json.loads(line) for line in content.splitlines()] == [
        [1, 2, 3],
        ["team-a/one", "GetObject"],
    ]


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.FRESH, Kind.REPORT])
async def test_it_is_not_asked_what_a_supervisor_is(kind: Kind) -> None:
    with pytest.raises(LinkError, match=kind.name):
        await Worker().feed.answer(kind, b"")


class Link(WorkerLink):
    """One whose other end says nothing but what it is given here."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure
        self.asked: list[tuple[Kind, bytes]] = []

    async def ask(self, kind: Kind, payload: bytes = b"", *, seconds: float) -> bytes:
        self.asked.append((kind, payload))
        if self.failure is not None:
            raise self.failure
        return b""


async def test_a_report_goes_to_the_supervisor() -> None:
    link = Link(None)
    await SupervisorReports(link).post("/v1/report", {"credentials": []})
    assert link.asked == [(Kind.REPORT, b'{"credentials": []}')]


@pytest.mark.parametrize("failure", [LinkError("the link has ended"), TimeoutError()])
async def test_a_supervisor_that_takes_no_report_is_as_an_operator_that_is_away(
    failure: Exception,
) -> None:
    with pytest.raises(ChannelError):
        await SupervisorReports(Link(failure)).post("/v1/report", {"credentials": []})
