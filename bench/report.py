"""A run as markdown."""

from collections.abc import Callable, Iterable, Sequence

from bench.record import Record, Row, Verdict
from bench.scenarios import MiB
from bench.targets import BASELINE

MISSING = "-"
NAMES = {"nginx": "nginx", "envoy": "Envoy", "bucketroute": "BucketRoute"}


def markdown(record: Record) -> str:
    parts = [str(record.run), rows_table(record.rows)]
    if record.verdicts:
        parts.append(goals_table(record.verdicts))
    if record.problems:
        problems = "\n".join(f"- {problem}" for problem in record.problems)
        parts.append(f"**Failed checks** (these windows count for nothing):\n\n{problems}")
    return "\n\n".join(parts) + "\n"


def rows_table(rows: Iterable[Row]) -> str:
    head = (
        "| scenario | proxy | requests/s | GB/s | p50 ms | p99 ms | CPU s per 1,000 requests "
        f"| CPU s per GiB | CPU ratio to {BASELINE} (range) | peak RSS MiB |"
    )
    return "\n".join([head, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|", *map(_row, rows)])


def _row(row: Row) -> str:
    cells = [
        row.scenario.name,
        row.target,
        f"{row.requests_per_second:,.0f}",
        f"{row.bytes_per_second / 1e9:.2f}",
        f"{row.p50_us / 1000:.2f}",
        f"{row.p99_us / 1000:.2f}",
        f"{row.cpu_seconds_per_1000_requests:.3f}",
        f"{row.cpu_seconds_per_gib:.3f}",
        _spread(row),
        f"{row.peak_rss_bytes / MiB:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(row: Row) -> str:
    ratio = row.cpu_ratio
    if ratio is None:
        return MISSING
    return f"{ratio.median:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})"


def goals_table(verdicts: Iterable[Verdict]) -> str:
    rows = [
        "| ratio of BucketRoute to | scenario | of | must be at most | aim | measured | |",
        "|---|---|---|--:|--:|--:|---|",
    ]
    for verdict in verdicts:
        cells = [
            verdict.to,
            verdict.scenario,
            verdict.measure.value,
            f"{verdict.limit:.2f}",
            MISSING if verdict.aim is None else f"{verdict.aim:.2f}",
            MISSING if verdict.measured is None else f"{verdict.measured:.2f}",
            _outcome(verdict),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _outcome(verdict: Verdict) -> str:
    if verdict.is_aim_met:
        return "aim met"
    return "met" if verdict.is_met else "**missed**"


Figures = Callable[[Row], str]


def _us_a_request(row: Row) -> str:
    return f"{row.cpu_seconds_per_1000_requests * 1000:.0f}"


def _s_a_gib(row: Row) -> str:
    return f"{row.cpu_seconds_per_gib:.2f}"


def _latency(row: Row) -> str:
    return f"{row.p50_us / 1000:.2f} / {row.p99_us / 1000:.2f}"


def _peak(row: Row) -> str:
    return f"{row.peak_rss_bytes / MiB:.0f}"


_TO_HTTPS = ("GET 64 MiB c4, https backend", "PUT 64 MiB c4, https backend")
_FROM_HTTPS = ("GET 64 MiB c4, https client", "PUT 64 MiB c4, https client")
_SLOW = ("GET 32 MiB c64, slow client", "PUT 32 MiB c64, slow backend")
# What the README shows: a line, the scenarios whose figures stand in it, and which figure.
_SHOWN: tuple[tuple[str, tuple[str, ...], Figures], ...] = (
    (
        "GET / PUT 4 KiB, 16 connections: µs a request",
        ("GET 4 KiB c16", "PUT 4 KiB c16"),
        _us_a_request,
    ),
    ("GET 4 KiB, 1 connection: p50 / p99, ms", ("GET 4 KiB c1",), _latency),
    ("GET 4 KiB, 16 connections: p50 / p99, ms", ("GET 4 KiB c16",), _latency),
    ("GET / PUT 1 MiB, 8 connections: s a GiB", ("GET 1 MiB c8", "PUT 1 MiB c8"), _s_a_gib),
    ("GET / PUT 64 MiB, 4 connections: s a GiB", ("GET 64 MiB c4", "PUT 64 MiB c4"), _s_a_gib),
    ("the same, https from the client", _FROM_HTTPS, _s_a_gib),
    ("the same, https to the backend", _TO_HTTPS, _s_a_gib),
    (
        "PUT 64 MiB of which the client signed the SHA-256: s a GiB",
        ("PUT 64 MiB c4, client SHA-256",),
        _s_a_gib,
    ),
    ("peak memory, 16 uploads of 64 MiB: MiB", ("PUT 64 MiB c16",), _peak),
    ("peak memory, 64 slow clients / a slow backend's 64 uploads: MiB", _SLOW, _peak),
)


def short_table(record: Record, targets: Sequence[str]) -> str:
    """The README's table: CPU time where nothing else is said."""
    heads = " | ".join(NAMES.get(target, target) for target in targets)
    lines = [f"| CPU time | {heads} |", f"|---|{'--:|' * len(targets)}"]
    for label, scenarios, figure in _SHOWN:
        cells = [_cell(record, scenarios, target, figure) for target in targets]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(record: Record, scenarios: Iterable[str], target: str, figure: Figures) -> str:
    rows = [record.row(scenario, target) for scenario in scenarios]
    figures = [figure(row) for row in rows if row is not None]
    return " / ".join(figures) if len(figures) == len(rows) else MISSING
