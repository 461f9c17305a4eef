"""One replica of the operator: what every replica does, and what the one that leads does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from time import monotonic, time
from typing import Protocol

from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.callers import Callers
from bucketroute_operator.shell.certificate_store import CertificateStore
from bucketroute_operator.shell.channels import Channels
from bucketroute_operator.shell.cluster_keys import ClusterKeys
from bucketroute_operator.shell.config_server import ConfigServer
from bucketroute_operator.shell.default_class import keep_ensuring, refresh_endpoint
from bucketroute_operator.shell.events import Events
from bucketroute_operator.shell.gateway_pods import GatewayPods
from bucketroute_operator.shell.handlers import Inbox, Watch
from bucketroute_operator.shell.injector_settings import InjectorSettings
from bucketroute_operator.shell.kube_api import WATCHED, Kube, KubeError, Resource
from bucketroute_operator.shell.leader import LeaderElection
from bucketroute_operator.shell.listeners import admin_app, listening
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.reconciler import Pace, Reconciler, ReconcilerParts
from bucketroute_operator.shell.references import References
from bucketroute_operator.shell.sealing_keys import SealingKeys
from bucketroute_operator.shell.status_view import StatusView
from bucketroute_operator.shell.status_writer import StatusWriter
from bucketroute_operator.shell.store import Change, ObjectStore, is_older_version

log = logging.getLogger("bucketroute.operator")

LEASE_NAME = "bucketroute-operator"
POLL_EVERY_SECONDS = 60.0
KEYS_AT_MOST_EVERY_SECONDS = 5.0
# How often a new leader tries to read all that it needs before it publishes without.
FIRST_READS = 15
# kubelet restarts a replica that has not seen the cluster for so long.
STALE_AFTER_SECONDS = 300.0


class Watching(Protocol):
    """What `handlers.Watch` is; `failed` is set by `start`."""

    failed: asyncio.Future[None] | None

    def start(self) -> None: ...

    async def stop(self) -> None: ...


WatchFactory = Callable[[Iterable[Resource], Inbox], Watching]


class WatchEndedError(Exception):
    """kopf has given up; a new process starts from a LIST."""


class Operator:
    """`run` until it is cancelled.

    Raises from `run`: LeadershipLostError, FencedError, WatchEndedError, in a group: in each case
    another process, perhaps the next one here, takes over.
    """

    def __init__(
        self,
        kube: Kube,
        settings: OperatorSettings,
        metrics: Metrics,
        *,
        watch: WatchFactory = Watch,
        pace: Pace | None = None,
    ) -> None:
        self.config_address: tuple[str, int] | None = None
        self._watch = watch
        self._pace = pace or Pace()
        self._kube = kube
        self._settings = settings
        self._metrics = metrics
        self._store = ObjectStore()
        self._channels = Channels(self._said)
        self._certificates = CertificateStore(kube, settings)
        self._references = References(kube)
        self._cluster_keys = ClusterKeys(kube)
        self._sealing_keys = SealingKeys(kube, settings.namespace)
        self._pods = GatewayPods(kube, settings.namespace)
        self._reconciler = Reconciler(
            ReconcilerParts(
                kube=kube,
                namespace=settings.namespace,
                store=self._store,
                channels=self._channels,
                references=self._references,
                cluster_keys=self._cluster_keys,
                sealing_keys=self._sealing_keys,
                injector_settings=InjectorSettings(kube, settings.namespace),
                status_writer=StatusWriter(
                    kube,
                    self._store,
                    StatusView(self._store, self._pods),
                    Events(kube, settings.identity),
                    metrics,
                    backoff=self._pace.backoff(),
                ),
                metrics=metrics,
                pace=self._pace,
            )
        )
        self._keys_wanted = asyncio.Event()
        self._listed_at: float | None = None
        self._is_serving = False

    async def run(self) -> None:
        """Serves, waits to lead, leads."""
        settings = self._settings
        server = ConfigServer(
            self._channels,
            Callers(self._kube),
            self._metrics,
            on_fresh=self._keys_wanted.set,
        )
        admin = admin_app(self._metrics, is_ready=lambda: self._is_serving, is_live=self._is_live)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                listening(admin, settings.admin_host, settings.admin_port)
            )
            await self._first_certificate()
            host, port = await stack.enter_async_context(
                listening(
                    server.app,
                    settings.config_host,
                    settings.config_port,
                    context=self._certificates.context,
                )
            )
            log.info("config server listens host=%s port=%d", host, port)
            self.config_address = (host, port)
            self._is_serving = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_certificate())
                group.create_task(self._lead())

    async def _lead(self) -> None:
        election = LeaderElection(
            self._kube,
            namespace=self._settings.namespace,
            name=LEASE_NAME,
            identity=self._settings.identity,
        )
        await election.acquire()
        self._metrics.leader.set(1)
        watch = self._watch(WATCHED, self._reconciler.seen)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(election.hold())
                if self._settings.default_class:
                    group.create_task(
                        keep_ensuring(self._kube, self._settings, retry_seconds=self._pace.retry)
                    )
                await self._seed()
                watch.start()
                group.create_task(_until_it_ends(watch))
                group.create_task(self._reconciler.run())
                group.create_task(self._reconciler.run_status())
                group.create_task(self._reconciler.run_keeping())
                group.create_task(self._keep_listing())
                group.create_task(self._keep_polling())
                group.create_task(self._keep_keys())
                group.create_task(self._keep_counting_pods())
        finally:
            self._channels.stop_leading()
            self._metrics.leader.set(0)
            await watch.stop()
            await election.release()

    async def _seed(self) -> None:
        """Nothing is compiled before everything was listed: a half-read cache would unpublish."""
        while True:
            try:
                await self._list()
                await self._sealing_keys.refresh()
                await self._pods.refresh()
                break
            except KubeError as exc:
                log.warning("the cluster could not be read, trying again: %s", exc)
                await asyncio.sleep(self._pace.retry)
        await self._read_first()

    async def _read_first(self) -> None:
        """The keys of tokens, and what objects refer to. What was published without them would take
        logins and backends away; but what cannot be read for long must not hold up all the rest.
        """
        for _ in range(FIRST_READS):
            await self._cluster_keys.refresh()
            await self._references.refresh(self._store, only_new=True)
            if not (self._cluster_keys.may_be_missed or self._references.may_be_missed):
                return
            await asyncio.sleep(self._pace.retry)

    async def _list(self) -> None:
        for resource in WATCHED:
            is_first = self._listed_at is None
            began, newest = self._store.begin_listing(), self._store.newest(resource)
            listing = await self._kube.listing(resource)
            if is_older_version(listing.resource_version, newest):
                # As from a replica that lags, or after a restore. If it lasts, the liveness probe
                # fails, and a new process takes the cluster as it finds it.
                log.warning("a LIST is from the past kind=%s", resource.kind)
                raise KubeError(0, f"{resource.plural} are listed as they were in the past")
            change, count = self._store.listed(resource, listing.items, began)
            self._reconciler.changed(change)
            if count and not is_first:
                self._metrics.relist_differences.labels(resource.kind).inc(count)
                log.info("a LIST corrected kind=%s objects=%d", resource.kind, count)
        self._listed_at = monotonic()
        self._metrics.list_age.set(time())

    async def _keep_listing(self) -> None:
        """The age of the last LIST is a metric and a probe."""
        wait, backoff = self._settings.list_seconds, self._pace.backoff()
        while True:
            await self._reconciler.relist_wanted(wait)
            try:
                await self._list()
                wait = self._settings.list_seconds
                backoff.succeeded()
            except KubeError as exc:
                log.warning("a LIST failed, trying again: %s", exc)
                wait = backoff.failed()

    async def _keep_polling(self) -> None:
        """What is not watched: referred Secrets and ConfigMaps, our own keys, our own Service."""
        while True:
            await asyncio.sleep(POLL_EVERY_SECONDS)
            changed = await self._references.refresh(self._store, only_new=False)
            try:
                changed = await self._sealing_keys.refresh() or changed
            except KubeError as exc:
                log.warning("the sealing keys could not be refreshed: %s", exc)
            if self._settings.default_class:
                await refresh_endpoint(self._kube, self._settings)
            if changed:
                self._reconciler.changed(Change.CONTENT)

    async def _keep_keys(self) -> None:
        """By the minute, and when a gateway met a token whose key it does not know."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY_SECONDS):
                    await self._keys_wanted.wait()
            if await self._cluster_keys.refresh():
                self._reconciler.changed(Change.CONTENT)
            await asyncio.sleep(KEYS_AT_MOST_EVERY_SECONDS)
            self._keys_wanted.clear()

    async def _keep_counting_pods(self) -> None:
        while True:
            await asyncio.sleep(self._pace.pods)
            try:
                if await self._pods.refresh():
                    self._said()
            except KubeError as exc:
                log.warning("the gateway's EndpointSlices could not be read: %s", exc)

    async def _first_certificate(self) -> None:
        while True:
            try:
                await self._certificates.refresh()
                break
            except (KubeError, OSError, ValueError) as exc:
                log.warning("no certificate to serve with, trying again: %s", exc)
                await asyncio.sleep(self._pace.retry)
        self._metrics.certificate_expiry.set(self._certificates.expires_at())

    async def _keep_certificate(self) -> None:
        while True:
            await asyncio.sleep(POLL_EVERY_SECONDS)
            await self._first_certificate()

    def _said(self) -> None:
        self._reconciler.said()

    def _is_live(self) -> bool:
        if self._listed_at is None:
            return True
        return monotonic() - self._listed_at < STALE_AFTER_SECONDS


async def _until_it_ends(watch: Watching) -> None:
    assert watch.failed is not None
    await watch.failed
    raise WatchEndedError("the watch has ended")
