"""`bucketroute check`: what is wrong with manifests (-f), or with the installation in a cluster.

Of manifests it says what the compiler would, with nothing started. Of a cluster it looks at CRDs,
operator, gateway, classes, webhook and routes, and changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bucketroute_cli.cluster import add_cluster_arguments, run_in_cluster
from bucketroute_cli.compile import FileFinding, compile_paths
from bucketroute_cli.doctor import examine
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from bucketroute_operator.core.compilation import RouteResult
from bucketroute_operator.core.findings import ConditionType, Reason, Severity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="how findings are written (default: text)",
    )
    parser.add_argument(
        "--system-namespace",
        metavar="NAME",
        default="bucketroute-system",
        help="where BucketRoute is installed (default: %(default)s)",
    )
    add_source_arguments(parser)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which objects and which class are meant: files, else a cluster."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-f",
        "--file",
        dest="paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        help="manifest files or folders of them, in place of a cluster",
    )
    source.add_argument(
        "--live", action="store_true", help="the cluster's objects; the default without -f"
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        default="default",
        help="the class that is meant; of files, one is built in if none defines it "
        "(default: default)",
    )
    add_cluster_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: all is well. 1: there are errors. 2: a path does not exist, or no cluster answers."""
    if not args.paths:
        return run_in_cluster(args, examine)
    if missing_paths(args):
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


def missing_paths(args: argparse.Namespace) -> bool:
    """Whether a path does not exist; says which."""
    missing = [path for path in args.paths if not path.exists()]
    if missing:
        print(f"{args.prog}: no such file or folder: {missing[0]}", file=sys.stderr)
    return bool(missing)


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
