"""Windows and records of the benchmark, as a run would leave them."""

from datetime import UTC, datetime

from bench.processes import BackendCounts
from bench.record import Machine, Record, Run
from bench.scenarios import FULL, Goal, KiB, Scenario
from bench.summary import recorded
from bench.windows import Load, Window

SMALL = Scenario(method="GET", size_bytes=4 * KiB, concurrency=16)
RUN = Run(
    matrix="full",
    ended=datetime(2026, 11, 26, 1, 45, tzinfo=UTC),
    machine=Machine(
        cpu_count=2,
        cpu="AMD EPYC",
        system="Linux 6.18",
        congestion_control="cubic",
        python="3.11.7",
    ),
    is_compiled=True,
    rounds=3,
    load_average=1.5,
)
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


def window(
    target: str,
    cpu_seconds: float,
    *,
    round_number: int = 0,
    scenario: Scenario = SMALL,
    peak_rss_mib: int = 50,
    problems: tuple[str, ...] = (),
) -> Window:
    return Window(
        round_number=round_number,
        target=target,
        scenario=scenario,
        load=load(cpu_seconds=cpu_seconds),
        backend=_NOTHING_WRONG,
        peak_rss_bytes=peak_rss_mib * 1024**2,
        problems=problems,
    )


def full_record(*, goals: tuple[Goal, ...] = (), without: tuple[str, ...] = ()) -> Record:
    """Three rounds of every scenario: nginx costs 1, Envoy 3, BucketRoute 2; `without` names
    scenarios that nginx was not measured in."""
    windows = [
        window(target, cost * (1 + number / 10), round_number=number, scenario=scenario)
        for number in range(3)
        for scenario in FULL
        for target, cost in (("nginx", 1.0), ("envoy", 3.0), ("bucketroute", 2.0))
        if not (target == "nginx" and scenario.name in without)
    ]
    return recorded(RUN, windows, scenarios=FULL, goals=goals)
