"""Tells who can go on: one epoll instance for all moves, which the event loop watches.

Each waits for one of its descriptors at a time, and once (EPOLLONESHOT): it is not woken again
before it asks.
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol

# They have a turn in one pass of the event loop. It calls again while others are ready.
READY_AT_ONCE = 16


class Waiting(Protocol):
    def wake(self, descriptor: int) -> None:
        """This one is ready."""
        ...

    def stop(self) -> None:
        """To wait no longer, and forget its descriptors."""
        ...


class Readiness:
    """Linux only; that of one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll: select.epoll | None = None
        self._waiting: dict[int, Waiting] = {}

    def watch(self, who: Waiting, *descriptors: int) -> None:
        """None of them is waited for yet. Raises: OSError."""
        if self._epoll is None:
            epoll = select.epoll()
            self._loop.add_reader(epoll.fileno(), self._on_ready)
            self._epoll = epoll
        for descriptor in descriptors:
            self._epoll.register(descriptor, select.EPOLLONESHOT)
            self._waiting[descriptor] = who

    def wait_for(self, descriptor: int, *, is_source: bool) -> None:
        """Until there is something to read, or room to write."""
        assert self._epoll is not None
        events = select.EPOLLIN | select.EPOLLRDHUP if is_source else select.EPOLLOUT
        self._epoll.modify(descriptor, events | select.EPOLLONESHOT)

    def forget(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if self._waiting.pop(descriptor, None) is not None and self._epoll is not None:
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Stops everybody."""
        for who in set(self._waiting.values()):
            who.stop()
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _on_ready(self) -> None:
        events = () if self._epoll is None else self._epoll.poll(0, READY_AT_ONCE)
        ready = [(descriptor, self._waiting.get(descriptor)) for descriptor, _ in events]
        for descriptor, who in ready:
            # One that goes on may stop another, whose descriptor may be a third's by now.
            if who is None or self._waiting.get(descriptor) is not who:
                continue
            try:
                who.wake(descriptor)
            except Exception as exc:  # it costs the others nothing
                context = {"message": "a move could not go on", "exception": exc}
                self._loop.call_exception_handler(context)
