"""A run as a picture: the CPU time of each proxy, with nginx as the measure.

`chart_of` says what is drawn, and needs nothing; `draw` draws it with matplotlib, which is imported
there and not before.
"""

import hashlib
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.record import Record, RecordError, Spread
from bench.report import NAMES
from bench.scenarios import Scenario, Tls
from bench.targets import BASELINE, ENVOY, SUBJECT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

TARGETS = (SUBJECT, ENVOY)
SOURCE_KEY = "Source"
"""The field of the PNG that says what it was drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The bars of one scenario: of each target its ratio to the baseline, None where there is
    none."""

    label: str
    ratios: tuple[Spread | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    targets: tuple[str, ...]
    panels: tuple[Panel, ...]
    caption: str

    @property
    def highest(self) -> float:
        spreads = (
            ratio for panel in self.panels for group in panel.groups for ratio in group.ratios
        )
        return max((spread.highest for spread in spreads if spread is not None), default=1.0)


def chart_of(record: Record) -> Chart:
    """What the run has of the scenarios that tell something about CPU time.

    Raises: RecordError when there is nothing of that.
    """
    targets = tuple(target for target in TARGETS if target in record.targets)
    scenarios = [s for s in dict.fromkeys(row.scenario for row in record.rows) if _is_shown(s)]
    panels = []
    for title, belongs in _PANELS.items():
        groups = (_group(record, s, targets) for s in scenarios if belongs(s))
        drawn = tuple(group for group in groups if any(group.ratios))
        if drawn:
            panels.append(Panel(title=title, groups=drawn))
    if not panels:
        raise RecordError(f"nothing to draw: no scenario was measured beside {BASELINE}")
    caption = textwrap.fill(str(record.run), _CAPTION_COLUMNS)
    return Chart(targets=targets, panels=tuple(panels), caption=caption)


_PANELS: dict[str, Callable[[Scenario], bool]] = {
    "4 KiB: a request": lambda s: s.is_small and s.tls is Tls.NONE,
    "1 MiB and 64 MiB: a GiB": lambda s: not s.is_small and s.tls is Tls.NONE,
    "TLS on the client's side": lambda s: s.tls is Tls.CLIENT,
    "TLS on the backend's side": lambda s: s.tls is Tls.BACKEND,
}
# Of each size the concurrencies that goals are about.
_CONCURRENCIES = {"4 KiB": (1, 16), "1 MiB": (8,), "64 MiB": (1, 4, 16)}


def _is_shown(scenario: Scenario) -> bool:
    """Slow readers are about memory."""
    if scenario.read_bytes_per_second or (
        scenario.tls is not Tls.NONE and scenario.concurrency == 1
    ):
        return False
    return scenario.concurrency in _CONCURRENCIES.get(scenario.size, ())


def _group(record: Record, scenario: Scenario, targets: Sequence[str]) -> Group:
    rows = [record.row(scenario.name, target) for target in targets]
    several = "s" if scenario.concurrency > 1 else ""
    label = f"{scenario.method} {scenario.size}, {scenario.concurrency} connection{several}"
    return Group(
        label=f"{label}, SHA-256" if scenario.is_hashed else label,
        ratios=tuple(row.cpu_ratio if row is not None else None for row in rows),
    )


def source_of(results: Path) -> str:
    """What a chart says of the file that it was drawn from: its name and digest."""
    return f"{results.name} sha256:{hashlib.sha256(results.read_bytes()).hexdigest()}"


# On a card of its own, so that it can be read whatever is behind it.
_BACKGROUND, _INK, _PALE = "#ffffff", "#1f2328", "#d1d9e0"
_COLOURS = {SUBJECT: "#0969da", ENVOY: "#d4a72c"}
_BAR, _WIDTH_INCHES, _GROUP_INCHES, _PANEL_INCHES, _REST_INCHES = 0.4, 8.0, 0.27, 0.36, 1.25
_DPI, _SHADES, _CAPTION_COLUMNS = 110, 64, 100


def draw(chart: Chart, path: Path, *, source: str) -> None:
    """A PNG of few colours, which keeps it small. Raises: ImportError without matplotlib."""
    from matplotlib.figure import Figure
    from PIL import Image, PngImagePlugin

    counts = [len(panel.groups) for panel in chart.panels]
    height = _GROUP_INCHES * sum(counts) + _PANEL_INCHES * len(counts) + _REST_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor=_BACKGROUND, layout="constrained")
    axes = figure.subplots(
        len(counts), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": counts}
    )
    for at, panel in zip(axes[:, 0], chart.panels, strict=True):
        _draw_panel(at, panel, chart)
    title = f"CPU time of the proxy, {NAMES[BASELINE]} = 1; less is better"
    figure.suptitle(title, color=_INK, fontsize=11, fontweight="bold")
    figure.legend(
        handles=_legend(chart), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    axes[-1, 0].set_xlabel(chart.caption, color=_INK, fontsize=6.5, loc="right")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=_DPI, format="png")
    about = PngImagePlugin.PngInfo()
    about.add_text(SOURCE_KEY, source)
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(_SHADES)
    few.save(path, optimize=True, pnginfo=about)


def _legend(chart: Chart) -> list["Artist"]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars = [Patch(color=_COLOURS[name], label=NAMES.get(name, name)) for name in chart.targets]
    measure = Line2D([], [], color=_INK, linestyle="--", linewidth=1, label=NAMES[BASELINE])
    rounds = Line2D([], [], color=_INK, linewidth=0.7, label="lowest to highest round")
    return [*bars, measure, rounds]


def _draw_panel(at: "Axes", panel: Panel, chart: Chart) -> None:
    for row, group in enumerate(panel.groups):
        bars = [(name, spread) for name, spread in zip(chart.targets, group.ratios, strict=True)]
        there = [(name, spread) for name, spread in bars if spread is not None]
        for index, (name, spread) in enumerate(there):
            _draw_bar(at, row + (index - (len(there) - 1) / 2) * _BAR, spread, _COLOURS[name])
    at.axvline(1, color=_INK, linewidth=1, linestyle="--", zorder=3)
    at.set_yticks(range(len(panel.groups)), [group.label for group in panel.groups])
    at.set_ylim(len(panel.groups) - 0.5, -0.5)
    at.set_xlim(0, chart.highest * 1.1)
    at.set_title(panel.title, loc="left", fontsize=8.5, color=_INK, fontweight="bold")
    at.tick_params(colors=_INK, labelsize=8, length=0)
    at.set_facecolor(_BACKGROUND)
    at.grid(axis="x", color=_PALE, linewidth=0.6)
    at.set_axisbelow(True)
    for side, spine in at.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(_PALE)


def _draw_bar(at: "Axes", y: float, spread: Spread, colour: str) -> None:
    reach = [[spread.median - spread.lowest], [spread.highest - spread.median]]
    whisker = {"ecolor": _INK, "elinewidth": 0.7}
    at.barh(y, spread.median, _BAR * 0.9, color=colour, xerr=reach, error_kw=whisker)
    behind = {"facecolor": _BACKGROUND, "edgecolor": "none", "pad": 0.2}
    at.text(
        spread.highest,
        y,
        f" {spread.median:.2f}",
        fontsize=7,
        color=_INK,
        va="center_baseline",
        bbox=behind,
        zorder=4,
    )
