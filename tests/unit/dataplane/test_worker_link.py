"""The link of supervisor and worker: requests both ways, deadlines, and what ends it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bucketroute_dataplane.shell.event_loop import loop_factory
from bucketroute_dataplane.shell.worker_link import (
    MAX_FRAME_BYTES,
    MAX_UNANSWERED,
    Kind,
    LinkError,
    WorkerLink,
)
from bucketroute_testing.transports import settle, until

SECONDS = 10.0
# Longer than what the kernel keeps between two sockets.
LONG = bytes(range(256)) * 8192


class End:
    """Answers with what it was asked, or as `does` says; remembers all of it."""

    def __init__(self) -> None:
        self.heard: list[tuple[Kind, bytes]] = []
        self.does: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, kind: Kind, payload: bytes) -> bytes:
        self.heard.append((kind, payload))
        if self.does is not None:
            await self.does()
        return payload


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[WorkerLink, WorkerLink, End, asyncio.Task[None]]]:
    """Two ends, what answers at the second, and the second one's run."""
    first, second = socket.socketpair()
    end = End()
    one, two = await WorkerLink.over(first, End()), await WorkerLink.over(second, end)
    running = [asyncio.create_task(one.run()), asyncio.create_task(two.run())]
    try:
        yield one, two, end, running[1]
    finally:
        one.close()
        two.close()
        await asyncio.gather(*running, return_exceptions=True)
        await settle(5)


async def test_an_answer_finds_its_request_whatever_the_order() -> None:
    async with linked() as (one, two, _, _):
        asked = [one.ask(Kind.PING, b"%d" % number, seconds=SECONDS) for number in range(20)]
        back = [two.ask(Kind.REPORT, b"back", seconds=SECONDS)]
        answers = await asyncio.gather(*asked, *back)
    assert answers == [*(b"%d" % number for number in range(20)), b"back"]


async def test_long_payloads_arrive_whole() -> None:
    async with linked() as (one, _, _, _):
        assert await one.ask(Kind.COUNTS, LONG, seconds=SECONDS) == LONG


async def test_pieces_are_heard_in_order_and_before_what_comes_after() -> None:
    async with linked() as (one, two, end, _):
        await one.tell(Kind.PIECE, b"1")
        await one.tell(Kind.PIECE, b"2")
        await one.ask(Kind.UPDATE, seconds=SECONDS)
        two.hint(Kind.FRESH)
    assert end.heard == [(Kind.PIECE, b"1"), (Kind.PIECE, b"2"), (Kind.UPDATE, b"")]


async def test_a_request_is_answered_while_another_one_takes_long() -> None:
    async with linked() as (one, _, end, _):
        is_free = asyncio.Event()

        async def wait() -> None:
            if end.heard[-1][0] is Kind.UPDATE:
                await is_free.wait()

        end.does = wait
        update = asyncio.create_task(one.ask(Kind.UPDATE, seconds=SECONDS))
        await until(lambda: bool(end.heard))
        await one.ask(Kind.PING, seconds=SECONDS)
        assert not update.done()
        is_free.set()
        await update


async def test_what_cannot_be_done_is_told_and_the_link_goes_on() -> None:
    async with linked() as (one, _, end, _):

        async def fail() -> None:
            raise LinkError("not me")

        end.does = fail
        with pytest.raises(LinkError, match="not me"):
            await one.ask(Kind.LISTEN, seconds=SECONDS)
        end.does = None
        assert await one.ask(Kind.PING, b"x", seconds=SECONDS) == b"x"


async def test_an_answer_that_does_not_come_is_waited_for_so_long_and_ignored_later() -> None:
    async with linked() as (one, _, end, _):
        is_free = asyncio.Event()

        async def wait() -> None:
            await is_free.wait()

        end.does = wait
        with pytest.raises(TimeoutError):
            await one.ask(Kind.PING, seconds=0.01)
        is_free.set()
        assert await one.ask(Kind.PING, b"later", seconds=SECONDS) == b"later"


async def test_a_fault_of_the_one_who_answers_ends_the_link_at_both_ends() -> None:
    async with linked() as (one, two, end, running):

        async def fail() -> None:
            raise ZeroDivisionError

        end.does = fail
        with pytest.raises(LinkError, match="has ended"):
            await one.ask(Kind.LISTEN, seconds=SECONDS)
        with pytest.raises(ZeroDivisionError):
            await running
        with pytest.raises(LinkError, match="has ended"):
            await two.ask(Kind.HELLO, seconds=SECONDS)
        two.hint(Kind.FRESH)  # nobody hears it, and that is no error


async def test_the_end_of_the_other_one_is_the_end_of_what_is_waited_for() -> None:
    async with linked() as (one, two, end, running):

        async def close() -> None:
            one.close()
            await asyncio.get_running_loop().create_future()

        end.does = close
        with pytest.raises(LinkError, match="has ended"):
            await one.ask(Kind.LISTEN, seconds=SECONDS)
        await running
        with pytest.raises(LinkError, match="has ended"):
            await two.tell(Kind.FRESH)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (bytes([Kind.PING, *b"\0\0\0\1", *(MAX_FRAME_BYTES + 1).to_bytes(4, "big")]), "a frame of"),
        (bytes([99, *b"\0\0\0\1", *b"\0\0\0\0"]), "99"),
    ],
    ids=["too long", "unknown kind"],
)
async def test_what_breaks_the_rules_ends_the_link(frame: bytes, message: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        link = await WorkerLink.over(ours, End())
        theirs.sendall(frame)
        with pytest.raises(LinkError, match=message):
            await link.run()
        link.close()
        await settle(5)


async def test_a_flood_of_requests_ends_the_link() -> None:
    async with linked() as (one, _, end, running):

        async def wait() -> None:
            await asyncio.get_running_loop().create_future()

        end.does = wait
        asked = [one.ask(Kind.PING, seconds=SECONDS) for _ in range(MAX_UNANSWERED + 1)]
        flood = asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(LinkError, match="too many"):
            await running
        one.close()
        assert {type(answer) for answer in await flood} == {LinkError}


def test_the_link_works_on_the_loop_of_workers() -> None:
    async def ask() -> bytes:
        async with linked() as (one, _, _, _):
            return await one.ask(Kind.COUNTS, LONG, seconds=SECONDS)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(ask()) == LONG
