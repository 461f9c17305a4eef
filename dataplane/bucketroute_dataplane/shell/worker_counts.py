"""The metrics of a pod as the sums of its workers'.

A counter must not go back when a worker ends, or Prometheus takes the rest for new: what it had
counted when it was last asked stays in the sum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bucketroute_dataplane.shell.metrics import Metrics


class WorkerCounts:
    """`total` of what was `heard`."""

    def __init__(self) -> None:
        self._last: dict[int, Sequence[Sequence[Any]]] = {}
        self._routes: set[str] = set()
        self._gone = Metrics(routes=self._routes)

    def heard(self, worker: int, content: bytes) -> None:
        """What the worker has counted in all; replaces what was heard of it before."""
        self._last[worker] = [json.loads(line) for line in content.splitlines()]

    def forget(self, worker: int) -> None:
        """It has ended, and nothing is in flight in it."""
        last = self._last.pop(worker, None)
        if last is not None:
            self._gone.add(last)
            self._gone.in_flight = 0

    def total(self) -> Metrics:
        """Made anew; everything but what workers count is to be filled in."""
        total = Metrics(routes=self._routes)
        for counts in (list(self._gone.counts()), *self._last.values()):
            total.add(counts)
        return total
