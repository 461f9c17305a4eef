"""Windows of the benchmark, as a run would leave them."""

from bench.processes import BackendCounts
from bench.scenarios import KiB, Scenario
from bench.windows import Load

SMALL = Scenario(method="GET", size_bytes=4 * KiB, concurrency=16)
_NOTHING_WRONG = BackendCounts(
    connections=16,
    requests=1000,
    signed_by_backend_key=1000,
    signed_by_other_key=0,
    unsigned_requests=0,
    chunked_uploads=0,
    uploads=1000,
    wrong_bodies=0,
    short_bodies=0,
)


def counts(**changes: int) -> BackendCounts:
    """What the stub saw of 1,000 requests that all were as they should be, but for `changes`."""
    values = {name: getattr(_NOTHING_WRONG, name) for name in BackendCounts.__dataclass_fields__}
    return BackendCounts(**(values | changes))


def load(
    *,
    cpu_seconds: float = 1.0,
    completed: int = 1000,
    p50_us: float = 100.0,
    failed: int = 0,
    wrong_bodies: int = 0,
) -> Load:
    return Load(
        began=1000,
        answered=1000,
        completed=completed,
        failed=failed,
        wrong_bodies=wrong_bodies,
        reconnects=0,
        bytes=1024**3,
        seconds=2.0,
        cpu_seconds=cpu_seconds,
        p50_us=p50_us,
        p90_us=2 * p50_us,
        p99_us=3 * p50_us,
        max_us=4 * p50_us,
        first_error="",
    )
