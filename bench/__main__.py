"""`python -m bench quick`, `full` and `tls`: measure BucketRoute beside its peers.

Exit status: 0 every required goal is met, 1 one is missed or a check failed, 2 it could not run.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.measure import Plan, Window, run
from bench.processes import BenchmarkError, Cores
from bench.programs import HERE, ProgramMissingError
from bench.scenarios import (
    FULL,
    FULL_GOALS,
    QUICK,
    QUICK_GOALS,
    TLS,
    TLS_GOALS,
    Goal,
    Scenario,
)
from bench.targets import BASELINE, SUBJECT, Surroundings, Target, free_port, target
from bench.tls import certified


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    scenarios: tuple[Scenario, ...]
    goals: tuple[Goal, ...]
    targets: str
    window_seconds: float
    has_backend_tls: bool = False


MATRICES = {
    "quick": Matrix(
        scenarios=QUICK,
        goals=QUICK_GOALS,
        targets=f"{BASELINE},{SUBJECT}",
        window_seconds=1.5,
    ),
    "full": Matrix(
        scenarios=FULL,
        goals=FULL_GOALS,
        targets=f"{BASELINE},envoy,{SUBJECT}",
        window_seconds=2.0,
    ),
    "tls": Matrix(
        scenarios=TLS,
        goals=TLS_GOALS,
        targets=f"{BASELINE},{SUBJECT}",
        window_seconds=2.0,
        has_backend_tls=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    matrix: Matrix
    name: str
    targets: tuple[str, ...]
    commands: dict[str, str]
    rounds: int
    window_seconds: float
    warm_up_seconds: float


def read_options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("matrix", choices=sorted(MATRICES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="length of a measured window")
    parser.add_argument("--warm-up", type=float, default=0.4, help="seconds before each window")
    parser.add_argument("--targets", help="names, separated by commas")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="one more proxy; {port}, {stub_port} and {dir} are filled in (see bench/README.md)",
    )
    given = parser.parse_args(argv)
    matrix = MATRICES[given.matrix]
    commands = dict(peer.partition("=")[::2] for peer in given.peer)
    if not all(commands.values()):
        parser.error("--peer takes NAME=COMMAND")
    names = tuple((given.targets or matrix.targets).split(","))
    names += tuple(name for name in commands if name not in names)
    unknown = set(names) - {"nginx", "envoy", "bucketroute"} - commands.keys()
    if unknown:
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    return Options(
        matrix=matrix,
        name=given.matrix,
        targets=names,
        commands=commands,
        rounds=given.rounds,
        window_seconds=given.seconds or matrix.window_seconds,
        warm_up_seconds=given.warm_up,
    )


def configured(options: Options, around: Surroundings) -> tuple[Target, ...]:
    """The targets, without those peers that can't be had here; the other two are a must."""
    found = []
    for name in options.targets:
        try:
            found.append(target(name, around, options.commands))
        except ProgramMissingError as exc:
            if name in (BASELINE, SUBJECT):
                raise
            print(f"{name} is left out: {exc}", file=sys.stderr)
    return tuple(found)


def measured(options: Options, lines: Path) -> list[Window]:
    """Run the rounds; every window is written to `lines` as soon as it is over."""
    windows = []
    with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory:
        folder = Path(directory)
        tls = certified(folder, free_port()) if options.matrix.has_backend_tls else None
        around = Surroundings(directory=folder, stub_port=free_port(), tls=tls)
        plan = Plan(
            around=around,
            cores=Cores.of_this_machine(),
            targets=configured(options, around),
            scenarios=options.matrix.scenarios,
            rounds=options.rounds,
            window_seconds=options.window_seconds,
            warm_up_seconds=options.warm_up_seconds,
        )
        with lines.open("w") as file:
            for window in run(plan):
                windows.append(window)
                print(report.json_line(window), file=file, flush=True)
    return windows


def summary(options: Options, windows: list[Window], verdicts: list[report.Verdict]) -> str:
    names = tuple(dict.fromkeys(window.target for window in windows))
    order = [name for name in options.targets if name in names]
    parts = [
        report.machine(datetime.now(UTC), options.rounds),
        report.table(report.Results(windows), options.matrix.scenarios, order),
        report.goals_table(verdicts),
    ]
    problems = report.problems_list(windows)
    if problems:
        parts.append(f"**Failed checks** (these windows count for nothing):\n\n{problems}")
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str]) -> int:
    options = read_options(argv)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    stem = f"{options.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    lines = results / f"{stem}.jsonl"
    try:
        windows = measured(options, lines)
    except (BenchmarkError, ProgramMissingError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        if lines.exists() and not lines.stat().st_size:
            lines.unlink()
        return 2
    verdicts = report.judge(options.matrix.goals, report.Results(windows))
    text = summary(options, windows, verdicts)
    (results / f"{stem}.md").write_text(text)
    print(text)
    missed = any(v.goal.is_required and not v.is_met for v in verdicts)
    return 1 if missed or any(window.problems for window in windows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
