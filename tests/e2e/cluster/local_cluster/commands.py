"""The command lines of `local-cluster` and `kind-cluster`: equal verbs, two providers."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from . import kind, lifecycle
from .layout import ClusterError


def main(provider: str, arguments: list[str]) -> int:
    """Run one verb of a provider ("local" or "kind"); 0 fine, 1 failed, 2 usage."""
    options = _parser(f"{provider}-cluster").parse_args(arguments)
    verbs = lifecycle if provider == "local" else kind
    directory: Path = options.directory
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `up` cleans up after itself
    try:
        match options.verb:
            case "up":
                verbs.up(directory, owner=options.owner)
            case "enter":
                verbs.enter(directory, options.command)
            case "load":
                for archive in options.archives:
                    verbs.load(directory, archive)
            case "down":
                verbs.down(directory)
    except (ClusterError, OSError, subprocess.SubprocessError) as exc:
        print(f"{provider}-cluster {options.verb}: {exc}", file=sys.stderr)
        return 1
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring up a cluster that keeps its files in DIRECTORY")
    up.add_argument("directory", type=Path)
    up.add_argument("--owner", type=int, metavar="PID", help="end it when this process ends")
    enter = verbs.add_parser("enter", help="run a command with KUBECONFIG set")
    enter.add_argument("directory", type=Path)
    enter.add_argument("command", nargs=argparse.REMAINDER)
    load = verbs.add_parser("load", help="import image archives")
    load.add_argument("directory", type=Path)
    load.add_argument("archives", type=Path, nargs="+")
    down = verbs.add_parser("down", help="end the cluster and delete DIRECTORY")
    down.add_argument("directory", type=Path)
    return parser
