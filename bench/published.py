"""The run that the README shows: its record and its chart in published/, its figures in the README.

    python -m bench publish bench/results/full-….json

writes all three, and a test compares them.
"""

import re
from pathlib import Path

from bench.chart import chart_of, draw, source_of
from bench.programs import HERE
from bench.record import Record, RecordError, read
from bench.report import NAMES, short_table
from bench.scenarios import FULL
from bench.targets import BASELINE, ENVOY, SUBJECT

README = HERE.parent / "README.md"
RECORD = HERE / "published" / "full.json"
CHART = HERE / "published" / "full.png"
TARGETS = (BASELINE, ENVOY, SUBJECT)
_BLOCK = re.compile(r"(<!-- benchmark -->\n).*?(<!-- end of benchmark -->)", re.DOTALL)


def publish(results: Path) -> None:
    """Raises: RecordError when it is not a whole and good run; ImportError without matplotlib."""
    record = read(results)
    _refuse_partial(record, results)
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_bytes(results.read_bytes())
    draw(chart_of(record), CHART, source=source_of(RECORD))
    README.write_text(with_figures(README.read_text(), record))


def _refuse_partial(record: Record, results: Path) -> None:
    """Goals may be missed, and are shown then; windows that were thrown away may not."""
    if record.problems:
        raise RecordError(f"{results}: checks failed in this run: {record.problems[0]}")
    missing = [
        f"{scenario.name} of {target}"
        for scenario in FULL
        for target in (BASELINE, SUBJECT)
        if record.row(scenario.name, target) is None
    ]
    if missing:
        raise RecordError(f"{results}: not a full run: no {missing[0]}")


def with_figures(readme: str, record: Record) -> str:
    """The README with the record's figures between its two marks."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_figures(record)}\n{found[2]}", readme)


def _figures(record: Record) -> str:
    run = record.run
    base = HERE.parent
    return "\n\n".join(
        [
            f"Medians of {run.rounds_text} of `make bench` on {run.ended:%Y-%m-%d}, {run.machine}, "
            f"{run.request_path}:",
            f"![{alt_text(record)}]({CHART.relative_to(base)})",
            short_table(record, TARGETS),
            f"Chart and table are made from [{RECORD.relative_to(base)}]"
            f"({RECORD.relative_to(base)}), which has every scenario and goal.",
        ]
    )


def alt_text(record: Record) -> str:
    """The chart in words: for each of its panels, from where to where BucketRoute's ratios go."""
    parts = []
    chart = chart_of(record)
    subject = chart.targets.index(SUBJECT)
    for panel in chart.panels:
        found = [group.ratios[subject] for group in panel.groups]
        medians = [spread.median for spread in found if spread is not None]
        title = panel.title.replace(":", ",")
        parts.append(f"{title}: {min(medians):.2f} to {max(medians):.2f}")
    of = f"CPU time of BucketRoute as a multiple of {NAMES[BASELINE]}'s"
    return f"Bar chart. {of}. {'; '.join(parts)}."
