"""Metrics of a pod as sums of its workers': nothing is lost, nothing goes back, nothing moves."""

import json
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.metrics import MAX_ROUTE_LABELS, OTHER_ROUTES, Metrics
from bucketroute_dataplane.shell.worker_counts import WorkerCounts

PREFIX = "bucketroute_dataplane_"
LABELS = ("route", "operation", "code", "direction", "le", "source")


def record(route: str = "team-a/one", *, status: int = 200, seconds: float = 0.003) -> AccessRecord:
    return AccessRecord(
        request_id="1",
        method="GET",
        client_address="127.0.0.1",
        started=1.0,
        backend_sent=1.0,
        first_byte=1.001,
        ended=1.0 + seconds,
        route=route,
        operation="GetObject",
        status=status,
        bytes_in=2,
        bytes_out=3,
    )


def worker(*records: AccessRecord, in_flight: int = 0, dropped: int = 0, moved: int = 0) -> Metrics:
    made = Metrics(dropped_lines=lambda: dropped, moved_bytes=lambda: moved)
    for item in records:
        made.observe(item)
    made.in_flight = in_flight
    return made


def said(metrics: Metrics) -> bytes:
    """As a worker's feed has it."""
    return "\n".join(json.dumps(piece) for piece in metrics.counts()).encode()


def samples(metrics: Metrics, *names: str) -> dict[tuple[str, ...], float]:
    """Name, then the labels' values in the order of LABELS."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(sample.labels[label] for label in LABELS if label in sample.labels),
        ): sample.value
        for family in families
        for sample in family.samples
        if not names or sample.name.removeprefix(PREFIX) in names
    }


def counts_of(workers: Iterable[Metrics]) -> WorkerCounts:
    counts = WorkerCounts()
    for number, item in enumerate(workers, start=1):
        counts.heard(number, said(item))
    return counts


def test_the_counts_of_one_worker_are_its_own_metrics() -> None:
    only = worker(record(), record("team-a/two", status=503, seconds=7.0), in_flight=4, dropped=5)
    assert samples(counts_of([only]).total()) == samples(only)


def test_counters_histograms_and_what_is_in_flight_are_added_up() -> None:
    first = worker(record(), record(status=404), in_flight=2, dropped=1, moved=10)
    second = worker(record(seconds=0.2), in_flight=3, dropped=2, moved=20)
    found = samples(counts_of([first, second]).total())
    route = ("team-a/one", "GetObject")
    assert found["requests_total", *route, "200"] == 2
    assert found["requests_total", *route, "404"] == 1
    assert found["request_duration_seconds_bucket", *route, "0.005"] == 2
    assert found["request_duration_seconds_bucket", *route, "+Inf"] == 3
    assert found["backend_first_byte_seconds_count", *route] == 3
    assert found["bytes_total", *route, "in"] == 6
    assert found["bytes_total", *route, "out"] == 9
    assert found["in_flight_requests",] == 5
    assert found["access_log_dropped_lines_total",] == 3
    assert found["moved_bytes_total",] == 30


def test_what_a_worker_says_again_replaces_what_it_said() -> None:
    counts = counts_of([worker(record())])
    counts.heard(1, said(worker(record(), record())))
    assert samples(counts.total(), "requests_total") == {
        ("requests_total", "team-a/one", "GetObject", "200"): 2
    }


def test_what_a_worker_had_counted_stays_when_it_has_ended() -> None:
    counts = counts_of([worker(record(), in_flight=7, dropped=1, moved=2), worker(record())])
    counts.forget(1)
    counts.heard(1, said(worker(record())))
    counts.forget(1)
    found = samples(counts.total())
    assert found["requests_total", "team-a/one", "GetObject", "200"] == 3
    assert found["in_flight_requests",] == 0
    assert found["access_log_dropped_lines_total",] == 1
    assert found["moved_bytes_total",] == 2


def test_a_worker_that_was_never_heard_of_leaves_nothing() -> None:
    counts = WorkerCounts()
    counts.forget(1)
    assert samples(counts.total(), "requests_total") == {}


def test_routes_have_labels_of_their_own_up_to_the_same_number_and_keep_them() -> None:
    """Though each worker meets others first."""
    names = [f"team-a/{number}" for number in range(MAX_ROUTE_LABELS + 1)]
    first, second = worker(record(names[0])), worker(*map(record, names[1:]))
    counts = counts_of([first, second])
    before = samples(counts.total(), "requests_total")
    assert len(before) == MAX_ROUTE_LABELS + 1
    assert before["requests_total", OTHER_ROUTES, "GetObject", "200"] == 1
    for number in (1, 2):
        counts.forget(number)
        assert samples(counts.total(), "requests_total") == before
