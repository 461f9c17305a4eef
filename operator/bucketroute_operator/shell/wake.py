"""Waiting: for a burst of changes to be over, but not for ever; and after failures, ever longer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic


class Debounce:
    """`mark` at each change; `wait` returns `quiet` seconds after the last one, and at most
    `latest` seconds after the first.
    """

    def __init__(
        self, *, quiet: float, latest: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._quiet = quiet
        self._latest = latest
        self._clock = clock
        self._marked = asyncio.Event()

    def mark(self) -> None:
        self._marked.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Returns after `seconds` too, if there was no change by then."""
        if not await self._wait(seconds):
            return
        end = self._clock() + self._latest
        while True:
            self._marked.clear()
            left = end - self._clock()
            if left <= 0 or not await self._wait(min(self._quiet, left)):
                return

    async def _wait(self, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._marked.wait()
        except TimeoutError:
            return False
        return True


class Backoff:
    """How long to wait after each failure in a row: twice as long each time, up to `most` seconds.

    Up to half of it is left to chance, so that many who failed at once do not come back at once.
    """

    def __init__(
        self, first: float, *, most: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self._failures = 0

    def failed(self) -> float:
        """The seconds until the next attempt."""
        limit = min(self._most, self._first * 2.0**self._failures)
        self._failures = min(self._failures + 1, 32)
        return limit * (1 - self._chance() / 2)

    def succeeded(self) -> None:
        self._failures = 0
