"""Prometheus metrics of the injector. Names are an API: docs/metrics.md lists them, tested.

Pods that it was never asked about it cannot count; the API server does, see docs/injection.md.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_PREFIX = "bucketroute_injector_"
# The API server waits 3 seconds.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3)


class InjectorMetrics:
    """All of them, in one registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            _PREFIX + "requests", "Requests answered.", ("mode", "result"), registry=self.registry
        )
        self.request_seconds = Histogram(
            _PREFIX + "request_duration_seconds",
            "From the request's head to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.classes = Gauge(
            _PREFIX + "classes", "Classes that pods can be set up for.", registry=self.registry
        )
        self.certificate_expiry = Gauge(
            _PREFIX + "certificate_expiry_timestamp_seconds",
            "End of the webhook's certificate.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """The text format of version 0.0.4."""
        return generate_latest(self.registry)
