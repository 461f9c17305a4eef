"""`bucketroute status`: routes, their class and its gateway pods, and why something is not ready.

Everything comes from the statuses that the operator writes, so it needs no rights but to read the
routes (and, for the pods, the classes). Exit status: 0 all is ready, 1 something is not, 2 the
cluster could not be asked.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from bucketroute_cli.cluster import Cluster, add_cluster_arguments, run_in_cluster
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from bucketroute_cli.status_report import ClassStatus, Report, RouteStatus, report
from bucketroute_cli.table import table
from bucketroute_operator.core.near_match import did_you_mean
from bucketroute_operator.shell.kube_api import (
    CLASSES,
    NAMESPACES,
    ROUTES,
    ForbiddenError,
    Json,
    Kube,
    NotFoundError,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="ROUTE", nargs="*", help="only these routes")
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="routes of every namespace"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text",
        help="how it is written (default: text)",
    )  # fmt: skip
    add_cluster_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.names and args.all_namespaces:
        print(f"{args.prog}: name routes, or take all namespaces with -A", file=sys.stderr)
        return EXIT_USAGE

    return run_in_cluster(args, show_status)


async def show_status(cluster: Cluster, args: argparse.Namespace) -> int:
    """Raises: KubeError."""
    namespace = "" if args.all_namespaces else cluster.namespace
    routes = await cluster.kube.list_all(ROUTES, namespace=namespace)
    if namespace and not routes and not await _exists(cluster.kube, namespace):
        hint = did_you_mean(namespace, await _namespaces(cluster.kube))
        print(f"{args.prog}: no such namespace: {namespace}{hint}", file=sys.stderr)
        return EXIT_USAGE
    if args.names:
        there = {item["metadata"]["name"] for item in routes}
        absent = sorted(set(args.names) - there)
        if absent:
            hint = did_you_mean(absent[0], there)
            print(f"{args.prog}: no BucketRoute {namespace}/{absent[0]}{hint}", file=sys.stderr)
            return EXIT_USAGE
        routes = [item for item in routes if item["metadata"]["name"] in args.names]
    found = report(routes, await _classes(cluster), of_all=args.all_namespaces)
    if args.output == "json":
        print(json.dumps(as_json(found), indent=2))
    else:
        for paragraph in _paragraphs(found):
            print(paragraph)
    if not routes:
        where = f"namespace {namespace}; -A looks in all of them" if namespace else "any namespace"
        print(f"No BucketRoute in {where}.", file=sys.stderr)
    return EXIT_OK if found.is_fine else EXIT_FINDINGS


async def _exists(kube: Kube, namespace: str) -> bool:
    """Whether it does, as far as the user may know: who may list its routes may not see itself."""
    try:
        await kube.get(NAMESPACES, "", namespace)
    except NotFoundError:
        return False
    except ForbiddenError:
        return True
    return True


async def _namespaces(kube: Kube) -> Sequence[str]:
    try:
        return [item["metadata"]["name"] for item in await kube.list_all(NAMESPACES)]
    except ForbiddenError:
        return []


async def _classes(cluster: Cluster) -> Sequence[Json] | None:
    try:
        return await cluster.kube.list_all(CLASSES)
    except ForbiddenError:
        return None


def as_json(found: Report) -> dict[str, Any]:
    """Field names are an API: scripts read them."""
    return {
        "ready": found.is_fine,
        "routes": [_route_json(item) for item in found.routes],
        "classes": None if found.classes is None else list(map(_class_json, found.classes)),
    }


def _route_json(item: RouteStatus) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "bucket": item.bucket,
        "class": item.class_name,
        "ready": item.ready,
        "reason": item.reason,
        "credentials": item.credentials,
        "version": item.version,
        "why": [dataclasses.asdict(line) for line in item.why],
        "notes": [dataclasses.asdict(line) for line in item.notes],
    }


def _class_json(item: ClassStatus) -> dict[str, Any]:
    return {
        "name": item.name,
        "mode": item.mode,
        "accepted": item.accepted,
        "synced": item.synced,
        "routes": item.routes,
        "version": item.version,
        "podCount": item.pod_count,
        "pods": [
            {
                "name": pod.name,
                "state": pod.state,
                "ready": pod.is_ready,
                "version": pod.version,
                "rejectedRoutes": pod.rejected_routes,
            }
            for pod in item.pods
        ],
        "why": [dataclasses.asdict(line) for line in item.why],
    }


def _paragraphs(found: Report) -> Iterator[str]:
    """Tables of what there is, then sentences about what is not ready."""
    if found.classes is None:
        yield "Classes and gateway pods are not shown: RBAC does not grant `list` on them.\n"
    elif found.classes:
        yield from _class_tables(found.classes)
    if found.routes:
        yield _routes_table(found.routes)
    why = [line for item in found.classes or () for line in _lines_of_class(item)]
    why += [line for item in found.routes for line in _lines_of_route(item)]
    if why:
        yield "\n" + "\n".join(why)
        yield "\nWhat each reason means and what to do: docs/conditions.md"


def _class_tables(classes: Sequence[ClassStatus]) -> Iterator[str]:
    head = ("CLASS", "MODE", "ACCEPTED", "SYNCED", "ROUTES", "VERSION")
    yield (
        table(
            head,
            [
                (item.name, item.mode, item.accepted, item.synced, item.routes, item.version)
                for item in classes
            ],
        )
        + "\n"
    )
    pods = [pod for item in classes for pod in item.pods]
    if pods:
        rows = [
            (
                pod.name,
                pod.class_name,
                pod.state,
                "True" if pod.is_ready else "False",
                pod.version,
                str(pod.rejected_routes or ""),
            )
            for pod in pods
        ]
        yield table(("POD", "CLASS", "STATE", "READY", "VERSION", "REJECTED ROUTES"), rows) + "\n"
    for item in classes:
        if item.pod_count > len(item.pods):
            more = item.pod_count - len(item.pods)
            yield f"Class {item.name} has {more} more pods, none of them worse.\n"


def _routes_table(routes: Sequence[RouteStatus]) -> str:
    head = ("NAMESPACE", "ROUTE", "BUCKET", "CLASS", "READY", "REASON", "CREDENTIALS", "VERSION")
    rows = [
        (
            item.namespace,
            item.name,
            item.bucket,
            item.class_name,
            item.ready,
            item.reason,
            item.credentials,
            item.version,
        )
        for item in routes
    ]
    return table(head, rows)


def _lines_of_class(item: ClassStatus) -> Iterator[str]:
    yield from (f"BucketRouteClass {item.name}: {line}" for line in item.why)


def _lines_of_route(item: RouteStatus) -> Iterator[str]:
    yield from (f"{item.namespace}/{item.name}: {line}" for line in (*item.why, *item.notes))
