"""Wires a data-plane process together; `DataplaneServer` accepts and drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from base64 import b64decode
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import ceil
from time import perf_counter, time

import uvicorn

from bucketroute_dataplane.core.authenticate import Trust
from bucketroute_dataplane.core.identity_token import trusted_issuers
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import SessionSealer
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.access_log import AccessLog
from bucketroute_dataplane.shell.addresses import Resolver
from bucketroute_dataplane.shell.app import admin_app, probes_app
from bucketroute_dataplane.shell.backend_credentials import BackendCredentials
from bucketroute_dataplane.shell.bucket_checks import BucketChecks, ask_for_bucket
from bucketroute_dataplane.shell.checked_transport import CheckedTransport
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.credential_events import CredentialObserver
from bucketroute_dataplane.shell.credential_health import CredentialHealth
from bucketroute_dataplane.shell.credentials import CredentialCache
from bucketroute_dataplane.shell.front import S3Front
from bucketroute_dataplane.shell.issuer_keys import IssuerKeys
from bucketroute_dataplane.shell.jwks import JwksClient
from bucketroute_dataplane.shell.limits import RouteLimits
from bucketroute_dataplane.shell.line_writer import LineWriter
from bucketroute_dataplane.shell.listener import QuietServer, listening_socket
from bucketroute_dataplane.shell.memory import collect_rarely, return_freed_buffers
from bucketroute_dataplane.shell.metrics import Metrics
from bucketroute_dataplane.shell.pool import UpstreamPools
from bucketroute_dataplane.shell.protocol import s3_protocol
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.serving_certificate import ServingCertificate
from bucketroute_dataplane.shell.sidecar import Sidecar
from bucketroute_dataplane.shell.snapshots import Commit, SnapshotStore
from bucketroute_dataplane.shell.stop_signals import on_stop_signals
from bucketroute_dataplane.shell.sts_client import StsClient
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_dataplane.shell.web_identity import WebIdentityExchanger
from bucketroute_snapshot import ClassSettings, NetworkScope, SnapshotSecrets

# What waits in the kernel while a burst of clients connects.
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75

_LOGGER = logging.getLogger("bucketroute.dataplane")


@asynccontextmanager
async def dataplane(
    settings: DataplaneSettings,
    store: SnapshotStore,
    *,
    observers: Sequence[CredentialObserver] = (),
    sidecar: Sidecar | None = None,
    log: LineWriter | None = None,
) -> AsyncIterator[Services]:
    """The shared services of a process, closed in reverse order at the end.

    `observers` hear of the backends' credentials. With `sidecar` all that is served is its pod.
    `log` takes the access log in place of stdout.
    """
    return_freed_buffers()
    collect_rarely()
    clock = SystemClock()
    watchdog = Watchdog()
    resolver = Resolver(denied=settings.denied_addresses)
    transports = partial(CheckedTransport, resolver=resolver)
    sts = StsClient(clock=clock, transport_factory=transports)
    jwks = JwksClient(clock=clock, transport_factory=transports)
    health = CredentialHealth()
    exchanger = WebIdentityExchanger(tokens=TokenFile(settings.token_file), sts=sts, clock=clock)
    buckets = BucketChecks(
        lambda target: ask_for_bucket(services, target),
        has_credentials=lambda backend: services.credentials.peek(backend) is not None,
        prefetch=lambda key: cache.prefetch(key),
        clock=perf_counter,
    )
    cache = CredentialCache(
        exchanger=exchanger,
        clock=clock,
        jitter=random.random,
        observers=[health, buckets, *observers],
    )
    issuer_keys = IssuerKeys(jwks, clock=clock)
    ring = SealingRing((), os.urandom)
    writer, pools = log or LineWriter(), UpstreamPools(watchdog, resolver)
    services = Services(
        settings=settings,
        store=store,
        watchdog=watchdog,
        pools=pools,
        credentials=BackendCredentials(
            cache=cache, health=health, buckets=buckets, is_sidecar=sidecar is not None
        ),
        metrics=Metrics(
            dropped_lines=lambda: writer.dropped_lines, moved_bytes=lambda: pools.moved_bytes
        ),
        clock=perf_counter,
        epoch=time,
        limits=RouteLimits(perf_counter, workers=settings.workers),
        ring=ring,
        issuer_keys=issuer_keys,
        trust=_trust(ClassSettings(name="", region=""), ring, issuer_keys),
        access_log=AccessLog(writer.write, now=time),
        buckets=buckets,
        sidecar=sidecar,
    )
    _follow_snapshots(services, sts, jwks)
    tasks = [asyncio.create_task(watchdog.run()), asyncio.create_task(buckets.run())]
    try:
        yield services
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        services.access_log.flush()
        await asyncio.to_thread(writer.close)
        services.pools.close()
        await services.credentials.close()
        await sts.close()
        await issuer_keys.close()


def _follow_snapshots(services: Services, sts: StsClient, jwks: JwksClient) -> None:
    def apply(index: RouteIndex, secrets: SnapshotSecrets) -> None:
        bundles = index.settings.ca_bundles
        sts.network_scope = jwks.network_scope = _network_scope(index)
        sts.update_ca_bundles(bundles)
        services.pools.set_ca_bundles({bundle.name: bundle.pem for bundle in bundles})
        services.credentials.update_secrets(secrets)
        services.ring = _ring(secrets, services.sidecar)
        settings = _trusted_settings(index.settings, services.sidecar)
        services.issuer_keys.update(settings)
        services.trust = _trust(settings, services.ring, services.issuer_keys)
        services.metrics.route_count = len(index.entries)
        services.metrics.snapshot_swaps += 1

    is_prefetching = services.settings.prefetch_credentials

    def prepare(index: RouteIndex) -> Generator[None, None, Commit]:
        routes = [entry.route for entry in index.entries]
        return services.credentials.prepare_routes(routes, prefetch=is_prefetching)

    services.store.subscribe(apply)
    services.store.prepare_by(prepare)
    if is_prefetching:
        services.store.prepare_by(lambda index: services.buckets.prepare(index.entries))


def _network_scope(index: RouteIndex) -> NetworkScope:
    """The class's, which each of its backends carries; where there is none, the narrowest."""
    backends = (entry.route.backend for entry in index.entries)
    return next((item.network_scope for item in backends if item), NetworkScope.PUBLIC)


