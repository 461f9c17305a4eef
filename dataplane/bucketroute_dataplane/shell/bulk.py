"""Moves the bulk of a large body from socket to socket without a byte passing through Python.

`splice(2)` hands pages from socket to pipe to socket inside the kernel. It needs Linux, and
plaintext on both legs; where that is not so, or the kernel refuses (a seccomp profile may), nothing
is lost: the caller goes on copying. For the time of a move the transports of both sockets stand
aside, the source's paused, the target's flushed.

A move waits for one side at a time (`readiness.py`): bytes that arrive while the target is full
wake nobody, and gather to larger pieces. The sockets are duplicated, so that a descriptor which is
closed meanwhile is never taken for its successor.
What this leans on in the transports of asyncio and uvloop is listed in
`tests/unit/dataplane/test_event_loop_contract.py`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sys
import termios
from collections.abc import Callable
from typing import Protocol

from bucketroute_dataplane.shell.pipes import Pipe, Pipes
from bucketroute_dataplane.shell.readiness import Readiness

# Below it a move costs more than it saves.
MIN_MOVE_BYTES = 1024 * 1024
# What one stream moves before the others have their turn.
TURN_BYTES = 4 * 1024 * 1024

_REFUSALS = frozenset((errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EACCES))


class Splice(Protocol):
    """Moves up to `count` bytes; returns how many, 0 at the end of the source. Raises: OSError."""

    def __call__(self, source: int, target: int, count: int, /, *, flags: int) -> int: ...


# macOS has neither of the two.
_SPLICE: Splice | None = os.splice if sys.platform == "linux" else None
# splice(2): neither end may block, pages are handed over where possible.
_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)


class MoveOwner(Protocol):
    """Hears of a move; after `on_moved`, `on_broken` or `on_refused` nothing more."""

    def on_waiting(self, *, is_for_source: bool) -> None:
        """Nothing can be moved now; which side it is waited for."""
        ...

    def on_moved(self) -> None:
        """Every byte is with the target."""
        ...

    def on_broken(self, *, is_source: bool) -> None:
        """One side's connection has ended."""
        ...

    def on_refused(self) -> None:
        """The kernel does not do this, or not for this socket; nothing was moved."""
        ...


class BulkMover:
    """The moves of one event loop. `splice` is that of the kernel; None where there is none."""

    def __init__(self, splice: Splice | None = _SPLICE) -> None:
        self.moved_bytes = 0
        self.splice = splice
        self._loop = asyncio.get_running_loop()
        self.readiness = Readiness()
        self.pipes = Pipes()
        self.is_available = splice is not None

    def move(
        self, source: asyncio.BaseTransport, target: asyncio.BaseTransport, count: int
    ) -> Move | None:
        """A move of `count` bytes, to be started; None if these two sockets can't have one."""
        fds = [_plain_socket(transport) for transport in (source, target)]
        if not self.is_available or count < MIN_MOVE_BYTES or fds[0] is None or fds[1] is None:
            return None
        return Move(self, fds[0], fds[1], count)

    def close(self) -> None:
        """Ends every move without a word."""
        self.readiness.close()
        self.pipes.close()

    def soon(self, call: Callable[[], None]) -> None:
        self._loop.call_soon(call)


