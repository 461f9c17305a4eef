"""Who takes part: the targets of a run, configured for each kind of surroundings."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Part
from bench.options import Options
from bench.peers import PEERS
from bench.programs import ProgramMissingError
from bench.scenarios import Tls
from bench.targets import (
    BASELINE,
    ENVOY,
    SUBJECT,
    Surroundings,
    Target,
    bucketroute,
    envoy,
    free_port,
    from_command,
    nginx,
)
from bench.tls import certified

_BUILT_IN: dict[str, Callable[[Surroundings], Target]] = {
    BASELINE: nginx,
    ENVOY: envoy,
    SUBJECT: bucketroute,
}
# The others have no configuration for TLS.
_SPEAK_TLS = (BASELINE, SUBJECT)


def parts_of(options: Options, directory: Path) -> tuple[Part, ...]:
    """A part for each kind of surroundings. Raises: ProgramMissingError."""
    programs = {name: options.binaries.get(name) or PEERS[name].program() for name in options.peers}
    scenarios = options.matrix.scenarios
    parts = []
    for tls in dict.fromkeys(scenario.tls for scenario in scenarios):
        around = _surroundings(directory / tls.name.lower(), tls)
        targets = [*_built_in(options, around)]
        if tls is Tls.NONE:
            targets += [from_command(*named, around) for named in options.commands.items()]
            for name, program in programs.items():
                targets += [configure(program, around) for configure in PEERS[name].configured]
        chosen = tuple(scenario for scenario in scenarios if scenario.tls is tls)
        if targets:
            parts.append(Part(around=around, targets=tuple(targets), scenarios=chosen))
    return tuple(parts)


def _built_in(options: Options, around: Surroundings) -> Iterator[Target]:
    """Without Envoy where it can't be had; the other two are a must."""
    for name in options.targets:
        if around.tls is not Tls.NONE and name not in _SPEAK_TLS:
            continue
        try:
            yield _BUILT_IN[name](around)
        except ProgramMissingError as exc:
            if name in (BASELINE, SUBJECT):
                raise
            print(f"{name} is left out: {exc}", file=sys.stderr)


def _surroundings(directory: Path, tls: Tls) -> Surroundings:
    directory.mkdir()
    return Surroundings(
        directory=directory,
        stub_port=free_port(),
        tls=tls,
        certificate=certified(directory) if tls is not Tls.NONE else None,
        terminator_port=free_port() if tls is Tls.BACKEND else 0,
    )
