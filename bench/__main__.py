"""`python -m bench quick`, `full` and `tls`: measure BucketRoute beside its peers.

Exit status: 0 every goal is met, 1 one is missed or a check failed, 2 it could not run.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.control.get_cost import FEW, MANY, compared
from bench.lineup import parts_of
from bench.measure import Plan, run
from bench.options import Options, parser, read_options
from bench.processes import BenchmarkError, Cores
from bench.programs import HERE, ProgramMissingError
from bench.record import Record, Run, Verdict, written
from bench.report import markdown
from bench.scenarios import Measure
from bench.summary import recorded
from bench.windows import Window


def measured(options: Options, lines: Path) -> Record:
    """Run the rounds; every window is written to `lines` as soon as it is over."""
    windows: list[Window] = []
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
                plain = asdict(window) | {"scenario": window.scenario.name}
                print(json.dumps(plain), file=file, flush=True)
    more = (_route_counts(options.rounds),) if options.matrix.compares_route_counts else ()
    return recorded(
        Run.ending_now(options.name, rounds=options.rounds),
        windows,
        scenarios=options.matrix.scenarios,
        goals=options.matrix.goals,
        more=more,
    )


def _route_counts(rounds: int) -> Verdict:
    print(f"with {FEW} and with {MANY:,} routes", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory:
        figure = compared(Path(directory), rounds)
    return Verdict(
        to=f"itself with {FEW} routes",
        scenario=f"GET 4 KiB c16, {MANY:,} routes",
        measure=Measure.CPU,
        limit=figure.goal or 1.0,
        aim=None,
        measured=round(figure.value, 3),
    )


def measure(options: Options) -> int:
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    stem = f"{options.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    lines = results / f"{stem}.jsonl"
    try:
        record = measured(options, lines)
    except (BenchmarkError, ProgramMissingError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        if lines.exists() and not lines.stat().st_size:
            lines.unlink()
        return 2
    (results / f"{stem}.json").write_text(written(record))
    text = markdown(record)
    (results / f"{stem}.md").write_text(text)
    print(text)
    return 0 if record.is_good else 1


def main(argv: Sequence[str]) -> int:
    return measure(read_options(parser().parse_args(argv), parser()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
