"""Prometheus metrics of the data plane. Names are an API: docs/metrics.md lists them, tested.

Labels never hold object keys, access keys or role ARNs.
"""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bucketroute_dataplane.shell.access_log import AccessRecord

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_PREFIX = "bucketroute_dataplane_"


class Metrics:
    """All of them, in one registry of their own. Children are cached: a look-up by labels takes
    longer than the increment."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "operation", "code")
        self.requests = Counter(
            _PREFIX + "requests", "Requests answered.", labels, registry=self.registry
        )
        self.duration = Histogram(
            _PREFIX + "request_duration_seconds",
            "From the request head to the last byte of the response.",
            ("route", "operation"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_byte = Histogram(
            _PREFIX + "backend_first_byte_seconds",
            "From the request sent to the backend to the head of its response.",
            ("route", "operation"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.bytes = Counter(
            _PREFIX + "bytes",
            "Body bytes, received from clients (in) and sent to them (out).",
            ("route", "direction"),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            _PREFIX + "in_flight_requests", "Requests being served.", registry=self.registry
        )
        self.routes = Gauge(
            _PREFIX + "routes", "Routes in the served snapshot.", registry=self.registry
        )
        self.snapshot_swaps = Counter(
            _PREFIX + "snapshot_swaps", "Snapshots applied.", registry=self.registry
        )
        self._children = lru_cache(maxsize=4096)(self._labelled)
        self._counted = lru_cache(maxsize=8192)(self.requests.labels)

    def observe(self, record: AccessRecord) -> None:
        """Counts a request that is over."""
        self._counted(record.route, record.operation, str(record.status)).inc()
        duration, first_byte, bytes_in, bytes_out = self._children(record.route, record.operation)
        duration.observe(record.ended - record.started)
        if record.first_byte:
            first_byte.observe(record.first_byte - record.backend_sent)
        bytes_in.inc(record.bytes_in)
        bytes_out.inc(record.bytes_out)

    def exposition(self) -> bytes:
        """The text format of version 0.0.4."""
        return generate_latest(self.registry)

    def _labelled(
        self, route: str, operation: str
    ) -> tuple[Histogram, Histogram, Counter, Counter]:
        return (
            self.duration.labels(route, operation),
            self.first_byte.labels(route, operation),
            self.bytes.labels(route, "in"),
            self.bytes.labels(route, "out"),
        )
