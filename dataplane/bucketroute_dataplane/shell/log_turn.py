"""Whose turn it is to write to a log that several processes share.

A pipe takes more than 4 KiB (PIPE_BUF) in pieces, so batches of two writers would be torn into one
another. The lock is the kernel's (fcntl(2), F_SETLKW) on a file in memory: it ends with its holder.
"""

from __future__ import annotations

import fcntl
import os
import sys


def new_turn_file() -> int:
    """A descriptor to hand to the processes. Linux only."""
    assert sys.platform == "linux"
    return os.memfd_create("bucketroute-log-turn")


class LogTurn:
    """A context manager; entering it waits. For one thread of each process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
