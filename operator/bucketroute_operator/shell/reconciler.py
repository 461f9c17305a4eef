"""The one loop: something changed → compile → publish → status, and the same again.

Nothing here acts on what an event said; events only say that it is time to look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, time

from bucketroute_operator.core.compilation import ClassResult, Compilation
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.delta import RouteKey
from bucketroute_operator.core.resources import ClassObject
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_operator.shell.channels import Channels
from bucketroute_operator.shell.class_rollout import Candidate, ClassRollout
from bucketroute_operator.shell.cluster_keys import ClusterKeys
from bucketroute_operator.shell.injector_settings import InjectorSettings
from bucketroute_operator.shell.kube_api import CLASSES, ROUTES, Json, Kube, KubeError, Resource
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.persistence import SnapshotArchive
from bucketroute_operator.shell.references import References
from bucketroute_operator.shell.sealing_keys import SealingKeys
from bucketroute_operator.shell.status_view import StatusInputs
from bucketroute_operator.shell.status_writer import StatusWriter
from bucketroute_operator.shell.store import Change, ObjectStore
from bucketroute_operator.shell.wake import Backoff, Debounce

log = logging.getLogger("bucketroute.operator.reconciler")

ALLOW_MASS_DELETE = "bucketroute.io/allow-mass-delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds. A burst of changes is one publication, a burst of acknowledgements one status."""

    quiet: float = 0.25
    latest: float = 2.0
    status_quiet: float = 0.05
    status_latest: float = 0.25
    retry: float = 2.0
    longest_retry: float = 30.0
    relist: float = 1.0
    pods: float = 2.0

    def backoff(self) -> Backoff:
        """For one kind of work at an API server that fails."""
        return Backoff(self.retry, most=self.longest_retry)


@dataclass(slots=True, kw_only=True)
class ReconcilerParts:
    """What the loop works with."""

    kube: Kube
    namespace: str
    store: ObjectStore
    channels: Channels
    references: References
    cluster_keys: ClusterKeys
    sealing_keys: SealingKeys
    injector_settings: InjectorSettings
    status_writer: StatusWriter
    metrics: Metrics
    pace: Pace = field(default_factory=Pace)
    clock: Callable[[], float] = monotonic


@dataclass(slots=True)
class _Retry:
    """Of what was refused the last time: the next attempt is at `at`."""

    backoff: Backoff
    at: float = float("-inf")