class Move:
    """One transfer: `start`, then its owner is told how it ends; `stop` ends it in silence."""

    def __init__(self, mover: BulkMover, source: int, target: int, count: int) -> None:
        self.moved = 0
        self._mover = mover
        self._sockets = (source, target)
        self._unread = count
        self._in_pipe = 0
        self._pipe: Pipe | None = None
        self._is_source_ready = False
        self._told: tuple[bool, int] | None = None
        self._owner: MoveOwner | None = None
        self._source = self._target = -1

    def start(self, owner: MoveOwner) -> None:
        """Begins, in this call."""
        self._owner = owner
        try:
            self._pipe = self._mover.pipes.take()
            self._source = os.dup(self._sockets[0])
            self._target = os.dup(self._sockets[1])
            self._mover.readiness.watch(self, self._source, self._target)
        except OSError:  # no descriptors or no pipes left
            self._end()
            owner.on_refused()
            return
        self.step()

    def stop(self) -> None:
        self._owner = None
        self._end()

    def wake(self, descriptor: int) -> None:
        """Moves on: the kernel says that this side is ready."""
        self._is_source_ready = descriptor == self._source
        self.step()

    def step(self) -> None:
        """Moves what can be moved now."""
        owner = self._owner
        if owner is None:
            return
        try:
            is_for_source = self._move()
        except _BrokenError as broken:
            self._end()
            owner.on_broken(is_source=broken.is_source)
            return
        except _RefusedError:
            self._end()
            owner.on_refused()
            return
        if not self._unread and not self._in_pipe:
            self._end()
            owner.on_moved()
            return
        if is_for_source is None:
            self._mover.soon(self.step)
        else:
            side = self._source if is_for_source else self._target
            self._mover.readiness.wait_for(side, is_source=is_for_source)
        # Who has moved on has its time anew, after a full turn, too; nobody else has.
        waiting = (is_for_source is not False, self.moved)
        if waiting != self._told:
            self._told = waiting
            owner.on_waiting(is_for_source=waiting[0])

    def _move(self) -> bool | None:
        """Whether the source is waited for, or the target; None after a full turn.

        The pipe is emptied before it is filled again. A side that took or gave less than it was
        asked for is waited for, rather than asked again in vain. Raises: _BrokenError,
        _RefusedError.
        """
        assert self._pipe is not None
        out, into, capacity = self._pipe
        is_source_ready, self._is_source_ready = self._is_source_ready, False
        turn = 0
        while turn < TURN_BYTES:
            asked = 0
            if not self._in_pipe:
                asked = min(self._unread, capacity)
                self._in_pipe = self._splice(self._source, into, asked, is_source=True)
                self._unread -= self._in_pipe
                if not self._in_pipe:
                    if is_source_ready:
                        self._give_up()
                    return True
                is_source_ready = False
            gave_less = self._in_pipe < asked
            drained = self._splice(out, self._target, self._in_pipe, is_source=False)
            self._in_pipe -= drained
            self.moved += drained
            self._mover.moved_bytes += drained
            turn += drained
            if self._in_pipe:
                return False
            if gave_less or not self._unread:
                return True
        return None

    def _splice(self, source: int, target: int, count: int, *, is_source: bool) -> int:
        """What was moved now; 0 where either end would block. `is_source`: whose end is at stake.

        Raises: _BrokenError, _RefusedError.
        """
        assert self._mover.splice is not None
        try:
            moved = self._mover.splice(source, target, count, flags=_FLAGS)
        except BlockingIOError:
            return 0
        except OSError as exc:
            if exc.errno in _REFUSALS and self._is_untouched():
                self._mover.is_available = False
                raise _RefusedError from exc
            raise _BrokenError(is_source=is_source) from exc
        if not moved:
            raise _BrokenError(is_source=is_source)
        return moved

    def _give_up(self) -> None:
        """There is something to read, and splice does not find it: urgent data (tcp(7)), at which
        it stops for good, or what an eBPF program has redirected. Reading may do better.

        Raises: _BrokenError, _RefusedError.
        """
        if self._is_untouched():
            raise _RefusedError
        raise _BrokenError(is_source=True)

    def _is_untouched(self) -> bool:
        return not self.moved and not self._in_pipe

    def _end(self) -> None:
        self._owner = None
        self._mover.readiness.forget(self._source, self._target)
        for descriptor in (self._source, self._target):
            if descriptor >= 0:
                _close(descriptor)
        self._source = self._target = -1
        pipe, self._pipe = self._pipe, None
        if pipe is not None and self._in_pipe:
            pipe.close()  # its rest belongs to nobody
        elif pipe is not None:
            self._mover.pipes.put_back(pipe)


class _BrokenError(Exception):
    def __init__(self, *, is_source: bool) -> None:
        super().__init__()
        self.is_source = is_source


class _RefusedError(Exception):
    pass


def has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether something has arrived over a plaintext connection that nobody has read yet."""
    descriptor = None if transport is None else _plain_socket(transport)
    return descriptor is not None and any(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))


def _plain_socket(transport: asyncio.BaseTransport) -> int | None:
    """The descriptor of a TCP connection without TLS; None for anything else."""
    if transport.is_closing() or transport.get_extra_info("ssl_object") is not None:
        return None
    found = transport.get_extra_info("socket")
    return found.fileno() if found is not None and found.fileno() >= 0 else None


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
