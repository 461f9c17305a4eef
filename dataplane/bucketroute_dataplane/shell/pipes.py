"""The pipes through which the kernel moves bodies: large ones, a few of which are kept a while."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from typing import NamedTuple

# Held in the kernel by one stream. A user without privilege may have 64 MiB of pipes in all, and
# pipes of 8 KiB beyond that (pipe(7)): copying costs less than those. All data planes of a node are
# one user to the kernel.
PIPE_BYTES = 1024 * 1024
MIN_PIPE_BYTES = 64 * 1024
MAX_IDLE_PIPES = 16
# One that nobody has taken for that long is closed.
KEPT_SECONDS = 5.0


class Pipe(NamedTuple):
    """The descriptor to read from, the one to write to, and how many bytes it takes at most."""

    out: int
    into: int
    capacity: int

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class Pipes:
    """Linux only; those of one event loop."""

    def __init__(self, *, kept_seconds: float = KEPT_SECONDS) -> None:
        self._idle: list[Pipe] = []
        self._unused_count = 0
        self._kept_seconds = kept_seconds
        self._trimming: asyncio.TimerHandle | None = None

    def take(self) -> Pipe:
        """An empty one. Raises: OSError if there is none left, or none that is worth it."""
        if self._idle:
            pipe = self._idle.pop()
            self._unused_count = min(self._unused_count, len(self._idle))
            return pipe
        out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # beyond a limit of the user's or of the system's
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        pipe = Pipe(out, into, fcntl.fcntl(into, fcntl.F_GETPIPE_SZ))
        if pipe.capacity < MIN_PIPE_BYTES:
            pipe.close()
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return pipe

    def put_back(self, pipe: Pipe) -> None:
        """An empty one."""
        if len(self._idle) < MAX_IDLE_PIPES:
            self._idle.append(pipe)
            if self._trimming is None:
                self._trim_later()
        else:
            pipe.close()

    def close(self) -> None:
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None
        self._close(len(self._idle))

    def _trim_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._trimming = loop.call_later(self._kept_seconds, self._trim)

    def _trim(self) -> None:
        """Closes those that were not taken since the last time: the first, as the last is taken."""
        self._trimming = None
        self._close(self._unused_count)
        self._unused_count = len(self._idle)
        if self._idle:
            self._trim_later()

    def _close(self, count: int) -> None:
        for pipe in self._idle[:count]:
            pipe.close()
        del self._idle[:count]
