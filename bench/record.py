"""What is kept of a run: one JSON file, from which the markdown and the chart are made."""

import importlib.util
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.scenarios import Measure, Scenario, Tls

FORMAT = 2

_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")


class RecordError(Exception):
    """A file is no record of this benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    cpu_count: int
    cpu: str
    system: str
    congestion_control: str
    """TCP's, as everything here has it: one that paces costs twice as much, even over loopback."""
    python: str

    @classmethod
    def here(cls) -> "Machine":
        model = next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.machine(),
        )
        return cls(
            cpu_count=os.cpu_count() or 1,
            cpu=model,
            system=f"{platform.system()} {platform.release()}",
            congestion_control=_CONGESTION_CONTROL.read_text().strip(),
            python=platform.python_version(),
        )

    def __str__(self) -> str:
        system = f"{self.system}, TCP {self.congestion_control}"
        return f"{self.cpu_count} x {self.cpu}, {system}, Python {self.python}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`load_average` is that of the last minute, at the end."""

    matrix: str
    ended: datetime
    machine: Machine
    is_compiled: bool
    """Whether BucketRoute's request path was compiled, as the images have it."""
    rounds: int
    load_average: float

    @classmethod
    def ending_now(cls, matrix: str, *, rounds: int) -> "Run":
        return cls(
            matrix=matrix,
            ended=datetime.now(UTC),
            machine=Machine.here(),
            is_compiled=_is_compiled(),
            rounds=rounds,
            load_average=round(os.getloadavg()[0], 1),
        )

    @property
    def request_path(self) -> str:
        return f"request path {'compiled' if self.is_compiled else 'interpreted'}"

    @property
    def rounds_text(self) -> str:
        return f"{self.rounds} round{'s' if self.rounds > 1 else ''}"

    def __str__(self) -> str:
        return (
            f"{self.ended:%Y-%m-%d %H:%M} UTC; {self.machine}; {self.request_path}; "
            f"medians of {self.rounds_text}; load average at the end {self.load_average:.1f}."
        )


def _is_compiled() -> bool:
    """Of what this interpreter, and so what it starts, would import."""
    spec = importlib.util.find_spec("bucketroute_dataplane.shell.hot")
    return spec is not None and Path(str(spec.origin)).suffix == ".so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Medians of one target under one scenario; its peak of memory is the highest of all rounds."""

    scenario: Scenario
    target: str
    window_count: int
    requests_per_second: float
    bytes_per_second: float
    p50_us: float
    p99_us: float
    cpu_seconds_per_1000_requests: float
    cpu_seconds_per_gib: float
    cpu_ratio: Spread | None
    """To the baseline, of windows of the same round."""
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal beside what was measured: the median of the ratios to `to`, or a figure of
    BucketRoute's own. None: no window counted."""

    to: str
    scenario: str
    measure: Measure
    limit: float
    aim: float | None
    measured: float | None

    @property
    def is_met(self) -> bool:
        return self.measured is not None and self.measured <= self.limit

    @property
    def is_aim_met(self) -> bool:
        return self.measured is not None and self.aim is not None and self.measured <= self.aim


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    run: Run
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]
    """Why windows were thrown away."""

    @property
    def is_good(self) -> bool:
        return not self.problems and all(verdict.is_met for verdict in self.verdicts)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.target for row in self.rows))

    def row(self, scenario: str, target: str) -> Row | None:
        """The row of a scenario's name."""
        found = (row for row in self.rows if row.target == target and row.scenario.name == scenario)
        return next(found, None)


def written(record: Record) -> str:
    """JSON, a line for each row: small enough to keep, and to compare."""
    lines = [f'"format": {FORMAT}', f'"run": {_json(record.run)}']
    for name in ("rows", "verdicts", "problems"):
        items: Iterable[object] = getattr(record, name)
        lines.append(f'"{name}": [' + ",".join(f"\n  {_json(item)}" for item in items) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(path: Path) -> Record:
    """Raises: RecordError."""
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise RecordError(f"{path}: format {document['format']}, not {FORMAT}")
        return Record(
            run=_run(document["run"]),
            rows=tuple(_row(row) for row in document["rows"]),
            verdicts=tuple(_verdict(verdict) for verdict in document["verdicts"]),
            problems=tuple(map(str, document["problems"])),
        )
    except OSError as exc:
        raise RecordError(f"{path}: {exc.strerror}") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise RecordError(f"{path}: not the JSON of a run of this benchmark ({exc!r})") from exc


def _json(value: object) -> str:
    plain = value if isinstance(value, str) else asdict(value)  # type: ignore[call-overload]
    return json.dumps(plain, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (Tls, Measure)):
        return value.value
    raise TypeError(type(value).__name__)


def _run(document: Mapping[str, Any]) -> Run:
    machine = Machine(**document["machine"])
    ended = datetime.fromisoformat(document["ended"])
    return Run(**{**document, "machine": machine, "ended": ended})


def _row(document: Mapping[str, Any]) -> Row:
    scenario = document["scenario"]
    ratio = document["cpu_ratio"]
    return Row(
        **{
            **document,
            "scenario": Scenario(**{**scenario, "tls": Tls(scenario["tls"])}),
            "cpu_ratio": None if ratio is None else Spread(**ratio),
        }
    )


def _verdict(document: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**document, "measure": Measure(document["measure"])})
