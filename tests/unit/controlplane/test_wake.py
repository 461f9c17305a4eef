"""A burst of changes wakes the loop once, and an endless one does not keep it asleep."""

import asyncio
from time import monotonic

from bucketroute_operator.shell.wake import Debounce


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
