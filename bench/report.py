"""From windows to tables: medians, same-round ratios, goals."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench.scenarios import Goal, Measure, MiB, Scenario
from bench.targets import BASELINE, SUBJECT
from bench.windows import Load, Window

MISSING = "-"


def json_line(window: Window) -> str:
    return json.dumps(asdict(window) | {"scenario": window.scenario.name})


def cost(scenario: Scenario, load: Load) -> float:
    """CPU seconds per 1,000 requests of a small scenario, per GiB of another."""
    return load.cpu_seconds_per_1000_requests if scenario.is_small else load.cpu_seconds_per_gib


_OF: dict[Measure, Callable[[Scenario, Load], float]] = {
    Measure.CPU: cost,
    Measure.P50: lambda _, load: load.p50_us,
    Measure.P99: lambda _, load: load.p99_us,
}


class Results:
    """The usable windows of a run, found by scenario, target and round."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._loads: dict[tuple[Scenario, str], dict[int, Load]] = {}
        self._peaks: dict[tuple[Scenario, str], list[int]] = {}
        for window in windows:
            if window.counts and window.load is not None:
                at = (window.scenario, window.target)
                self._loads.setdefault(at, {})[window.round_number] = window.load
                self._peaks.setdefault(at, []).append(window.peak_rss_bytes)

    def loads(self, scenario: Scenario, target: str) -> list[Load]:
        return list(self._loads.get((scenario, target), {}).values())

    def peak_rss_bytes(self, scenario: Scenario, target: str) -> int:
        return max(self._peaks.get((scenario, target), [0]))

    def ratios(
        self, scenario: Scenario, target: str, to: str, measure: Measure = Measure.CPU
    ) -> list[float]:
        """One ratio per round in which both have a usable window."""
        mine = self._loads.get((scenario, target), {})
        theirs = self._loads.get((scenario, to), {})
        of = _OF[measure]
        return [
            of(scenario, mine[number]) / of(scenario, theirs[number])
            for number in sorted(mine.keys() & theirs.keys())
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    goal: Goal
    ratio: float | None
    """None: nothing was measured."""

    @property
    def is_met(self) -> bool:
        return self.ratio is not None and self.ratio <= self.goal.limit


def judge(goals: Iterable[Goal], results: Results, targets: Sequence[str]) -> list[Verdict]:
    """The goals about those who were there."""
    verdicts = []
    for goal in goals:
        if goal.peer is not None and goal.peer not in targets:
            continue
        if goal.peer is None:
            peak = results.peak_rss_bytes(goal.scenario, SUBJECT) / MiB
            verdicts.append(Verdict(goal=goal, ratio=peak or None))
            continue
        ratios = results.ratios(goal.scenario, SUBJECT, goal.peer, goal.measure)
        ratio = statistics.median(ratios) if ratios else None
        verdicts.append(Verdict(goal=goal, ratio=ratio))
    return verdicts


def table(results: Results, scenarios: Sequence[Scenario], targets: Sequence[str]) -> str:
    rows = [
        "| scenario | proxy | requests/s | GB/s | p50 ms | p99 ms | CPU s per 1,000 requests "
        f"| CPU s per GiB | CPU ratio to {BASELINE} (range) | peak RSS MiB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for scenario in scenarios:
        rows += [_row(results, scenario, target) for target in targets]
    return "\n".join(rows)


def _row(results: Results, scenario: Scenario, target: str) -> str:
    loads = results.loads(scenario, target)
    if not loads:
        return f"| {scenario.name} | {target} |" + f" {MISSING} |" * 8

    def median(of: Callable[[Load], float]) -> float:
        return statistics.median(map(of, loads))

    peak = results.peak_rss_bytes(scenario, target) / MiB
    cells = [
        scenario.name,
        target,
        f"{median(lambda load: load.requests_per_second):,.0f}",
        f"{median(lambda load: load.bytes_per_second) / 1e9:.2f}",
        f"{median(lambda load: load.p50_us) / 1000:.2f}",
        f"{median(lambda load: load.p99_us) / 1000:.2f}",
        f"{median(lambda load: load.cpu_seconds_per_1000_requests):.3f}",
        f"{median(lambda load: load.cpu_seconds_per_gib):.3f}",
        _spread(results.ratios(scenario, target, BASELINE)),
        f"{peak:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return MISSING
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def goals_table(verdicts: Iterable[Verdict]) -> str:
    rows = [
        "| ratio of BucketRoute to | scenario | of | must be at most | aim | measured | |",
        "|---|---|---|--:|--:|--:|---|",
    ]
    for verdict in verdicts:
        goal = verdict.goal
        measured = MISSING if verdict.ratio is None else f"{verdict.ratio:.2f}"
        outcome = "met" if verdict.is_met else "**missed**"
        cells = [
            goal.peer or "itself",
            goal.scenario.name,
            goal.measure.value,
            f"{goal.limit:.2f}",
            MISSING if goal.aim is None else f"{goal.aim:.2f}",
            measured,
        ]
        rows.append(f"| {' | '.join(cells)} | {outcome} |")
    return "\n".join(rows)


def problems_list(windows: Iterable[Window]) -> str:
    return "\n".join(
        f"- round {window.round_number + 1}, {window.target}, {window.scenario.name}: {problem}"
        for window in windows
        for problem in window.problems
    )


def machine(now: datetime, rounds: int) -> str:
    """One paragraph on where and when."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{now:%Y-%m-%d %H:%M} UTC; {os.cpu_count()} x {model}; Linux {platform.release()}; "
        f"Python {platform.python_version()}; medians of {rounds} rounds; "
        f"load average at the end {load:.1f}."
    )
