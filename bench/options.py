"""What `python -m bench` can be asked for."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import PEERS
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
from bench.targets import BASELINE, ENVOY, SUBJECT

BUILT_IN = (BASELINE, ENVOY, SUBJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    about: str
    scenarios: tuple[Scenario, ...]
    goals: tuple[Goal, ...]
    targets: tuple[str, ...]
    window_seconds: float
    compares_route_counts: bool = False
    """Whether it ends with what a GET costs with 10 and with 10,000 routes."""


MATRICES = {
    "quick": Matrix(
        about="nginx and BucketRoute, four scenarios: two minutes",
        scenarios=QUICK,
        goals=QUICK_GOALS,
        targets=(BASELINE, SUBJECT),
        window_seconds=1.5,
    ),
    "full": Matrix(
        about="nginx, Envoy and BucketRoute, everything: twenty minutes",
        scenarios=FULL,
        goals=FULL_GOALS,
        targets=BUILT_IN,
        window_seconds=1.8,
        compares_route_counts=True,
    ),
    "tls": Matrix(
        about="nginx and BucketRoute, with TLS on one side: four minutes",
        scenarios=TLS,
        goals=TLS_GOALS,
        targets=(BASELINE, SUBJECT),
        window_seconds=1.8,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    name: str
    matrix: Matrix
    targets: tuple[str, ...]
    """Those that are built in."""
    peers: tuple[str, ...]
    """Names of PEERS."""
    binaries: Mapping[str, Path]
    """Programs of their own for some of the peers."""
    commands: Mapping[str, str]
    """Further targets, by name: how to start them."""
    rounds: int
    window_seconds: float
    warm_up_seconds: float


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m bench", description="See bench/README.md.")
    commands = top.add_subparsers(dest="command", required=True)
    for name, matrix in MATRICES.items():
        _add_run_options(commands.add_parser(name, help=matrix.about, description=matrix.about))
    for name, about in (
        ("chart", "draw the chart of a run anew"),
        ("publish", "make a full run the one that the README shows"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("results", type=Path, metavar="RESULTS.json")
    return top


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--rounds", type=int, default=5)
    run.add_argument("--seconds", type=float, help="length of a measured window")
    run.add_argument("--warm-up", type=float, default=0.4, help="seconds before each window")
    run.add_argument("--targets", help=f"of {', '.join(BUILT_IN)}, separated by commas")
    run.add_argument("--scenarios", help="only those whose name contains this text")
    run.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME[=COMMAND]",
        help=f"one more proxy: {', '.join(PEERS)}, or one of your own that COMMAND starts; "
        "{port}, {stub_port} and {dir} are filled in",
    )
    run.add_argument(
        "--peer-binary",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the program of that peer, in place of the one that would be built",
    )


def read_options(given: argparse.Namespace, wrong: argparse.ArgumentParser) -> Options:
    """Exits through `wrong.error` for what can't be run."""
    matrix = MATRICES[given.command]
    binaries = _pairs(given.peer_binary, "--peer-binary takes NAME=PATH", wrong)
    commands = _pairs(
        [peer for peer in given.peer if "=" in peer], "--peer takes NAME or NAME=COMMAND", wrong
    )
    peers = tuple(dict.fromkeys([peer for peer in given.peer if "=" not in peer] + [*binaries]))
    targets = tuple(given.targets.split(",")) if given.targets else matrix.targets
    # The name of a built-in one replaces it: to compare two checkouts.
    targets = tuple(name for name in targets if name not in commands)
    _refuse_unknown(peers, PEERS, "peers", wrong)
    _refuse_unknown(targets, BUILT_IN, "targets", wrong)
    for name, path in binaries.items():
        if not Path(path).exists():
            wrong.error(f"--peer-binary {name}: there is no {path}")
    scenarios = tuple(s for s in matrix.scenarios if (given.scenarios or "") in s.name)
    if not scenarios:
        wrong.error(f"no scenario's name contains {given.scenarios!r}")
    if given.rounds < 1:
        wrong.error("--rounds must be at least 1")
    return Options(
        name=given.command,
        matrix=_narrowed(matrix, scenarios),
        targets=targets,
        peers=peers,
        binaries={name: Path(path).resolve() for name, path in binaries.items()},
        commands=commands,
        rounds=given.rounds,
        window_seconds=given.seconds or matrix.window_seconds,
        warm_up_seconds=given.warm_up,
    )


def _narrowed(matrix: Matrix, scenarios: tuple[Scenario, ...]) -> Matrix:
    return Matrix(
        about=matrix.about,
        scenarios=scenarios,
        goals=tuple(goal for goal in matrix.goals if goal.scenario in scenarios),
        targets=matrix.targets,
        window_seconds=matrix.window_seconds,
        compares_route_counts=matrix.compares_route_counts and scenarios == matrix.scenarios,
    )


def _pairs(given: Sequence[str], complaint: str, wrong: argparse.ArgumentParser) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    if not all(name and value for name, _, value in pairs):
        wrong.error(complaint)
    return {name: value for name, _, value in pairs}


def _refuse_unknown(
    names: Sequence[str],
    known: Sequence[str] | Mapping[str, object],
    what: str,
    wrong: argparse.ArgumentParser,
) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        wrong.error(f"unknown {what}: {', '.join(unknown)}; there are {', '.join(known)}")
