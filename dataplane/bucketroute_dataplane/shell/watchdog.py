"""Deadlines for sockets, without a timer a request.

Whatever waits on a peer sets its own `deadline` and moves it on with every byte; one sweep a
second finds those that passed. A deadline is therefore met within a second after it is due.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

SWEEP_SECONDS = 1.0

_LOGGER = logging.getLogger("bucketroute.dataplane")


class Watched(Protocol):
    """`deadline` is in seconds of the loop's clock; None while nothing is waited for."""

    deadline: float | None

    def on_deadline(self) -> None:
        """Called once the deadline has passed; must clear or move it."""
        ...


class Watchdog:
    """Sweeps what is registered. One a process; lives as long as `run()` is awaited."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()

    def add(self, watched: Watched) -> None:
        self._watched.add(watched)

    def discard(self, watched: Watched) -> None:
        self._watched.discard(watched)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(loop.time())

    def sweep(self, now: float) -> None:
        """Calls `on_deadline` of everything that is overdue."""
        for watched in tuple(self._watched):
            deadline = watched.deadline
            if deadline is not None and deadline <= now:
                try:
                    watched.on_deadline()
                except Exception:
                    # One socket's trouble must not end the deadlines of all the others.
                    watched.deadline = None
                    _LOGGER.exception("ending a socket that was silent for too long failed")
