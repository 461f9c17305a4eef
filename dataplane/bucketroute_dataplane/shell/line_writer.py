"""Lines to a file descriptor that may block: whoever reads a pod's log can stop reading.

A thread of its own writes; the event loop never waits for it. What waits is bounded, and lines
beyond that are dropped and counted: a log must not take the service down.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue

STDOUT = 1
# Some 10,000 lines of the access log.
MAX_WAITING_BYTES = 4 * 1024 * 1024
CLOSE_SECONDS = 1.0


class LineWriter:
    """`write` and `close` belong to one thread. The descriptor stays open.

    `turn` is held during each write, by the thread that writes: processes that share the descriptor
    take turns by it.
    """

    def __init__(
        self, descriptor: int = STDOUT, *, turn: AbstractContextManager[None] | None = None
    ) -> None:
        self._descriptor = descriptor
        self._turn = turn or nullcontext()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # Each counted by one thread only: what was taken and refused here, what was done there.
        self._taken_bytes = 0
        self._done_bytes = 0
        self._refused_lines = 0
        self._lost_lines = 0
        self._thread: threading.Thread | None = None

    @property
    def dropped_lines(self) -> int:
        return self._refused_lines + self._lost_lines

    def write(self, lines: str) -> None:
        """Whole lines, each with its newline. Never blocks."""
        data = lines.encode("utf-8", "backslashreplace")
        if self._taken_bytes - self._done_bytes + len(data) > MAX_WAITING_BYTES:
            self._refused_lines += lines.count("\n")
            return
        if self._thread is None:
            # A daemon: it may hang in a write when the process is to end.
            self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
            self._thread.start()
        self._taken_bytes += len(data)
        self._queue.put(data)

    def close(self) -> None:
        """Waits until what was taken is written, for CLOSE_SECONDS at most."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                with self._turn:
                    self._write_all(data)
            except OSError:  # nobody reads any more, or the disk is full
                self._lost_lines += data.count(b"\n")
            self._done_bytes += len(data)

    def _write_all(self, data: bytes) -> None:
        """Not by `sys.stdout`: its lock, held by a write that hangs, would abort the interpreter's
        exit."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody else made it non-blocking
                select.select([], [self._descriptor], [])
