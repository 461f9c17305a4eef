"""Prometheus metrics of the data plane. Names are an API: docs/metrics.md lists them, tested.

A request is counted in plain integers; the metric families are made of them when somebody
scrapes. Labels never hold object keys, access keys or role ARNs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from bucketroute_dataplane.shell.access_log import AccessRecord

BUCKETS_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
# Beyond as many routes the others share one label: a scrape must not grow with the cluster.
MAX_ROUTE_LABELS = 1000
OTHER_ROUTES = "other"
PREFIX = "bucketroute_dataplane_"

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class _Durations:
    """A histogram: how many fell into each bucket, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.total += seconds

    def add(self, counts: Sequence[int], total: float) -> None:
        self.counts = [mine + more for mine, more in zip(self.counts, counts, strict=True)]
        self.total += total

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        bounds = [*(str(float(bound)) for bound in BUCKETS_SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self.counts), strict=True))
        family.add_metric(labels, buckets, sum_value=self.total)


@dataclass(slots=True)
class _Cell:
    """What is counted of one operation on one route."""

    duration: _Durations = field(default_factory=_Durations)
    first_byte: _Durations = field(default_factory=_Durations)
    statuses: Counter[int] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0

    def counts(self) -> list[object]:
        """As JSON has them."""
        durations = [self.duration, self.first_byte]
        times = [part for item in durations for part in (item.counts, item.total)]
        return [*times, list(self.statuses.items()), self.bytes_in, self.bytes_out]

    def add(self, counts: Sequence[Any]) -> None:
        """What another one's `counts` were."""
        duration, seconds, first_byte, first_seconds, statuses, bytes_in, bytes_out = counts
        self.duration.add(duration, seconds)
        self.first_byte.add(first_byte, first_seconds)
        for status, count in statuses:
            self.statuses[status] += count
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out


class Metrics(Collector):
    """All of them, in one registry of their own. `dropped_lines` are those of the access log,
    `moved_bytes` those of bodies that the kernel moved. `routes` are those with a label of their
    own; sums that are made anew for each scrape share them, so that no series moves.

    `config` gives where the served configuration came from, and when the operator last answered, in
    epoch seconds (0: it never has).
    """

    def __init__(
        self,
        *,
        dropped_lines: Callable[[], int] = lambda: 0,
        moved_bytes: Callable[[], int] = lambda: 0,
        routes: set[str] | None = None,
    ) -> None:
        self._dropped_lines = dropped_lines
        self._moved_bytes = moved_bytes
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.in_flight = 0
        self.route_count = 0
        self.snapshot_swaps = 0
        self.workers = 1
        self.worker_restarts = 0
        self.config: Callable[[], tuple[str, float]] = lambda: ("files", 0.0)
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._routes = set[str]() if routes is None else routes
        self._added_dropped_lines = 0
        self._added_moved_bytes = 0

    def observe(self, record: AccessRecord) -> None:
        """Counts a request that is over."""
        cell = self._cells.get((record.route, record.operation))
        if cell is None:
            cell = self._new_cell(record.route, record.operation)
        cell.statuses[record.status] += 1
        cell.duration.observe(record.ended - record.started)
        if record.first_byte:
            cell.first_byte.observe(record.first_byte - record.backend_sent)
        cell.bytes_in += record.bytes_in
        cell.bytes_out += record.bytes_out

    def counts(self) -> Iterator[list[object]]:
        """What `add` adds to others, as JSON has it: small pieces, between which others may work.
        Gauges but the requests in flight are not in it, nor what a pod counts once."""
        dropped = self._dropped_lines() + self._added_dropped_lines
        moved = self._moved_bytes() + self._added_moved_bytes
        yield [self.in_flight, dropped, moved]
        for labels, cell in list(self._cells.items()):
            yield [*labels, *cell.counts()]

    def add(self, counts: Iterable[Sequence[Any]]) -> None:
        """Raises: ValueError or TypeError if they are none."""
        own, *cells = counts
        in_flight, dropped_lines, moved_bytes = own
        self.in_flight += in_flight
        self._added_dropped_lines += dropped_lines
        self._added_moved_bytes += moved_bytes
        for route, operation, *values in cells:
            cell = self._cells.get((route, operation)) or self._new_cell(route, operation)
            cell.add(values)

    def exposition(self) -> bytes:
        """The text format of version 0.0.4."""
        return generate_latest(self.registry)

    async def exposed(self) -> bytes:
        """The exposition of a process that has only itself to ask."""
        return self.exposition()

    def collect(self) -> Iterator[Family]:
        """The families, as prometheus_client asks for them."""
        yield from self._of_requests()
        source, answered_at = self.config()
        for name, text, value in (
            ("in_flight_requests", "Requests being served.", self.in_flight),
            ("routes", "Routes in the served snapshot.", self.route_count),
            ("workers", "Processes that serve requests.", self.workers),
            (
                "config_last_answer_timestamp_seconds",
                "When the operator last answered; 0 if it never has.",
                answered_at,
            ),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value=value)
        came_from = GaugeMetricFamily(
            PREFIX + "config_source",
            "1 for where the served configuration is from.",
            labels=["source"],
        )
        came_from.add_metric([source], 1)
        yield came_from
        for name, text, value in (
            ("snapshot_swaps", "Snapshots applied.", self.snapshot_swaps),
            ("worker_restarts", "Workers that ended and were replaced.", self.worker_restarts),
            (
                "access_log_dropped_lines",
                "Lines of the access log that nobody took in time.",
                self._dropped_lines() + self._added_dropped_lines,
            ),
            (
                "moved_bytes",
                "Body bytes that the kernel moved from socket to socket, without a copy.",
                self._moved_bytes() + self._added_moved_bytes,
            ),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value=value)

    def _of_requests(self) -> Iterator[Family]:
        requests = CounterMetricFamily(
            PREFIX + "requests", "Requests answered.", labels=("route", "operation", "code")
        )
        duration = HistogramMetricFamily(
            PREFIX + "request_duration_seconds",
            "From the request head to the last byte of the response.",
            labels=("route", "operation"),
        )
        first_byte = HistogramMetricFamily(
            PREFIX + "backend_first_byte_seconds",
            "From the request sent to the backend to the head of its response.",
            labels=("route", "operation"),
        )
        moved = CounterMetricFamily(
            PREFIX + "bytes",
            "Body bytes, received from clients (in) and sent to them (out).",
            labels=("route", "operation", "direction"),
        )
        for labels, cell in self._cells.items():
            for status, count in cell.statuses.items():
                requests.add_metric((*labels, str(status)), count)
            cell.duration.add_to(duration, labels)
            cell.first_byte.add_to(first_byte, labels)
            moved.add_metric((*labels, "in"), cell.bytes_in)
            moved.add_metric((*labels, "out"), cell.bytes_out)
        yield from (requests, duration, first_byte, moved)

    def _new_cell(self, route: str, operation: str) -> _Cell:
        if route not in self._routes and len(self._routes) >= MAX_ROUTE_LABELS:
            return self._cells.setdefault((OTHER_ROUTES, operation), _Cell())
        self._routes.add(route)
        return self._cells.setdefault((route, operation), _Cell())
