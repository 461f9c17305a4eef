"""From windows to what is kept of a run: medians, ratios of the same round, goals."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.record import Record, Row, Run, Spread, Verdict
from bench.scenarios import Goal, Measure, MiB, Scenario
from bench.targets import BASELINE, SUBJECT
from bench.windows import Load, Window


def cost(scenario: Scenario, load: Load) -> float:
    """CPU seconds per 1,000 requests of a small scenario, per GiB of another."""
    return load.cpu_seconds_per_1000_requests if scenario.is_small else load.cpu_seconds_per_gib


_OF: dict[Measure, Callable[[Scenario, Load], float]] = {
    Measure.CPU: cost,
    Measure.P50: lambda _, load: load.p50_us,
    Measure.P99: lambda _, load: load.p99_us,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """The usable windows of one target under one scenario, by round."""

    loads: dict[int, Load]
    peaks_rss_bytes: list[int]


class Results:
    """The usable windows of a run, found by scenario, target and round."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._cells: dict[tuple[Scenario, str], _Cell] = {}
        for window in windows:
            if window.counts and window.load is not None:
                at = (window.scenario, window.target)
                cell = self._cells.setdefault(at, _Cell(loads={}, peaks_rss_bytes=[]))
                cell.loads[window.round_number] = window.load
                cell.peaks_rss_bytes.append(window.peak_rss_bytes)

    def peak_rss_bytes(self, scenario: Scenario, target: str) -> int | None:
        cell = self._cells.get((scenario, target))
        return None if cell is None else max(cell.peaks_rss_bytes)

    def ratios(
        self, scenario: Scenario, target: str, to: str, measure: Measure = Measure.CPU
    ) -> list[float]:
        """One ratio per round in which both have a usable window."""
        mine, theirs = self._cells.get((scenario, target)), self._cells.get((scenario, to))
        if mine is None or theirs is None:
            return []
        of = _OF[measure]
        return [
            of(scenario, mine.loads[number]) / of(scenario, theirs.loads[number])
            for number in sorted(mine.loads.keys() & theirs.loads.keys())
        ]

    def row(self, scenario: Scenario, target: str) -> Row | None:
        """None: no window counts."""
        cell = self._cells.get((scenario, target))
        if cell is None:
            return None

        def median(of: Callable[[Load], float]) -> float:
            return statistics.median(map(of, cell.loads.values()))

        ratios = self.ratios(scenario, target, BASELINE)
        return Row(
            scenario=scenario,
            target=target,
            window_count=len(cell.loads),
            requests_per_second=round(median(lambda load: load.requests_per_second), 2),
            bytes_per_second=round(median(lambda load: load.bytes_per_second)),
            p50_us=round(median(lambda load: load.p50_us), 1),
            p99_us=round(median(lambda load: load.p99_us), 1),
            cpu_seconds_per_1000_requests=round(
                median(lambda load: load.cpu_seconds_per_1000_requests), 5
            ),
            cpu_seconds_per_gib=round(median(lambda load: load.cpu_seconds_per_gib), 4),
            cpu_ratio=spread(ratios) if ratios else None,
            peak_rss_bytes=max(cell.peaks_rss_bytes),
        )


def spread(ratios: Sequence[float]) -> Spread:
    return Spread(
        median=round(statistics.median(ratios), 3),
        lowest=round(min(ratios), 3),
        highest=round(max(ratios), 3),
    )


def judged(goals: Iterable[Goal], results: Results, targets: Sequence[str]) -> list[Verdict]:
    """The goals about those who were there. One whose windows do not count is not met."""
    verdicts = []
    for goal in goals:
        if goal.peer is not None and goal.peer not in targets:
            continue
        verdicts.append(
            Verdict(
                to=goal.peer or "none",
                scenario=goal.scenario.name,
                measure=goal.measure,
                limit=goal.limit,
                aim=goal.aim,
                measured=_measured(goal, results),
            )
        )
    return verdicts


def _measured(goal: Goal, results: Results) -> float | None:
    if goal.peer is None:
        peak = results.peak_rss_bytes(goal.scenario, SUBJECT)
        return None if peak is None else round(peak / MiB, 1)
    ratios = results.ratios(goal.scenario, SUBJECT, goal.peer, goal.measure)
    return round(statistics.median(ratios), 3) if ratios else None


def recorded(
    run: Run,
    windows: Sequence[Window],
    *,
    scenarios: Iterable[Scenario],
    goals: Iterable[Goal],
    more: Iterable[Verdict] = (),
) -> Record:
    """`more`: verdicts of what is not measured in windows of the targets."""
    results = Results(windows)
    targets = tuple(dict.fromkeys(window.target for window in windows))
    rows = (results.row(scenario, target) for scenario in scenarios for target in targets)
    return Record(
        run=run,
        rows=tuple(row for row in rows if row is not None),
        verdicts=(*judged(goals, results, targets), *more),
        problems=tuple(complaints(windows)),
    )


def complaints(windows: Iterable[Window]) -> Iterable[str]:
    """Why windows were thrown away."""
    for window in windows:
        where = f"round {window.round_number + 1}, {window.target}, {window.scenario.name}"
        yield from (f"{where}: {problem}" for problem in window.problems)
