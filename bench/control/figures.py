"""Figures beside their goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from bench.programs import HERE
from bench.record import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`goal` is what the value has to stay below; None for what is only told."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    remark: str = ""

    @property
    def is_met(self) -> bool:
        return self.goal is None or self.value < self.goal


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, ceil(round(share * len(values), 6)) - 1)]


def table(figures: Iterable[Figure]) -> str:
    rows = ["| figure | measured | goal | | |", "|---|--:|--:|---|---|"]
    for figure in figures:
        goal = "" if figure.goal is None else f"< {figure.goal:g} {figure.unit}"
        outcome = "" if figure.goal is None else "met" if figure.is_met else "**missed**"
        value = f"{figure.value:,.3g}" if figure.value < 1000 else f"{figure.value:,.0f}"
        cells = (figure.name, f"{value} {figure.unit}", goal, outcome, figure.remark)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def told(name: str, figures: Sequence[Figure], *, rounds: int) -> int:
    """Prints the table and keeps it in `results/`. Returns the exit status: 1 if one is missed."""
    run = Run.ending_now(name, rounds=rounds)
    text = f"{run}\n\n{table(figures)}\n"
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"{name}-{run.ended:%Y%m%dT%H%M%SZ}.md").write_text(text)
    print(text)
    return 0 if all(figure.is_met for figure in figures) else 1
