"""Bodies that the kernel moves: over real sockets, exactly as many bytes as were asked for."""

import asyncio
import errno
import fcntl
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from bucketroute_dataplane.shell.bulk import (
    MIN_MOVE_BYTES,
    TURN_BYTES,
    BulkMover,
    Move,
    Splice,
)
from bucketroute_dataplane.shell.pipes import MAX_IDLE_PIPES, MIN_PIPE_BYTES, PIPE_BYTES, Pipes
from bucketroute_testing.tcp_sides import Side
from bucketroute_testing.transports import settle, until

MiB = 1024 * 1024
PATTERN = bytes(range(251)) * (MiB // 64)  # a prime period, so that a shift is seen


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Owner:
    """Keeps what a move tells."""

    def __init__(self) -> None:
        self.waits: list[bool] = []
        self.ends: list[str] = []

    def on_waiting(self, *, is_for_source: bool) -> None:
        self.waits.append(is_for_source)

    def on_moved(self) -> None:
        self.ends.append("moved")

    def on_broken(self, *, is_source: bool) -> None:
        self.ends.append("source broken" if is_source else "target broken")

    def on_refused(self) -> None:
        self.ends.append("refused")


class Bench:
    """Two connections and a mover; `begin` moves from the first to the second."""

    def __init__(self, source: Side, target: Side) -> None:
        self.source, self.target = source, target
        self.mover = BulkMover()
        self.owner = Owner()

    def begin(self, count: int, splice: Splice | None = None) -> Move:
        if splice is not None:
            self.mover = BulkMover(splice)
        self.source.transport.pause_reading()
        move = self.mover.move(self.source.transport, self.target.transport, count)
        assert move is not None
        move.start(self.owner)
        return move

    async def ended(self) -> list[str]:
        await until(lambda: self.owner.ends)
        await settle()
        return self.owner.ends


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    (await Side.open()).close()  # whatever the loop opens for itself
    await settle(10)
    before = descriptors()
    source, target = await Side.open(), await Side.open()
    made = Bench(source, target)
    yield made
    made.mover.close()
    for side in (source, target):
        side.close()
    await settle(10)
    assert descriptors() == before


# -- exact counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [MIN_MOVE_BYTES, MIN_MOVE_BYTES + 1, 7 * MiB - 13])
async def test_so_many_bytes_are_moved_and_not_one_of_what_follows(
    bench: Bench, count: int
) -> None:
    data = (PATTERN * 2)[:count]
    move = bench.begin(count)
    sending = asyncio.ensure_future(bench.source.send(data + b"the next request"))
    assert await bench.target.receive(count) == data
    await sending
    assert await bench.ended() == ["moved"]
    assert move.moved == bench.mover.moved_bytes == count
    assert bench.source.near.data == b""
    bench.source.transport.resume_reading()
    await until(lambda: bench.source.near.data == b"the next request")


async def test_moves_of_both_directions_run_at_once(bench: Bench) -> None:
    bench.begin(2 * MiB)
    back, owner = bench.mover.move(bench.target.transport, bench.source.transport, 3 * MiB), Owner()
    assert back is not None
    bench.target.transport.pause_reading()
    back.start(owner)
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.source.send(PATTERN[: 2 * MiB]))
        group.create_task(bench.target.send(PATTERN[: 3 * MiB]))
        forth = group.create_task(bench.target.receive(2 * MiB))
        there = group.create_task(bench.source.receive(3 * MiB))
    assert forth.result() == PATTERN[: 2 * MiB]
    assert there.result() == PATTERN[: 3 * MiB]
    assert (await bench.ended(), owner.ends) == (["moved"], ["moved"])


