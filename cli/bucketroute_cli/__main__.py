"""`bucketroute`: the command line. Each command is a module that is imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from bucketroute_cli.exit_codes import EXIT_USAGE


class Command(Protocol):
    """What a command's module offers. `run` gives the exit status (exit_codes.py); `args.prog` is
    how the command was called."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class _Entry(NamedTuple):
    module: str
    summary: str


_COMMANDS: Final = {
    "demo": _Entry(
        "bucketroute_cli.demo", "show an upload and download through a local data plane"
    ),
    "serve": _Entry(
        "bucketroute_cli.serve", "serve the routes of manifest files, without a cluster"
    ),
    "check": _Entry(
        "bucketroute_cli.check", "say what is wrong with an installation, or with files"
    ),
    "explain": _Entry("bucketroute_cli.explain", "say whether a request would be allowed, and why"),
    "status": _Entry("bucketroute_cli.status", "show a cluster's routes, and why one is not ready"),
}


def main(argv: Sequence[str] | None = None, *, program: str = "bucketroute") -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if name in _COMMANDS:
        return _run(f"{program} {name}", name, arguments[1:])
    parser = _overview(program)
    parser.parse_args(arguments)  # exits for --help, --version and for names that do not exist
    parser.print_usage(sys.stderr)
    return EXIT_USAGE


def kubectl_main() -> int:
    """`kubectl bucketroute`: kubectl runs what is called kubectl-bucketroute in PATH."""
    return main(program="kubectl bucketroute")


def _run(prog: str, name: str, arguments: Sequence[str]) -> int:
    command: Command = importlib.import_module(_COMMANDS[name].module)
    parser = argparse.ArgumentParser(prog=prog, description=command.__doc__)
    command.add_arguments(parser)
    parser.set_defaults(prog=prog)
    return command.run(parser.parse_args(arguments))


def _overview(program: str) -> argparse.ArgumentParser:
    from importlib.metadata import version

    commands = "\n".join(f"  {name:8} {entry.summary}" for name, entry in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=program,
        description="Virtual S3 buckets for workloads that hold no cloud credential.",
        epilog=f"commands:\n{commands}\n\n{program} COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"bucketroute {version('bucketroute')}"
    )
    parser.add_argument("command", metavar="COMMAND", nargs="?", choices=tuple(_COMMANDS))
    return parser


if __name__ == "__main__":
    sys.exit(main())
