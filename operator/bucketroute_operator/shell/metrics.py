"""Prometheus metrics of the operator. Names are an API: docs/metrics.md lists them, tested.

No label names a route or a tenant's namespace: thousands of series would help nobody.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_PREFIX = "bucketroute_operator_"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """All of them, in one registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.leader = self._gauge("leader", "1 while this replica leads.")
        self.routes = self._gauge("routes", "BucketRoutes.", "class", "condition", "status")
        self.dataplanes = self._gauge("dataplanes", "Ready gateway pods.", "class", "state")
        self.snapshot_routes = self._gauge("snapshot_routes", "Routes published.", "class")
        self.snapshot_bytes = self._gauge(
            "snapshot_bytes", "Size of the published snapshot, uncompressed.", "class"
        )
        self.publish_held = self._gauge(
            "publish_held", "1 while a mass removal is held back.", "class"
        )
        self.routes_rejected = self._gauge(
            "routes_rejected", "Routes that a data plane left out.", "class"
        )
        self.watch_age = self._gauge(
            "watch_last_event_timestamp_seconds", "When the watch last told something.", "kind"
        )
        self.list_age = self._gauge(
            "last_list_timestamp_seconds", "When the last complete LIST was read."
        )
        self.certificate_expiry = self._gauge(
            "certificate_expiry_timestamp_seconds", "End of the config server's certificate."
        )
        self.publications = self._counter("publications", "Snapshots published.", "class")
        self.polls = self._counter("config_polls", "Polls answered.", "class", "kind")
        self.refusals = self._counter("config_refusals", "Requests refused.", "code")
        self.nacks = self._counter(
            "config_nacks", "Snapshots refused by a data plane.", "class", "placement"
        )
        self.status_updates = self._counter("status_updates", "Statuses written.", "kind", "result")
        self.relist_differences = self._counter(
            "relist_differences", "Objects that a LIST corrected.", "kind"
        )
        self.compile_seconds = self._histogram("compile_duration_seconds", "Compiling all classes.")
        self.publish_seconds = self._histogram(
            "publish_duration_seconds", "From compiled to handed to the data planes.", "class"
        )
        self.convergence_seconds = self._histogram(
            "convergence_seconds", "From published to acknowledged by every ready pod.", "class"
        )

    def exposition(self) -> bytes:
        """The text format of version 0.0.4."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(_PREFIX + name, text, labels, buckets=_SECONDS, registry=self.registry)
