"""A clock that stands still until a test moves it. Implements the data plane's `Clock`."""

import asyncio
from heapq import heappop, heappush
from itertools import count

# A callback chain of the code under test is a handful of loop passes long; a pass costs little.
_SETTLING_PASSES = 40


class FakeClock:
    """Sleepers wake only in `advance`, in the order of their times; nothing really waits.

    The test must do no real I/O while it moves the clock: the loop settles by passes, not by time.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0
        self._serials = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._elapsed + max(seconds, 0.0), next(self._serials), wake))
        await wake

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as NTP does or a machine that slept: no sleeper wakes of it."""
        self._now += seconds

    async def settle(self) -> None:
        """Let everything run that need not wait."""
        for _ in range(_SETTLING_PASSES):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and each sleeper act at its own moment."""
        end = self._elapsed + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heappop(self._sleepers)
            self._move_to(max(at, self._elapsed))
            if not wake.done():
                wake.set_result(None)
                await self.settle()
        self._move_to(end)
        await self.settle()

    def _move_to(self, elapsed: float) -> None:
        self._now += elapsed - self._elapsed
        self._elapsed = elapsed
