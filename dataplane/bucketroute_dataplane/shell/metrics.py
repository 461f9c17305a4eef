"""Prometheus metrics of the data plane. Names are an API: docs/metrics.md lists them, tested.

A request is counted in plain integers; the metric families are made of them when somebody
scrapes. Labels never hold object keys, access keys or role ARNs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

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


class Metrics(Collector):
    """All of them, in one registry of their own. `dropped_lines` are those of the access log,
    `moved_bytes` those of bodies that the kernel moved.

    `config` gives where the served configuration came from, and when the operator last answered, in
    epoch seconds (0: it never has).
    """

    def __init__(
        self,
        *,
        dropped_lines: Callable[[], int] = lambda: 0,
        moved_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._dropped_lines = dropped_lines
        self._moved_bytes = moved_bytes
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.in_flight = 0
        self.route_count = 0
        self.snapshot_swaps = 0
        self.config: Callable[[], tuple[str, float]] = lambda: ("files", 0.0)
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._routes: set[str] = set()

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
            (
                "access_log_dropped_lines",
                "Lines of the access log that nobody took in time.",
                self._dropped_lines(),
            ),
            (
                "moved_bytes",
                "Body bytes that the kernel moved from socket to socket, without a copy.",
                self._moved_bytes(),
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