@pytest.mark.parametrize("is_slow_writer", [False, True], ids=["reader", "writer"])
async def test_a_slow_side_is_waited_for(bench: Bench, is_slow_writer: bool) -> None:
    count, piece = 16 * MiB, 64 * 1024
    data = PATTERN * (count // len(PATTERN) + 1)
    bench.begin(count)
    sending = asyncio.ensure_future(bench.source.send(data[: piece if is_slow_writer else count]))
    await until(lambda: is_slow_writer in bench.owner.waits)
    if is_slow_writer:
        await until(lambda: sending.done())
        sending = asyncio.ensure_future(bench.source.send(data[piece:count]))
    else:
        await until(lambda: bench.owner.waits[-1] is False)
    assert await bench.target.receive(count) == data[:count]
    await sending
    assert await bench.ended() == ["moved"]


async def test_bytes_that_come_while_the_target_is_full_wake_nobody(bench: Bench) -> None:
    calls = []

    def counted(source: int, target: int, count: int, /, *, flags: int) -> int:
        calls.append(count)
        return os.splice(source, target, count, flags=flags)

    count = 24 * MiB
    data = PATTERN * (count // len(PATTERN) + 1)
    bench.begin(count, counted)
    sending = asyncio.ensure_future(bench.source.send(data[:count]))
    await until(lambda: bench.owner.waits and bench.owner.waits[-1] is False)
    before = len(calls)
    await asyncio.sleep(0.05)  # the source's buffers fill up meanwhile
    assert len(calls) == before
    assert await bench.target.receive(count) == data[:count]
    await sending
    assert await bench.ended() == ["moved"]


# -- ends ----------------------------------------------------------------------------------------


async def test_a_source_that_ends_early_is_broken(bench: Bench) -> None:
    bench.begin(2 * MiB)
    await bench.source.send(PATTERN[:MiB])
    assert await bench.target.receive(MiB) == PATTERN[:MiB]
    bench.source.far.shutdown(socket.SHUT_WR)
    assert await bench.ended() == ["source broken"]


async def test_a_source_that_is_reset_is_broken(bench: Bench) -> None:
    bench.begin(2 * MiB)
    bench.source.reset()
    assert await bench.ended() == ["source broken"]


async def test_urgent_data_ends_a_move(bench: Bench) -> None:
    """splice(2) stops there, though the kernel says that there is something to read."""
    bench.begin(2 * MiB)
    await bench.source.send(b"before")
    bench.source.far.send(b"!", socket.MSG_OOB)
    await bench.source.send(b"after")
    assert await bench.ended() == ["source broken"]


async def test_a_source_that_only_reading_can_empty_is_copied(bench: Bench) -> None:
    """An eBPF program may keep what has come where splice does not find it."""

    def finds_nothing(source: int, target: int, count: int, /, *, flags: int) -> int:
        raise BlockingIOError

    bench.begin(2 * MiB, finds_nothing)
    await bench.source.send(b"x")
    assert await bench.ended() == ["refused"]
    assert bench.mover.is_available
    bench.source.transport.resume_reading()
    await until(lambda: bench.source.near.data == b"x")


async def test_a_side_that_is_ready_in_vain_has_no_more_time(bench: Bench) -> None:
    """Whoever is told that it waits gives the side its time anew, so nobody must be told twice."""
    calls = 0

    def full(source: int, target: int, count: int, /, *, flags: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return 100  # into the pipe
        raise BlockingIOError

    bench.begin(2 * MiB, full)
    await until(lambda: calls > 20)
    assert bench.owner.waits == [False]


async def test_a_target_that_is_reset_is_broken(bench: Bench) -> None:
    bench.begin(64 * MiB)
    sending = asyncio.ensure_future(bench.source.send(PATTERN * 6))
    await until(lambda: False in bench.owner.waits)
    bench.target.reset()
    assert await bench.ended() == ["target broken"]
    sending.cancel()


async def test_a_move_that_is_stopped_says_nothing_and_holds_nothing(bench: Bench) -> None:
    before = descriptors()
    move = bench.begin(64 * MiB)
    sending = asyncio.ensure_future(bench.source.send(PATTERN * 6))
    await until(lambda: False in bench.owner.waits)  # the pipe is full
    move.stop()
    move.stop()
    waits = len(bench.owner.waits)
    await bench.target.receive(MiB)
    await settle(10)
    assert (bench.owner.ends, len(bench.owner.waits)) == ([], waits)
    assert descriptors() == before + 1  # the epoll instance; a pipe with a rest in it is not kept
    sending.cancel()


async def test_closing_the_mover_ends_every_move(bench: Bench) -> None:
    bench.begin(2 * MiB)
    bench.mover.close()
    await bench.source.send(b"x")
    await settle(10)
    assert bench.owner.ends == []


async def test_a_few_empty_pipes_are_kept_for_the_next_moves() -> None:
    pipes = Pipes()
    taken = [pipes.take() for _ in range(MAX_IDLE_PIPES + 3)]
    before = descriptors()
    for pipe in taken:
        pipes.put_back(pipe)
    assert descriptors() == before - 2 * 3
    assert pipes.take() in taken
    pipes.close()


async def test_pipes_that_nobody_takes_are_closed() -> None:
    pipes = Pipes(kept_seconds=0.02)
    before = descriptors()
    taken = [pipes.take() for _ in range(3)]
    for pipe in taken:
        pipes.put_back(pipe)
    in_use = taken[-1]
    async with asyncio.timeout(10):
        while descriptors() > before + 2:
            assert pipes.take() is in_use
            pipes.put_back(in_use)
            await asyncio.sleep(0.001)
    await until(lambda: descriptors() == before)
    again = pipes.take()
    pipes.put_back(again)
    pipes.close()
    assert descriptors() == before


@pytest.mark.parametrize(
    ("granted", "expected"), [(8 * 1024, "refused"), (MIN_PIPE_BYTES, "moved")]
)
async def test_pipes_beyond_the_users_limit_are_not_worth_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, granted: int, expected: str
) -> None:
    """The kernel's limit is for users without privilege, which this test may not be."""
    real = fcntl.fcntl

    def limited(descriptor: int, command: int, value: int = 0) -> int:
        return real(descriptor, command, granted if command == fcntl.F_SETPIPE_SZ else value)

    monkeypatch.setattr(fcntl, "fcntl", limited)
    before = descriptors()
    bench.begin(2 * MiB)
    sending = asyncio.ensure_future(bench.source.send(PATTERN[: 2 * MiB]))
    if expected == "moved":
        assert await bench.target.receive(2 * MiB) == PATTERN[: 2 * MiB]
    assert await bench.ended() == [expected]
    sending.cancel()
    if expected == "refused":
        assert descriptors() == before
    assert bench.mover.is_available


# -- refusals ------------------------------------------------------------------------------------


def refusing(code: int) -> Splice:
    def splice(source: int, target: int, count: int, /, *, flags: int) -> int:
        raise OSError(code, os.strerror(code))

    return splice


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EACCES])
async def test_a_kernel_that_refuses_is_not_asked_again(bench: Bench, code: int) -> None:
    move = bench.begin(2 * MiB, refusing(code))
    await bench.source.send(b"x")
    assert await bench.ended() == ["refused"]
    assert move.moved == 0
    assert bench.mover.move(bench.source.transport, bench.target.transport, 2 * MiB) is None
    bench.source.transport.resume_reading()
    await until(lambda: bench.source.near.data == b"x")


