"""The machine's clock, and work that is bounded by one."""

import asyncio

import pytest

from bucketroute_dataplane.shell.clock import SystemClock, wait_at_most, within
from bucketroute_testing.clock import FakeClock


async def _answer() -> int:
    await asyncio.sleep(0)
    return 7


async def _failing() -> int:
    raise LookupError


async def test_work_in_time_gives_its_result() -> None:
    assert await within(SystemClock(), 60, _answer()) == 7


async def test_work_in_time_raises_its_error() -> None:
    with pytest.raises(LookupError):
        await within(SystemClock(), 60, _failing())


async def test_work_out_of_time_is_cancelled() -> None:
    clock = FakeClock()
    work = asyncio.Event()

    async def endless() -> None:
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            work.set()
            raise

    waiting = asyncio.ensure_future(within(clock, 1, endless()))
    await clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting
    assert work.is_set()


async def test_work_that_fails_while_it_is_cancelled_is_still_out_of_time() -> None:
    clock = FakeClock()

    async def stubborn() -> int:
        try:
            await clock.sleep(60)
        finally:
            raise LookupError

    waiting = asyncio.ensure_future(within(clock, 1, stubborn()))
    await clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting


async def test_a_future_of_somebody_else_is_not_cancelled() -> None:
    clock = FakeClock()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait_at_most(clock, 1, future))
    await clock.advance(1)
    assert await waiting is False
    assert not future.cancelled()


async def test_the_machines_clock_moves() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > began
    assert clock.now() > 1_700_000_000
