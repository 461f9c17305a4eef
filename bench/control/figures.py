"""Figures beside their goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil


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
