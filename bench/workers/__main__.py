"""`python -m bench.workers`: a pod of one process beside one of several workers.

On two cores the generator and the backend need what a second worker would use, so this does not say
what more cores bring. It says what workers cost: CPU of a request, with all of the pod's processes
on one core and with every core allowed to it, and memory.

Exit status: 0, 1 a check failed, 2 it could not run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.control.booted import booted
from bench.measure import Plan, Window, run
from bench.processes import BenchmarkError, Cores, family, running
from bench.programs import ProgramMissingError
from bench.scenarios import KiB, MiB, Scenario
from bench.targets import Surroundings, Target, free_port

ROUTES = 100
IDLE_SECONDS = 10.0
SCENARIOS = (
    Scenario(method="GET", size_bytes=4 * KiB, concurrency=16),
    Scenario(method="GET", size_bytes=4 * KiB, concurrency=64),
    Scenario(method="GET", size_bytes=64 * MiB, concurrency=4),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Of one process of a pod that nobody uses."""

    rss_mib: float
    pss_mib: float
    cpu_seconds: float


def idle(target: Target, around: Surroundings, cores: Cores) -> list[Idle]:
    """Each process, the first one first. Raises: BenchmarkError."""
    with running(target, around, cores) as pid:
        pids = family(pid)
        time.sleep(2.0)  # what a start leaves to do
        before = [_cpu_seconds(item) for item in pids]
        time.sleep(IDLE_SECONDS)
        return [
            Idle(
                rss_mib=_memory_mib(item, "Rss"),
                pss_mib=_memory_mib(item, "Pss"),
                cpu_seconds=_cpu_seconds(item) - used,
            )
            for item, used in zip(pids, before, strict=True)
        ]


def _memory_mib(pid: int, name: str) -> float:
    """Source: proc_pid_smaps_rollup(5). Pss shares what several processes map among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError(f"no {name} of {pid}")


def _cpu_seconds(pid: int) -> float:
    """Source: proc_pid_stat(5), utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rows(windows: Sequence[Window], names: Sequence[str], placement: str) -> Iterator[str]:
    """A line for each scenario and target, with the ratio to the first one of the same round."""
    results = report.Results(windows)
    for scenario in SCENARIOS:
        for name in names:
            loads = results.loads(scenario, name)
            if not loads:
                continue
            cost = statistics.median(report.cost(scenario, load) for load in loads)
            rate = statistics.median(load.requests_per_second for load in loads)
            p99 = statistics.median(load.p99_us for load in loads) / 1000
            ratios = results.ratios(scenario, name, names[0])
            shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            peak = results.peak_rss_bytes(scenario, name) / MiB
            yield (
                f"| {scenario.name} | {placement} | {name} | {rate:,.0f} | {p99:.1f} | {cost:.3f} |"
                f" {shown} | {peak:.0f} |"
            )


def measured(counts: Sequence[int], rounds: int, seconds: float) -> tuple[list[Window], str]:
    """All windows, and the tables. Raises: BenchmarkError; ProgramMissingError."""
    one = Cores.of_this_machine()
    every = replace(one, proxy=",".join(map(str, sorted(os.sched_getaffinity(0)))))
    with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory:
        around = Surroundings(directory=Path(directory), stub_port=free_port())
        targets = tuple(
            booted(_name(count), around, "--workers", str(count), routes=ROUTES) for count in counts
        )
        names = [target.name for target in targets]
        lines = [
            "| scenario | cores | pod | requests/s | p99, ms | CPU s per 1,000 requests, or GiB |"
            f" to {names[0]} | peak RSS, MiB |",
            "|---|---|---|--:|--:|--:|---|--:|",
        ]
        windows = []
        for placement, cores in (("one", one), ("all", every)):
            plan = Plan(
                around=around,
                cores=cores,
                targets=targets,
                scenarios=SCENARIOS,
                rounds=rounds,
                window_seconds=seconds,
                warm_up_seconds=0.4,
            )
            found = list(run(plan))
            lines += rows(found, names, placement)
            windows += found
        lines += ["", "| idle pod | RSS, MiB | PSS, MiB | CPU, ms a second |", "|---|---|---|---|"]
        for target in targets:
            lines.append(_idle_row(target.name, idle(target, around, one)))
    return windows, "\n".join(lines)


def _idle_row(name: str, found: Sequence[Idle]) -> str:
    rss = " + ".join(f"{item.rss_mib:.0f}" for item in found)
    pss = " + ".join(f"{item.pss_mib:.0f}" for item in found)
    cpu = sum(item.cpu_seconds for item in found) / IDLE_SECONDS * 1000
    return f"| {name} | {rss} | {pss} | {cpu:.1f} |"


def _name(count: int) -> str:
    return "1 process" if count == 1 else f"{count} workers"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--workers", default="1,2", help="numbers, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measured window")
    given = parser.parse_args(argv)
    try:
        counts = [int(count) for count in given.workers.split(",")]
        windows, tables = measured(counts, given.rounds, given.seconds)
    except (BenchmarkError, ProgramMissingError, ValueError) as exc:
        print(f"bench.workers: {exc}", file=sys.stderr)
        return 2
    print(report.machine(datetime.now(UTC), given.rounds), tables, sep="\n\n")
    problems = report.problems_list(windows)
    if problems:
        print(f"\n**Failed checks** (these windows count for nothing):\n\n{problems}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
