"""A run as markdown."""

from collections.abc import Iterable

from bench.record import Record, Row, Verdict
from bench.scenarios import MiB
from bench.targets import BASELINE

MISSING = "-"


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
