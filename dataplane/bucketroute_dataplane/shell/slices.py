"""Long work on the event loop, done in slices between which requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

SLICE_SECONDS = 0.004


class Slices:
    """`pause()` between two small steps gives the loop away when a slice is used up."""

    def __init__(
        self, *, seconds: float = SLICE_SECONDS, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    async def pause(self) -> None:
        if self._clock() >= self._end:
            await asyncio.sleep(0)
            self._end = self._clock() + self._seconds


def let_go(items: list[T]) -> Iterator[None]:
    """Frees them one by one, a step each: 10,000 routes at once would take 10 ms and more."""
    while items:
        items.pop()
        yield
