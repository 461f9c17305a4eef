"""The pipes through which the kernel moves bodies: large ones, a few of which are kept."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import NamedTuple

# Held in the kernel by one stream. A user without privilege may have 64 MiB of pipes in all, and
# pipes of 8 KiB beyond that (pipe(7)): copying costs less than those.
PIPE_BYTES = 1024 * 1024
MIN_PIPE_BYTES = 64 * 1024
MAX_IDLE_PIPES = 16


class Pipe(NamedTuple):
    """The descriptor to read from, the one to write to, and how many bytes it takes at most."""

    out: int
    into: int
    capacity: int

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class Pipes:
    """Linux only."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []

    def take(self) -> Pipe:
        """An empty one. Raises: OSError if there is none left, or none that is worth it."""
        if self._idle:
            return self._idle.pop()
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
        else:
            pipe.close()

    def close(self) -> None:
        for pipe in self._idle:
            pipe.close()
        self._idle.clear()
