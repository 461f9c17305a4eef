"""`bucketroute check`: what the compiler would say of manifests, with nothing started."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bucketroute_cli.compile import FileFinding, compile_paths
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from bucketroute_operator.core.compilation import RouteResult
from bucketroute_operator.core.findings import ConditionType, Reason, Severity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_path_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="how findings are written (default: text)",
    )


def add_path_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which manifests and which class are meant."""
    parser.add_argument(
        "-f",
        "--file",
        dest="paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        help="manifest files or folders of them",
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        default="default",
        help="the class to serve; built in if no manifest defines it (default: default)",
    )


def run(args: argparse.Namespace) -> int:
    """0: every route is accepted. 1: there are errors. 2: a path does not exist."""
    missing = missing_paths(args.paths)
    if missing:
        print(f"bucketroute check: no such file or folder: {missing[0]}", file=sys.stderr)
        return EXIT_USAGE
    compiled = compile_paths(args.paths, args.class_name)
    if args.output == "json":
        print(json.dumps([_as_json(item) for item in compiled.findings], indent=2))
    else:
        for finding in compiled.findings:
            print(finding)
        print(_summary(compiled.compilation.routes), file=sys.stderr)
    errors = any(item.severity is Severity.ERROR for item in compiled.findings)
    return EXIT_FINDINGS if errors else EXIT_OK


def missing_paths(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if not path.exists()]


def _as_json(finding: FileFinding) -> dict[str, str | int | None]:
    return {
        "severity": finding.severity.value,
        "file": None if finding.path is None else str(finding.path),
        "line": finding.line,
        "object": finding.object,
        "field": finding.field,
        "reason": finding.reason,
        "message": finding.message,
    }


def _summary(routes: Sequence[RouteResult]) -> str:
    suspended = served = 0
    for route in routes:
        accepted = route.condition(ConditionType.ACCEPTED)
        references = route.condition(ConditionType.RESOLVED_REFS)
        suspended += accepted.reason is Reason.SUSPENDED
        served += accepted.status is True and references.status is True
    parked = f", {suspended} suspended" if suspended else ""
    return f"{served} of {len(routes)} routes would be served in full{parked}."
