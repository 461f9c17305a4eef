"""The cluster that a command asks: its options, the connection, and its errors as sentences.

The Kubernetes client is imported here and only when a cluster is asked: `serve`, `check -f` and
`explain -f` need nothing but the package itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bucketroute_cli.exit_codes import EXIT_USAGE
from bucketroute_operator.shell.kube_api import (
    ForbiddenError,
    Kube,
    KubeError,
    NoAccessError,
    NotFoundError,
)

REQUEST_TIMEOUT_SECONDS = 10.0
# A kubeconfig may run a program to log in, which may ask somebody something.
_CONNECT_TIMEOUT_SECONDS = 60.0
_DEFAULT_NAMESPACE = "default"


class ClusterError(Exception):
    """There is no cluster to ask; a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """`namespace` is what `-n` or the kubeconfig's context says."""

    kube: Kube
    namespace: str


# What a command does with a cluster and its arguments; the exit status.
Work = Callable[[Cluster, argparse.Namespace], Awaitable[int]]


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which cluster")
    group.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config")
    group.add_argument("--context", metavar="NAME", help="default: the kubeconfig's current one")
    group.add_argument(
        "--request-timeout", type=float, default=REQUEST_TIMEOUT_SECONDS, metavar="SECONDS",
        help="how long one request to the API server may take (default: %(default)g)",
    )  # fmt: skip
    group.add_argument(
        "-n", "--namespace", metavar="NAME", help="default: the context's, else default"
    )


def run_in_cluster(args: argparse.Namespace, work: Work) -> int:
    """Runs `work` on the cluster of `args`; whatever keeps it from its work becomes one line."""
    try:
        return asyncio.run(_run(args, work))
    except KeyboardInterrupt:
        return 130
    except ClusterError as exc:
        print(f"{args.prog}: {exc}", file=sys.stderr)
    except KubeError as exc:
        print(f"{args.prog}: {in_words(exc)}", file=sys.stderr)
    return EXIT_USAGE


async def _run(args: argparse.Namespace, work: Work) -> int:
    async with _connected(args) as cluster:
        return await work(cluster, args)


@asynccontextmanager
async def _connected(args: argparse.Namespace) -> AsyncIterator[Cluster]:
    """Raises: ClusterError, KubeError."""
    try:
        from bucketroute_operator.shell.kube import connect, context_namespace
    except ImportError as exc:
        raise ClusterError(
            "asking a cluster needs the Kubernetes client: pip install 'bucketroute[operator]'"
        ) from exc
    path = _kubeconfig(args.kubeconfig)
    namespace = args.namespace
    if namespace is None and path is not None:
        namespace = context_namespace(path, args.context)
    async with AsyncExitStack() as stack:
        connecting = connect(path, context=args.context, timeout_seconds=args.request_timeout)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
                kube = await stack.enter_async_context(connecting)
        except TimeoutError as exc:
            raise ClusterError("the kubeconfig's log-in took longer than a minute") from exc
        yield Cluster(kube=kube, namespace=namespace or _DEFAULT_NAMESPACE)


def _kubeconfig(given: str | None) -> str | None:
    """None: in a pod, by its service account. Raises: ClusterError for a file that is not there."""
    path = given or os.environ.get("KUBECONFIG")
    if path is None:
        home = Path("~/.kube/config").expanduser()
        if home.exists():
            return str(home)
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            return None
        raise ClusterError("no kubeconfig: set KUBECONFIG, or give --kubeconfig FILE")
    files = [part for part in path.split(os.pathsep) if part]
    if not any(Path(part).expanduser().exists() for part in files):
        raise ClusterError(f"no such kubeconfig: {path}")
    return path


def in_words(error: KubeError) -> str:
    """What somebody can do about it, and what the API server said."""
    match error:
        case NoAccessError():
            return str(error)
        case ForbiddenError():
            # "GET PATH: 403 NAME is forbidden: User U cannot list …": the last part says it all.
            return f"RBAC does not grant it: {str(error).rpartition(' is forbidden: ')[2]}"
        case NotFoundError():
            return f"not found: {error} (is BucketRoute installed? docs/install.md)"
    if error.status == 401:
        return f"the API server does not know who you are; log in, or choose a --context: {error}"
    if error.status == 0:
        return f"no answer from the API server: {error}"
    return f"the API server refuses: {error}"
