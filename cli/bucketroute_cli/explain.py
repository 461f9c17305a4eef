"""`bucketroute explain`: would this request be allowed, by which route and rule, and where to.

It asks the data plane's own functions, on the snapshot that the manifests compile to.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterator

from bucketroute_cli.check import add_path_arguments, missing_paths
from bucketroute_cli.compile import compile_paths
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from bucketroute_dataplane.core.authorize import authorize, may_anything
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import (
    ANONYMOUS,
    Identity,
    access_key_identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.names import encode_key
from bucketroute_dataplane.core.request import S3Request, parse_request
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex

_SUBJECT_FORMS = (
    "system:serviceaccount:NAMESPACE:NAME, accesskey:NAMESPACE/SECRET, oidc:ISSUER#SUBJECT "
    "or anonymous"
)
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_ACCESS_KEY = re.compile(r"accesskey:([^/]+)/([^/]+)")
_OIDC = re.compile(r"oidc:([^#]+)#(.+)", re.DOTALL)
_TARGET = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)

Fact = tuple[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as", dest="identity", metavar="SUBJECT", type=_identity, required=True,
        help=_SUBJECT_FORMS,
    )  # fmt: skip
    parser.add_argument("method", metavar="METHOD", type=str.upper, help="GET, HEAD, PUT …")
    parser.add_argument("target", metavar="s3://BUCKET/KEY", type=_target)
    parser.add_argument(
        "--query", default="", metavar="QUERY",
        help="the request's query, such as list-type=2&prefix=in/",
    )  # fmt: skip
    add_path_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: allowed. 1: refused. 2: a path does not exist."""
    missing = missing_paths(args.paths)
    if missing:
        print(f"bucketroute explain: no such file or folder: {missing[0]}", file=sys.stderr)
        return EXIT_USAGE
    compiled = compile_paths(args.paths, args.class_name)
    index = RouteIndex(compiled.snapshot, compiled.secrets)
    bucket, key = args.target
    head = RequestHead(
        method=args.method.encode(),
        raw_path=b"/%s/%s" % (bucket.encode(), encode_key(key.encode())),
        raw_query=args.query.encode(),
        headers=(),
    )
    is_allowed = True
    try:
        for name, value in _facts(head, index, args.identity):
            print(f"{name + ':':11}{value}")
    except S3Error as error:
        print(f"{'decision:':11}refused, {error.code}: {error.message}")
        is_allowed = False
    return EXIT_OK if is_allowed else EXIT_FINDINGS


def _facts(head: RequestHead, index: RouteIndex, identity: Identity) -> Iterator[Fact]:
    """What is found on the way, in the data plane's own order. Raises: S3Error of a refusal."""
    yield "caller", str(identity)
    request = parse_request(head)
    yield "operation", request.operation.name
    yield "needs", request.action or "any grant on the route"
    entry = index.find(request.bucket, identity)
    yield "route", f"BucketRoute {entry.label} ({entry.route.state.value})"
    if entry.target is not None:
        backend = entry.target.backend
        where = f"s3://{backend.bucket}/{backend.prefix}{request.key.decode()}"
        yield "backend", f"{where} at {backend.endpoint}"
    yield "decision", f"allowed by {_deciding_rule(request, entry, identity)}"


def _deciding_rule(request: S3Request, entry: RouteEntry, identity: Identity) -> str:
    """The first rule that allows the request alone. Raises: S3Error if none does."""
    for number, rule in enumerate(entry.route.access):
        alone = dataclasses.replace(entry, route=dataclasses.replace(entry.route, access=(rule,)))
        if _is_allowed(request, alone, identity):
            return f"spec.access[{number}]"
    raise s3_error("AccessDenied", "No rule of the route grants it to this caller.")


def _is_allowed(request: S3Request, entry: RouteEntry, identity: Identity) -> bool:
    if request.action is None:
        return may_anything(entry, identity)
    try:
        authorize(request, entry, identity)
    except S3Error as error:
        if error.code == "AccessDenied":
            return False
        raise
    return True


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


def _target(text: str) -> tuple[str, str]:
    match = _TARGET.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not s3://BUCKET or s3://BUCKET/KEY")
    return match[1], match[2] or ""