def _ring(secrets: SnapshotSecrets, sidecar: Sidecar | None) -> SealingRing:
    """A gateway's pods share the operator's keys; what a sidecar seals is for itself alone."""
    keys = [b64decode(key.reveal()) for key in secrets.sealing_keys]
    return SealingRing(keys if sidecar is None else [sidecar.sealing_key], os.urandom)


def _trusted_settings(settings: ClassSettings, sidecar: Sidecar | None) -> ClassSettings:
    """Nobody logs in at a sidecar: whoever reaches it is the pod."""
    if sidecar is None:
        return settings
    return replace(settings, cluster_issuer=None, cluster_jwks=None, client_issuers=())


def _trust(settings: ClassSettings, ring: SealingRing, issuer_keys: IssuerKeys) -> Trust:
    return Trust(
        sessions=SessionSealer(ring, settings.name),
        issuers=trusted_issuers(settings),
        known_key=issuer_keys.known,
    )


class DataplaneServer:
    """The S3 listener, with `/-/…` on it. `start()`, then `stop()`, which drains."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        settings = services.settings
        self._socket = listening_socket(
            settings.listen_host, settings.listen_port, is_shared=settings.workers > 1
        )
        self._front = S3Front(services)
        self._certificate = certificate = _certificate(settings)
        self._following: asyncio.Task[None] | None = None
        self._server = QuietServer(
            uvicorn.Config(
                probes_app(is_ready=self.is_ready)
                if settings.admin_host
                else admin_app(services.metrics.exposed, is_ready=self.is_ready),
                http=s3_protocol(self._front, services.watchdog),  # type: ignore[arg-type]  # called
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=ceil(settings.drain_seconds),
                ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
            )
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the real one where 0 was asked for."""
        host, port, *_ = self._socket.getsockname()
        return str(host), int(port)

    async def start(self) -> None:
        """Begins to accept. Raises what uvicorn's start raises (a bad certificate, say)."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)
        if self._certificate is not None:
            self._following = asyncio.create_task(self._certificate.follow())

    async def stop(self) -> None:
        """Takes requests for `lame_duck_seconds` more, each as the last one of its connection; then
        refuses new connections and lets requests in flight finish for `drain_seconds`."""
        self._front.is_leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._services.settings.lame_duck_seconds):
                await self._is_hurried.wait()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self.hurry()
        if self._following is not None:
            self._following.cancel()
        if self._server.server_state.tasks:
            # uvicorn cancels what took too long, but does not wait for it to be logged.
            await asyncio.wait(self._server.server_state.tasks, timeout=1.0)

    def hurry(self) -> None:
        """Cuts off what is in flight; a `stop()` that waits for it need not any more."""
        self._is_hurried.set()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.force_exit = True

    def is_ready(self) -> bool:
        return self._services.store.index is not None and not self._front.is_leaving


async def drain(server: DataplaneServer, settings: DataplaneSettings) -> None:
    """Stops it for a signal; the next one ends at once."""
    _LOGGER.info("ending lame_duck=%g drain=%g", settings.lame_duck_seconds, settings.drain_seconds)
    on_stop_signals(server.hurry)
    await server.stop()


def _certificate(settings: DataplaneSettings) -> ServingCertificate | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return ServingCertificate(settings.tls_certificate, settings.tls_key)
