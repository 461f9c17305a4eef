"""Who waits for sockets is woken: once, with the others, and not for somebody else."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest

from bucketroute_dataplane.shell.readiness import READY_AT_ONCE, Readiness
from bucketroute_testing.transports import settle, until


class Reader:
    """Waits for the near end of a pipe; `then` is what it does when it is woken."""

    def __init__(self, readiness: Readiness) -> None:
        self.near, self.far = os.pipe2(os.O_NONBLOCK)
        self.wakes = 0
        self.then: Callable[[], None] = lambda: None
        self._readiness = readiness
        readiness.watch(self, self.near)

    def wait(self) -> None:
        self._readiness.wait_for(self.near, is_source=True)

    def arrive(self) -> None:
        os.write(self.far, b"x")

    def wake(self, descriptor: int) -> None:
        assert descriptor == self.near
        self.wakes += 1
        self.then()

    def stop(self) -> None:
        self._readiness.forget(self.near)
        for end in (self.near, self.far):
            os.close(end)


@pytest.fixture
async def readiness() -> AsyncIterator[Readiness]:
    made = Readiness()
    yield made
    made.close()


async def test_who_is_ready_is_woken_once_until_it_waits_again(readiness: Readiness) -> None:
    reader = Reader(readiness)
    reader.arrive()
    await settle(10)
    assert reader.wakes == 0
    reader.wait()
    await until(lambda: reader.wakes)
    await settle(10)
    assert reader.wakes == 1
    reader.wait()
    await until(lambda: reader.wakes == 2)


async def test_many_have_their_turn_in_one_pass_of_the_loop(readiness: Readiness) -> None:
    """A busy loop has few passes, which all large bodies would have to share."""
    readers = [Reader(readiness) for _ in range(READY_AT_ONCE)]
    woken_in: list[int] = []
    passes = 0
    for reader in readers:
        reader.then = lambda: woken_in.append(passes)
        reader.wait()
        reader.arrive()
    async with asyncio.timeout(10):
        while len(woken_in) < READY_AT_ONCE:
            passes += 1
            await asyncio.sleep(0)
    assert len(set(woken_in)) == 1


async def test_what_one_raises_costs_the_others_nothing(readiness: Readiness) -> None:
    raised: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: raised.append(context["exception"]))
    readers = [Reader(readiness) for _ in range(3)]

    def fail() -> None:
        raise ZeroDivisionError

    for reader in readers:
        reader.then = fail
        reader.wait()
        reader.arrive()
    await until(lambda: len(raised) == len(readers))
    assert {type(item) for item in raised} == {ZeroDivisionError}


async def test_nobody_is_woken_for_a_descriptor_that_was_anothers(readiness: Readiness) -> None:
    first, second = Reader(readiness), Reader(readiness)
    third: list[Reader] = []

    def end(other: Reader) -> None:
        other.stop()
        third.append(Reader(readiness))

    first.then, second.then = (lambda: end(second)), (lambda: end(first))
    for reader in (first, second):
        reader.wait()
        reader.arrive()
    await until(lambda: third)
    await settle(10)
    assert {third[0].near, third[0].far} & {second.near, first.near}, "it has the descriptor"
    assert first.wakes + second.wakes == 1
    assert third[0].wakes == 0


async def test_closing_stops_everybody(readiness: Readiness) -> None:
    reader = Reader(readiness)
    reader.wait()
    readiness.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader.near)
