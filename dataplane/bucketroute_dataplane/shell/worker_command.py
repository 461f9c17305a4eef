"""How a worker is started, and how long it may take for what it is asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDeadlines:
    """In seconds. Generous: a node that is short of CPU makes all workers slow, and to kill them
    for that makes it worse.

    start: until a worker says hello, once it has imported its program.
    apply: to take a configuration up; 10,000 routes take a second or two, between requests.
    ping: for a sign of life, asked for each `ping_every`; an event loop that takes longer hangs.
    counts: for a scrape. A worker that is late is in it with what it said the time before.
    exit: between the end of a link and that of its process.
    """

    start: float = 120.0
    apply: float = 120.0
    listen: float = 10.0
    ping_every: float = 5.0
    ping: float = 30.0
    counts: float = 3.0
    exit: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCommand:
    """The program's own `arguments`, where to `listen` (HOST:PORT), and the log's turn."""

    arguments: Sequence[str]
    listen: str
    log_turn: int

    def line(self, number: int, link: int) -> list[str]:
        """Not by fork: this process has threads, an event loop and connections."""
        # -P: what lies in the working directory is no part of the program.
        python = [sys.executable, "-P", "-m", "bucketroute_dataplane.worker"]
        seat = [str(number), str(link), str(self.log_turn)]
        return [*python, *seat, *self.arguments, "--listen", self.listen]
