"""Show BucketRoute at work on this machine, with nothing to set up.

It starts an embedded S3 and STS backend and a data plane in front of it, uploads and downloads
through it with boto3, says what the backend stored, and stays up for you to try. Everything that it
started ends with it, and nothing is left behind.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import socket
import sys
from typing import Final

from bucketroute_cli.exit_codes import EXIT_USAGE

_MODULES_OF_THE_EXTRA: Final = ("boto3", "flask", "moto", "rich")
_INSTALL: Final = "pip install 'bucketroute[demo]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `demo`."""
    parser.add_argument(
        "--listen", default="127.0.0.1:9000", metavar="HOST:PORT",
        help="where the data plane listens; port 0 picks a free one (default: 127.0.0.1:9000)",
    )  # fmt: skip
    parser.add_argument(
        "--once", action="store_true", help="end after the tour: 0 if every step worked, else 1"
    )


def run(args: argparse.Namespace) -> int:
    """0: every step worked. 1: one did not. 2: it cannot start here. 130: interrupted on tour."""
    problem = _problem_with_extra() or _problem_with_address(args.listen)
    if problem is not None:
        print(f"bucketroute demo: {problem}", file=sys.stderr)
        return EXIT_USAGE
    # A closed terminal and a service manager end the demo as Ctrl-C does: children first. A shell
    # script that runs it in the background has SIGINT ignored; whoever sends one means it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    from bucketroute_cli.demo_tour import run_demo  # needs the extra

    return run_demo(args.listen, once=args.once)


def _problem_with_extra() -> str | None:
    missing = [name for name in _MODULES_OF_THE_EXTRA if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"{', '.join(missing)} cannot be found. Install the demo's extra: {_INSTALL}"


def _problem_with_address(listen: str) -> str | None:
    """Asked before anything starts: the data plane would say it later, and less clearly."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 0xFFFF:
        return f"--listen {listen} is not HOST:PORT"
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen(1)
        except OSError as exc:
            return (
                f"it cannot listen on {listen} ({exc.strerror or exc}). "
                f"Choose another port: --listen 127.0.0.1:9001, or port 0 for any free one."
            )
    return None
