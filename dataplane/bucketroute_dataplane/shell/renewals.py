"""Runs what is due, earliest first and no faster than a given pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from bucketroute_dataplane.shell.clock import Clock, wait_at_most
from bucketroute_dataplane.shell.credential_events import CredentialKey

# The wall clock may jump (a laptop that slept): the queue looks again at least this often.
_MAX_NAP_SECONDS = 60.0


class RenewalQueue:
    """Keys with the epoch second at which each is due.

    `renew(key, at)` is called when that has come and says whether it began anything; only then the
    next one has to wait for `interval_seconds`. A key may stand in the queue more than once: it is
    `renew` that knows which of its times still holds.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        interval_seconds: float,
        renew: Callable[[CredentialKey, float], bool],
    ) -> None:
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._renew = renew
        self._heap: list[tuple[float, int, CredentialKey]] = []
        self._serials = count()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def add(self, key: CredentialKey, at: float) -> None:
        # The serial keeps the heap from comparing keys.
        heappush(self._heap, (at, next(self._serials), key))
        self._wake.set()
        if not self._is_closed and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Stop for good."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            wait = self._heap[0][0] - self._clock.now() if self._heap else _MAX_NAP_SECONDS
            if wait > 0:
                await self._nap(min(wait, _MAX_NAP_SECONDS))
                continue
            at, _, key = heappop(self._heap)
            if self._renew(key, at):
                await self._clock.sleep(self._interval_seconds)

    async def _nap(self, seconds: float) -> None:
        self._wake.clear()
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await wait_at_most(self._clock, seconds, woken)
        finally:
            woken.cancel()