async def test_another_error_breaks_the_one_move(bench: Bench) -> None:
    bench.begin(2 * MiB, refusing(errno.ECONNRESET))
    assert await bench.ended() == ["source broken"]
    assert bench.mover.is_available


async def test_without_splice_nothing_is_moved(bench: Bench) -> None:
    source, target = bench.source.transport, bench.target.transport
    assert BulkMover(splice=None).move(source, target, 2 * MiB) is None


async def test_small_bodies_and_closed_connections_are_not_moved(bench: Bench) -> None:
    source, target = bench.source.transport, bench.target.transport
    assert bench.mover.move(source, target, MIN_MOVE_BYTES - 1) is None
    target.abort()
    assert bench.mover.move(source, target, MIN_MOVE_BYTES) is None


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """The process may open so many more, and then none."""
    free = (number for number in range(1024) if not is_open(number))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, count, None)), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("left", range(5))
async def test_a_move_for_which_no_descriptors_are_left_is_refused(bench: Bench, left: int) -> None:
    # It takes five: a pipe's two, a copy of each socket, and the epoll instance.
    with descriptors_left(left):
        bench.begin(2 * MiB)
    assert bench.owner.ends == ["refused"]
    assert bench.mover.is_available
    bench.begin(2 * MiB)
    sending = asyncio.ensure_future(bench.source.send(PATTERN[: 2 * MiB]))
    assert await bench.target.receive(2 * MiB) == PATTERN[: 2 * MiB]
    await sending
    assert await bench.ended() == ["refused", "moved"]


# -- fairness ------------------------------------------------------------------------------------


async def test_others_have_their_turn_and_every_turn_counts_as_progress(bench: Bench) -> None:
    def endless(source: int, target: int, count: int, /, *, flags: int) -> int:
        return min(count, PIPE_BYTES)

    count = 3 * TURN_BYTES + MiB
    move = bench.begin(count, endless)
    assert move.moved == TURN_BYTES
    assert await bench.ended() == ["moved"]
    assert move.moved == count
    assert bench.owner.waits == [True] * 3  # deadlines begin anew


async def test_what_one_owner_raises_costs_no_other_its_move(bench: Bench) -> None:
    class Failing(Owner):
        def on_moved(self) -> None:
            raise ZeroDivisionError

    raised: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: raised.append(context.get("exception")))
    back, failing = bench.mover.move(bench.target.transport, bench.source.transport, MiB), Failing()
    assert back is not None
    bench.target.transport.pause_reading()
    back.start(failing)
    bench.begin(MiB)
    for side, other in ((bench.target, bench.source), (bench.source, bench.target)):
        sending = asyncio.ensure_future(side.send(PATTERN[: MiB - 1]))
        assert await other.receive(MiB - 1) == PATTERN[: MiB - 1]
        await sending
    # Both have their last byte before the loop looks at either.
    for side in (bench.target, bench.source):
        assert side.far.send(b"!") == 1
    assert await bench.target.receive(1) == b"!"
    assert await bench.ended() == ["moved"]
    assert [type(item) for item in raised] == [ZeroDivisionError]
