"""What a GET costs with 10 routes and with 10,000: the same request, two gateways, in turn."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.control.booted import booted
from bench.control.figures import Figure
from bench.measure import Plan, Window, run
from bench.processes import BenchmarkError, Cores
from bench.scenarios import KiB, Scenario
from bench.targets import Surroundings, free_port

FEW, MANY = 10, 10_000
PAIRS_A_ROUND = 6
_SCENARIO = Scenario(method="GET", size_bytes=4 * KiB, concurrency=16)


def compared(directory: Path, rounds: int) -> Figure:
    """The median ratio of the CPU time per request. Raises: BenchmarkError."""
    around = Surroundings(directory=directory, stub_port=free_port())
    targets = tuple(booted(f"{count} routes", around, routes=count) for count in (FEW, MANY))
    plan = Plan(
        around=around,
        cores=Cores.of_this_machine(),
        targets=targets,
        # Short and many: what else the machine does is then the same for both of a pair.
        scenarios=(_SCENARIO,) * PAIRS_A_ROUND,
        rounds=rounds,
        window_seconds=1.0,
        warm_up_seconds=0.3,
    )
    windows = list(run(plan))
    ratios = _ratios(windows, few=targets[0].name)
    if not ratios:
        raise BenchmarkError("; ".join(problem for item in windows for problem in item.problems))
    return Figure(
        name=f"CPU of a GET with {MANY:,} routes, against {FEW}",
        value=statistics.median(ratios),
        unit="times",
        goal=1.05,
        remark=f"4 KiB, c16; {len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}",
    )


def _ratios(windows: list[Window], *, few: str) -> list[float]:
    """Of two windows that follow each other, one of each target, where both count."""
    ratios = []
    for pair in zip(windows[::2], windows[1::2], strict=True):
        costs = [
            window.load.cpu_seconds_per_1000_requests
            for window in sorted(pair, key=lambda window: window.target != few)
            if window.counts and window.load is not None
        ]
        if len(costs) == len(pair):
            ratios.append(costs[1] / costs[0])
    return ratios