class Reconciler:
    def __init__(self, parts: ReconcilerParts) -> None:
        self._parts = parts
        self._rollouts: dict[str, ClassRollout] = {}
        self._compilation: Compilation | None = None
        pace = parts.pace
        self._content = Debounce(quiet=pace.quiet, latest=pace.latest)
        self._status = Debounce(quiet=pace.status_quiet, latest=pace.status_latest)
        self._relist_wanted = asyncio.Event()
        self._backoff = pace.backoff()
        # Of classes that could not be published: when to try again.
        self._retries: dict[str, _Retry] = {}

    def seen(self, resource: Resource, kind: str | None, raw: Json) -> None:
        """Takes a watch event. One without a type is of a listing, which tells of no deletions."""
        self._parts.metrics.watch_age.labels(resource.kind).set(time())
        self.changed(self._parts.store.event(resource, kind, raw))
        if kind is None:
            self._relist_wanted.set()

    def changed(self, change: Change) -> None:
        if change is Change.CONTENT:
            self._content.mark()
        elif change is Change.STATUS:
            self._status.mark()

    def said(self) -> None:
        """A data plane has said something, or a gateway pod has come or gone."""
        self._status.mark()
        if any(
            channel.current is not None and channel.required_epoch >= channel.current.version.epoch
            for channel in self._parts.channels
        ):
            self._content.mark()

    async def relist_wanted(self, seconds: float) -> None:
        """Returns when a LIST of our own is due, at the latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._relist_wanted.wait()
        except TimeoutError:
            return
        await asyncio.sleep(
            self._parts.pace.relist
        )  # a re-LIST of kopf's is an event for each object
        self._relist_wanted.clear()

    async def run(self) -> None:
        """Compiles and publishes for as long as the process leads.

        Raises: FencedError if another leader has published.
        """
        while True:
            try:
                await self._turn()
                wait = self._next_turn_seconds()
                self._backoff.succeeded()
            except KubeError as exc:
                log.warning("the API server failed us, trying again: %s", exc)
                self._content.mark()
                wait = None
                await asyncio.sleep(self._backoff.failed())
            await self._content.wait(wait)

    async def run_status(self) -> None:
        """Writes statuses whenever something was said."""
        again: float | None = None
        while True:
            await self._status.wait(again)
            if self._compilation is not None:
                inputs = StatusInputs(compilation=self._compilation, rollouts=self._rollouts)
                again = await self._parts.status_writer.write(inputs)

    async def run_keeping(self) -> None:
        """Stores what was published, at the pace that `keep` allows, and hears who falls silent.

        Raises: FencedError.
        """
        while True:
            await asyncio.sleep(1.0)
            for rollout in list(self._rollouts.values()):
                rollout.channel.note_silence()
                rollout.channel.forget_silent_pods()
                try:
                    await rollout.keep()
                except KubeError as exc:
                    log.warning("a snapshot was not stored: %s", exc)

    async def _turn(self) -> None:
        parts = self._parts
        await parts.references.refresh(parts.store, only_new=True)
        await self._restore_new_classes()
        began = parts.clock()
        compilation = await asyncio.to_thread(compile_snapshot, self._inputs())
        parts.metrics.compile_seconds.observe(parts.clock() - began)
        there = {result.metadata.name for result in compilation.classes}
        self._retries = {name: item for name, item in self._retries.items() if name in there}
        for result in compilation.classes:
            await self._try_to_roll(result)
        self._compilation = compilation
        parts.channels.is_leading = True
        self._status.mark()
        await parts.injector_settings.write(self._classes())

    def _classes(self) -> list[ClassObject]:
        stored = self._parts.store.of(CLASSES).values()
        return [item.parsed for item in stored if isinstance(item.parsed, ClassObject)]

    async def _restore_new_classes(self) -> None:
        for _, name in list(self._parts.store.of(CLASSES)):
            if name not in self._rollouts:
                channel = self._parts.channels.of(name)
                archive = SnapshotArchive(
                    self._parts.kube, namespace=self._parts.namespace, class_name=name
                )
                rollout = ClassRollout(channel, archive, self._parts.metrics)
                await rollout.restore(self._status_version)
                self._rollouts[name] = rollout

    async def _try_to_roll(self, result: ClassResult) -> None:
        """A class that cannot be published has its own pace, and the others' turns come all the
        same. Raises: FencedError."""
        name, clock = result.metadata.name, self._parts.clock
        retry = self._retries.get(name) or _Retry(self._parts.pace.backoff())
        if retry.at > clock():
            return
        try:
            await self._roll(result)
            self._retries.pop(name, None)
        except KubeError as exc:
            log.warning("class %s was not published, trying again: %s", name, exc)
            retry.at = clock() + retry.backoff.failed()
            self._retries[name] = retry

    async def _roll(self, result: ClassResult) -> None:
        name = result.metadata.name
        rollout = self._rollouts.get(name)
        if rollout is None:  # it came while another class was restored: its turn is the next one
            self._content.mark()
            return
        stored = self._parts.store.of(CLASSES).get(("", name))
        if result.snapshot is None or stored is None:
            return  # an invalid class changes nothing: what is out stays
        if isinstance(stored.parsed, ClassObject) and stored.parsed.spec is not None:
            rollout.channel.gateway = stored.parsed.spec.data_plane.service_account
            rollout.channel.is_open = True
        await rollout.roll(
            Candidate(
                snapshot=result.snapshot,
                secrets=result.secrets,
                explained=self._parts.store.deleted_uids(),
                allows_mass_removal=stored.annotations.get(ALLOW_MASS_DELETE) == "true",
            )
        )

    def _inputs(self) -> CompileInputs:
        parts = self._parts
        ring = parts.sealing_keys.ring
        names = [name for _, name in parts.store.of(CLASSES)]
        return CompileInputs(
            objects=parts.store.object_set(parts.references.objects()),
            aws_endpoints=aws_s3_endpoint,
            holders=tuple(
                holder for rollout in self._rollouts.values() for holder in rollout.holders()
            ),
            cluster_issuer=parts.cluster_keys.issuer,
            cluster_jwks=parts.cluster_keys.jwks,
            sealing_keys={} if ring is None else {name: ring.of_class(name) for name in names},
            former=self._compilation,
        )

    def _next_turn_seconds(self) -> float | None:
        """A hold or a reservation that ends is a change that no event tells of; so is a Secret that
        can be read again, or a class whose publication is to be tried again.
        """
        now = self._parts.clock()
        waits = [rollout.next_expiry_seconds() for rollout in self._rollouts.values()]
        waits += [max(retry.at - now, 0.0) for retry in self._retries.values()]
        if self._parts.references.may_be_missed:
            waits.append(self._parts.pace.retry)
        return min((wait for wait in waits if wait is not None), default=None)

    def _status_version(self, key: RouteKey) -> str:
        stored = self._parts.store.of(ROUTES).get(key)
        return "" if stored is None else str(stored.status.get("configVersion", ""))
