"""A burst of changes wakes the loop once, and an endless one does not keep it asleep."""

import asyncio
from time import monotonic

from bucketroute_operator.shell.wake import Backoff, Debounce


async def test_a_burst_is_one_wake() -> None:
    debounce = Debounce(quiet=0.02, latest=1.0)
    for _ in range(100):
        debounce.mark()
    await debounce.wait()
    began = monotonic()
    await debounce.wait(0.05)
    assert monotonic() - began >= 0.045, "nothing was left of the burst"


async def test_an_endless_burst_ends_at_the_latest() -> None:
    debounce = Debounce(quiet=0.05, latest=0.1)

    async def never_quiet() -> None:
        while True:
            debounce.mark()
            await asyncio.sleep(0.005)

    burst = asyncio.create_task(never_quiet())
    async with asyncio.timeout(2):
        await debounce.wait()
    burst.cancel()


async def test_a_change_before_the_wait_is_not_lost() -> None:
    debounce = Debounce(quiet=0.001, latest=0.01)
    debounce.mark()
    async with asyncio.timeout(2):
        await debounce.wait()


def test_failures_in_a_row_are_waited_out_ever_longer_and_no_longer_than_allowed() -> None:
    backoff = Backoff(2.0, most=30.0, chance=lambda: 0.0)
    assert [backoff.failed() for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    backoff.succeeded()
    assert backoff.failed() == 2.0
    for _ in range(2000):
        assert backoff.failed() <= 30.0


def test_half_of_a_wait_is_left_to_chance() -> None:
    assert Backoff(2.0, most=30.0, chance=lambda: 1.0).failed() == 1.0
