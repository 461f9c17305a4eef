"""`python -m bench quick`, `full` and `tls`: measure BucketRoute beside its peers.

Exit status: 0 every goal is met, 1 one is missed or a check failed, 2 it could not run.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.lineup import parts_of
from bench.measure import Plan, run
from bench.options import Options, parser, read_options
from bench.processes import BenchmarkError, Cores
from bench.programs import HERE, ProgramMissingError
from bench.windows import Window


def measured(options: Options, lines: Path) -> list[Window]:
    """Run the rounds; every window is written to `lines` as soon as it is over."""
    windows = []
    with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory:
        plan = Plan(
            cores=Cores.of_this_machine(),
            parts=parts_of(options, Path(directory)),
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
    parts = [
        report.machine(datetime.now(UTC), options.rounds),
        report.table(report.Results(windows), options.matrix.scenarios, names),
        report.goals_table(verdicts),
    ]
    problems = report.problems_list(windows)
    if problems:
        parts.append(f"**Failed checks** (these windows count for nothing):\n\n{problems}")
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str]) -> int:
    options = read_options(parser().parse_args(argv), parser())
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
    names = {window.target for window in windows}
    verdicts = report.judge(options.matrix.goals, report.Results(windows), sorted(names))
    text = summary(options, windows, verdicts)
    (results / f"{stem}.md").write_text(text)
    print(text)
    is_good = all(verdict.is_met for verdict in verdicts)
    return 0 if is_good and not any(window.problems for window in windows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
