"""`bucketroute explain`: would this request be allowed, by which route and rule, and where to.

It asks the data plane's own functions, on the snapshot that manifests (-f) or the objects of a
cluster compile to. No Secret is read from a cluster and no request is sent.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from bucketroute_cli.check import add_source_arguments, missing_paths
from bucketroute_cli.cluster import Cluster, run_in_cluster
from bucketroute_cli.compile import compile_paths
from bucketroute_cli.decision import Decision, Fact, decide
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from bucketroute_cli.live import LiveObjects, compile_live, read_live, with_the_operators_word
from bucketroute_dataplane.core.identity import (
    ANONYMOUS,
    Identity,
    access_key_identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.names import encode_key
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_operator.core.compilation import Compilation
from bucketroute_operator.core.findings import ConditionType
from bucketroute_snapshot import RouteState, SnapshotSecrets

_SUBJECT_FORMS = (
    "system:serviceaccount:NAMESPACE:NAME, accesskey:NAMESPACE/SECRET, oidc:ISSUER#SUBJECT "
    "or anonymous"
)
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_ACCESS_KEY = re.compile(r"accesskey:([^/]+)/([^/]+)")
_OIDC = re.compile(r"oidc:([^#]+)#(.+)", re.DOTALL)
_METHODS = "GET, HEAD, PUT, POST, DELETE or OPTIONS"
_TARGET = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as", dest="identity", metavar="SUBJECT", type=_identity, required=True,
        help=_SUBJECT_FORMS,
    )  # fmt: skip
    parser.add_argument("method", metavar="METHOD", type=_method, help=_METHODS)
    parser.add_argument("target", metavar="s3://BUCKET/KEY", type=_target)
    parser.add_argument(
        "--query", default="", metavar="QUERY",
        help="the request's query, such as list-type=2&prefix=in/",
    )  # fmt: skip
    add_source_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: allowed, and the route can be used. 1: refused, or not ready. 2: nothing to look at."""
    if args.paths:
        if missing_paths(args):
            return EXIT_USAGE
        compiled = compile_paths(args.paths, args.class_name)
        index = RouteIndex(compiled.snapshot, compiled.secrets)
        decision = decide(_head(args), index, args.identity)
        elsewhere = _elsewhere(compiled.compilation, args, decision)
        _show(decision, [*elsewhere, *_not_resolved(compiled.compilation, decision)])
        return EXIT_OK if decision.is_allowed else EXIT_FINDINGS

    return run_in_cluster(args, explain_live)


async def explain_live(cluster: Cluster, args: argparse.Namespace) -> int:
    """Raises: KubeError."""
    live = await read_live(cluster)
    compilation = compile_live(live)
    result = compilation.of_class(args.class_name)
    if result is None or result.snapshot is None:
        print(f"class:     {args.class_name} does not exist or is not valid")
        return EXIT_FINDINGS
    snapshot = with_the_operators_word(result.snapshot, live)
    decision = decide(_head(args), RouteIndex(snapshot, SnapshotSecrets()), args.identity)
    not_ready = list(_not_ready(decision, live))
    why = dict.fromkeys([*not_ready, *_not_resolved(compilation, decision)])
    _show(decision, [*_elsewhere(compilation, args, decision), *why])
    for note in live.notes:
        print(f"{'note:':11}{note}")
    return EXIT_OK if decision.is_allowed and not not_ready else EXIT_FINDINGS


def _not_ready(decision: Decision, live: LiveObjects) -> Iterator[Fact]:
    """What the operator says of the route that was found."""
    if decision.entry is None:
        return
    route = decision.entry.route
    status = live.status(route.namespace, route.name)
    if status is not None and status.ready != "True":
        yield from (("but", str(line)) for line in status.why)


def _not_resolved(compilation: Compilation, decision: Decision) -> Iterator[Fact]:
    """Why the route that was found is out of order, as compiling sees it."""
    if decision.entry is None or decision.entry.route.state is RouteState.ACTIVE:
        return
    namespace, name = decision.entry.route.namespace, decision.entry.route.name
    for result in compilation.routes:
        if (result.metadata.namespace, result.metadata.name) == (namespace, name):
            for item in result.conditions:
                if item.status is False:
                    said = f"{item.type.value}=False {item.reason.value}: {item.message}"
                    yield "but", said


def _show(decision: Decision, more: list[Fact]) -> None:
    for name, value in decision.facts:
        print(f"{name + ':':11}{value}")
    for rule, reason in decision.reasons:
        print(f"  {rule} {reason}")
    for name, value in more:
        print(f"{name + ':':11}{value}")


def _elsewhere(
    compilation: Compilation, args: argparse.Namespace, decision: Decision
) -> list[Fact]:
    """Of a name that was not found: which route has it, and why it does not serve this caller."""
    if decision.refusal is None or decision.refusal.code != "NoSuchBucket":
        return []
    facts: list[Fact] = []
    for route in compilation.routes:
        label = f"BucketRoute {route.metadata.namespace}/{route.metadata.name}"
        if route.bucket != args.target[0]:
            continue
        if route.class_name != args.class_name:
            facts.append(("but", f"{label} is of class {route.class_name}: --class"))
            continue
        accepted = route.condition(ConditionType.ACCEPTED)
        if accepted.status is not True:
            reason = f"{accepted.reason.value}: {accepted.message}"
            facts.append(("but", f"{label} is not accepted, {reason}"))
        else:
            facts.append(("but", f"{label} serves callers of its own namespace only"))
    return facts


def _head(args: argparse.Namespace) -> RequestHead:
    bucket, key = args.target
    return RequestHead(
        method=args.method.encode(),
        raw_path=b"/%s/%s" % (bucket.encode(), encode_key(key.encode())),
        raw_query=args.query.encode(),
        headers=(),
    )


def _identity(text: str) -> Identity:
    if text == "anonymous":
        return ANONYMOUS
    if match := _SERVICE_ACCOUNT.fullmatch(text):
        return service_account_identity(match[1], match[2])
    if match := _ACCESS_KEY.fullmatch(text):
        return access_key_identity(match[1], match[2])
    if match := _OIDC.fullmatch(text):
        return oidc_identity(match[1], match[2])
    raise argparse.ArgumentTypeError(f"{text!r} is none of {_SUBJECT_FORMS}")


def _method(text: str) -> str:
    """Of HTTP: with the URL it says which operation is meant; the operation's name would not do."""
    method = text.upper()
    if method not in re.findall(r"[A-Z]+", _METHODS):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {_METHODS}")
    return method


def _target(text: str) -> tuple[str, str]:
    match = _TARGET.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not s3://BUCKET or s3://BUCKET/KEY")
    return match[1], match[2] or ""
