"""Time as a port: what waits and looks at the clock is given one, so that tests need not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What time it is, and how to let some pass."""

    def now(self) -> float:
        """Epoch seconds; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """Implements `Clock` with the machine's clocks and the running event loop."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def wait_at_most(clock: Clock, seconds: float, future: asyncio.Future[Any]) -> bool:
    """Wait until the future is done or the time is up; True if it is done.

    The future belongs to somebody else: neither the time nor a cancelled caller cancels it, and
    its exception is not raised here.
    """
    if future.done():
        return True
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({future, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return future.done()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine, and cancel it when the time is up or the caller is cancelled.

    Raises: TimeoutError if the time was up.
    """
    task = asyncio.ensure_future(work)
    try:
        is_done = await wait_at_most(clock, seconds, task)
    except asyncio.CancelledError:
        await _cancelled(task)
        raise
    if not is_done:
        await _cancelled(task)
        raise TimeoutError
    return task.result()


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        # Its error came too late for anybody; fetched, so that asyncio does not complain.
        task.exception()
