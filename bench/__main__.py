"""`python -m bench`: measure BucketRoute beside its peers, and show what came of it.

Exit status: 0 every goal is met, 1 one is missed or a check failed, 2 it could not run.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.chart import chart_of, draw, source_of
from bench.control.get_cost import FEW, MANY, compared
from bench.lineup import parts_of
from bench.measure import Plan, run
from bench.options import MATRICES, Options, parser, read_options
from bench.processes import BenchmarkError, Cores
from bench.programs import HERE, ProgramMissingError
from bench.published import publish
from bench.record import Record, RecordError, Run, Verdict, read, written
from bench.report import markdown
from bench.scenarios import Measure
from bench.summary import recorded
from bench.windows import Window

WHAT_DRAWS = "what draws the chart is in requirements/bench.lock"


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


def draw_beside(results: Path) -> None:
    """The chart of a record, in the same place and under the same name.

    Raises: RecordError; ImportError without matplotlib.
    """
    image = results.with_suffix(".png")
    draw(chart_of(read(results)), image, source=source_of(results))
    print(f"{image} shows it")


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
    try:
        draw_beside(results / f"{stem}.json")
    except RecordError as exc:
        print(f"no chart: {exc}", file=sys.stderr)
    except ImportError as exc:
        print(f"no chart: {exc}; {WHAT_DRAWS}", file=sys.stderr)
    return 0 if record.is_good else 1


def main(argv: Sequence[str]) -> int:
    given = parser().parse_args(argv)
    if given.command in MATRICES:
        return measure(read_options(given, parser()))
    try:
        if given.command == "publish":
            publish(given.results)
        else:
            draw_beside(given.results)
    except RecordError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 2
    except ImportError as exc:
        print(f"bench: {exc}; {WHAT_DRAWS}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
