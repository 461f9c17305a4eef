"""`bucketroute serve`: the data plane on manifests from disk, with no cluster.

The operator's own compiler makes the snapshot, and it goes through the same SnapshotStore as one
that came over the config channel. A change of a file is served within a second; a manifest that
is broken keeps what was good of it before, and prints why.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchfiles import awatch

from bucketroute_cli.compile import Compiled, FileFinding, compile_paths
from bucketroute_cli.state import sealing_key
from bucketroute_dataplane.core.jwk import parse_jwks
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.server import DataplaneServer, dataplane
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import Route, RouteState, Snapshot

# A save in an editor is several events; together they are one reload.
DEBOUNCE_MILLISECONDS = 200
# So often the watch says that nothing has changed.
QUIET_MILLISECONDS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `serve`."""
    parser.add_argument(
        "-f", "--file", dest="paths", type=Path, nargs="+", action="extend", required=True,
        metavar="PATH", help="manifests: files or folders",
    )  # fmt: skip
    parser.add_argument("--listen", default="127.0.0.1:9000", metavar="HOST:PORT")
    parser.add_argument("--class", dest="class_name", default="default", metavar="NAME")
    parser.add_argument("--token-file", type=Path, help="web-identity token for the backend's STS")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE")
    parser.add_argument("--tls-key", type=Path, metavar="FILE")
    parser.add_argument(
        "--domain", action="append", default=[], metavar="NAME",
        help="serve BUCKET.NAME too (virtual-hosted style); may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--cluster-issuer", metavar="URL",
        help="issuer of the service-account tokens that callers may log in with",
    )  # fmt: skip
    parser.add_argument(
        "--cluster-jwks", type=Path, metavar="FILE",
        help="its public keys, a JWK Set (kubectl get --raw /openid/v1/jwks)",
    )  # fmt: skip
    parser.add_argument(
        "--drain-seconds", type=float, default=30.0, help="what requests may take after SIGTERM"
    )
    parser.add_argument("--workers", type=_one_worker, help=argparse.SUPPRESS)
    parser.add_argument(
        "--once-ready", type=Path, metavar="FILE", help="write HOST:PORT there once it serves"
    )


def _one_worker(text: str) -> int:
    """For whoever knows the option of a pod's program."""
    if text != "1":
        raise argparse.ArgumentTypeError(
            "serve is one process; pods can have several: bucketroute-dataplane --workers"
        )
    return 1


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code."""
    settings, overrides = _settings(args), _overrides(args)
    if settings is None or overrides is None:
        return 2
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("bucketroute").setLevel(logging.INFO)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(args, settings, overrides))
    except OSError as exc:
        print(f"bucketroute serve: {exc}", file=sys.stderr)
        return 2


def _settings(args: argparse.Namespace) -> DataplaneSettings | None:
    host, colon, port = args.listen.rpartition(":")
    if not colon or not port.isdigit():
        print(f"bucketroute serve: --listen {args.listen} is not HOST:PORT", file=sys.stderr)
        return None
    if (args.tls_cert is None) != (args.tls_key is None):
        print("bucketroute serve: --tls-cert and --tls-key go together", file=sys.stderr)
        return None
    return DataplaneSettings(
        listen_host=host.strip("[]"),
        listen_port=int(port),
        tls_certificate=args.tls_cert,
        tls_key=args.tls_key,
        token_file=args.token_file,
        domains=tuple(args.domain),
        drain_seconds=args.drain_seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOverrides:
    """What the command line says of the class, beside its manifest; the issuer and its keys (JSON)
    are of the cluster whose service accounts may log in."""

    domains: tuple[str, ...] = ()
    cluster_issuer: str | None = None
    cluster_jwks: str | None = None


def _overrides(args: argparse.Namespace) -> ClassOverrides | None:
    if (args.cluster_issuer is None) != (args.cluster_jwks is None):
        print("bucketroute serve: --cluster-issuer and --cluster-jwks go together", file=sys.stderr)
        return None
    keys: str | None = None
    try:
        if args.cluster_jwks is not None:
            keys = args.cluster_jwks.read_text()
            parse_jwks(keys)
    except (OSError, ValueError) as exc:
        print(f"bucketroute serve: --cluster-jwks {args.cluster_jwks}: {exc}", file=sys.stderr)
        return None
    return ClassOverrides(
        domains=tuple(args.domain), cluster_issuer=args.cluster_issuer, cluster_jwks=keys
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every platform; asyncio's own loop serves as well
        return None
    return uvloop.new_event_loop


async def _serve(
    args: argparse.Namespace, settings: DataplaneSettings, overrides: ClassOverrides
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    manifests = Manifests(args.paths, args.class_name, overrides)
    store = SnapshotStore()
    async with dataplane(settings, store) as services:
        await manifests.load(store)
        server = DataplaneServer(services)
        await server.start()
        host, port = server.address
        scheme = "https" if settings.tls_certificate else "http"
        print(f"serving on {scheme}://{host}:{port}", file=sys.stderr)
        if args.once_ready is not None:
            args.once_ready.write_text(f"{host}:{port}\n")
        watcher = asyncio.create_task(manifests.follow(store, stop))
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):  # the second one ends at once
            loop.add_signal_handler(number, server.hurry)
        await server.stop()
        await watcher
    return 0


class Manifests:
    """The files on disk, and what they were compiled to last."""

    def __init__(self, paths: Sequence[Path], class_name: str, overrides: ClassOverrides) -> None:
        self._paths = paths
        self._class_name = class_name
        self._overrides = overrides
        self._sealing_keys = (sealing_key(),)
        self._compiled: Compiled | None = None
        self._shown: frozenset[str] = frozenset()

    async def load(self, store: SnapshotStore) -> None:
        """Compiles and swaps; findings that were not shown before are printed.

        In a thread: parsing a thousand routes takes the better part of a second, which no stream
        should stand still for.
        """
        compiled = await asyncio.to_thread(
            compile_paths,
            self._paths,
            self._class_name,
            self._compiled,
            sealing_keys=self._sealing_keys,
        )
        changed = self._compiled is None or (
            (compiled.snapshot, compiled.secrets)
            != (self._compiled.snapshot, self._compiled.secrets)
        )
        self._show(compiled.findings, compiled.snapshot, changed)
        self._compiled = compiled
        if changed:
            await store.swap(overridden(compiled.snapshot, self._overrides), compiled.secrets)

    async def follow(self, store: SnapshotStore, stop: asyncio.Event) -> None:
        """Loads again after every change, until `stop` is set; once in any case, for what changed
        before the watch began."""
        watched = {path if path.is_dir() else path.parent for path in self._paths}
        is_first = True
        async for changes in awatch(
            *watched,
            stop_event=stop,
            debounce=DEBOUNCE_MILLISECONDS,
            recursive=True,
            step=50,
            rust_timeout=QUIET_MILLISECONDS,
            yield_on_timeout=True,
        ):
            if changes or is_first:
                await self.load(store)
            is_first = False

    def _show(self, findings: Sequence[FileFinding], snapshot: Snapshot, changed: bool) -> None:
        lines = [str(finding) for finding in findings]
        for line in lines:
            if line not in self._shown:
                print(line, file=sys.stderr)
        self._shown = frozenset(lines)
        if changed:
            names = ": " + ", ".join(map(_shown_name, snapshot.routes[:10]))
            more = f" and {len(snapshot.routes) - 10} more" if len(snapshot.routes) > 10 else ""
            told = names + more if snapshot.routes else ""
            print(f"{len(snapshot.routes)} route(s){told}", file=sys.stderr)


def _shown_name(route: Route) -> str:
    """A route that an edit broke keeps its name, but serves nobody until it is put right."""
    return route.bucket if route.state is RouteState.ACTIVE else f"{route.bucket} (not served)"


def overridden(snapshot: Snapshot, overrides: ClassOverrides) -> Snapshot:
    """The snapshot with the command line's domains beside the class's own, and its cluster."""
    settings = snapshot.settings
    domains = tuple(dict.fromkeys((*settings.domains, *overrides.domains)))
    return replace(
        snapshot,
        settings=replace(
            settings,
            domains=domains,
            cluster_issuer=overrides.cluster_issuer or settings.cluster_issuer,
            cluster_jwks=overrides.cluster_jwks or settings.cluster_jwks,
        ),
    )
