"""One class from compiled to published: guard, version, fence, publication, and keeping it."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic, time

from bucketroute_operator.core.conflicts import NameHolder, holders_of
from bucketroute_operator.core.delta import Rendering, RouteKey, full_update, older_update, render
from bucketroute_operator.core.rollout import (
    HOLD_SECONDS,
    is_mass_removal,
    lost_routes,
    route_versions,
)
from bucketroute_operator.shell.channel import ClassChannel
from bucketroute_operator.shell.kube_api import KubeError
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.persistence import Reservation, Restored, SnapshotArchive
from bucketroute_snapshot import OLDEST_SCHEMA_VERSION, Snapshot, SnapshotSecrets
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion

log = logging.getLogger("bucketroute.operator.rollout")

# How long a deleted route's name waits for its own namespace, as when a release is reinstalled.
COOL_DOWN_SECONDS = 600.0
# One namespace that makes and deletes routes must not push out what is kept for the others.
MAX_RESERVATIONS_OF_NAMESPACE = 100
MAX_RESERVATIONS = 4_000
# A wait that is over by now is one that the last turn came too early for.
SHORTEST_WAIT_SECONDS = 1.0
KEPT_EVERY_SECONDS = 10.0
_COMPRESSION_LEVEL = 6
_REMEMBERED_TIMES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What compiling made of a class. `explained` are the UIDs that somebody deleted."""

    snapshot: Snapshot
    secrets: SnapshotSecrets
    explained: Collection[str]
    allows_mass_removal: bool


class ClassRollout:
    """`clock` is monotonic; `now` is epoch seconds, which reservations are kept in."""

    def __init__(
        self,
        channel: ClassChannel,
        archive: SnapshotArchive,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], float] = time,
    ) -> None:
        self.channel = channel
        self.versions: Mapping[RouteKey, ConfigVersion] = {}
        self.held_until: float | None = None
        self.failed_since: float | None = None
        self._archive = archive
        self._metrics = metrics
        self._clock = clock
        self._now = now
        self._version: ConfigVersion | None = None
        self._is_first = True
        self._reservations: tuple[Reservation, ...] = ()
        self._kept: ConfigVersion | None = None
        self._booted: ConfigVersion | None = None
        self._kept_at = float("-inf")
        self._looked_at = float("-inf")
        self._woken_for: float | None = None
        # Publishing and keeping both write the pointer; its order is that of the versions.
        self._pointer = asyncio.Lock()
        self._times: deque[tuple[ConfigVersion, float]] = deque(maxlen=_REMEMBERED_TIMES)

    async def restore(self, version_of: Callable[[RouteKey], str]) -> None:
        """Takes up what the former leader left. `version_of` is what a route's status says.

        Raises: KubeError.
        """
        restored = await self._archive.restore()
        if restored is None:
            return
        self._version = restored.version
        self._reservations = restored.reservations
        self._kept = restored.content_version
        if restored.content is not None and restored.content_version is not None:
            rendering = await asyncio.to_thread(render, restored.content)
            self.channel.restore(restored.content_version, rendering)
            self.versions = _restored_versions(restored, rendering, version_of)

    def holders(self) -> tuple[NameHolder, ...]:
        """Who had which name, for the next compilation."""
        current = self.channel.current
        self._looked_at = self._now()
        held = () if current is None else holders_of(current.rendering.snapshot)
        taken = {holder.bucket for holder in held if holder.is_exported}
        reserved = tuple(
            NameHolder(
                class_name=self.channel.name,
                bucket=item.bucket,
                namespace=item.namespace,
                uid=item.uid,
                is_exported=item.is_exported,
                is_reserved=True,
            )
            for item in self._reservations
            if item.expires > self._looked_at and item.bucket not in taken
        )
        return held + reserved

    def next_expiry_seconds(self) -> float | None:
        """When the next reservation ends or a hold is over, from now: of those that counted when
        the turn began."""
        counting = [item for item in self._reservations if item.expires > self._looked_at]
        waits = [item.expires - self._now() for item in counting]
        if self.held_until is not None and self.held_until != self._woken_for:
            waits.append(self.held_until - self._clock())
            if waits[-1] <= 0:
                self._woken_for = self.held_until  # once: an invalid class is not rolled again
        return max(min(waits), SHORTEST_WAIT_SECONDS) if waits else None

    def published_at(self, version: ConfigVersion) -> float:
        """When it was published, by the clock; minus infinity for what is long ago."""
        return next((at for known, at in self._times if known == version), float("-inf"))

    async def roll(self, candidate: Candidate) -> bool:
        """Publishes the candidate unless it is what is out, or is held. Returns whether it did.

        Raises: FencedError; KubeError, and `failed_since` is set until it succeeds again.
        """
        try:
            is_new = await self._roll(candidate)
        except KubeError:
            if self.failed_since is None:
                self.failed_since = self._clock()
            raise
        self.failed_since = None
        return is_new

    async def _roll(self, candidate: Candidate) -> bool:
        began = self._clock()
        current = self.channel.current
        previous = None if current is None else current.rendering
        rendering = await asyncio.to_thread(render, candidate.snapshot, previous)
        is_new = (
            self._is_first
            or current is None
            or rendering.digest != current.rendering.digest
            or candidate.secrets != current.secrets
            or self.channel.required_epoch >= current.version.epoch
        )
        if self._is_held(candidate, previous) or not is_new:
            return False
        async with self._pointer:
            version = self._next_version()
            reservations = self._reserved(previous, rendering)
            await self._archive.advance(version, rendering.digest, reservations)
            self._version, self._reservations, self._is_first = version, reservations, False
        changed = self.channel.publish(version, rendering, candidate.secrets)
        self.versions = route_versions(self.versions, changed, rendering, version)
        self._times.append((version, self._clock()))
        self._measure(rendering, began)
        log.info(
            "published class=%s version=%s routes=%d changed=%d",
            self.channel.name, version, len(rendering.lines), len(changed),
        )  # fmt: skip
        return True

    async def keep(self) -> None:
        """Stores what is out, and what pods boot from, at most every ten seconds.

        Raises: FencedError; KubeError.
        """
        current = self.channel.current
        if current is None or self._is_first or self._clock() - self._kept_at < KEPT_EVERY_SECONDS:
            return
        needs_boot = self._booted != current.version and self._is_good(current.version)
        if self._kept == current.version and not needs_boot:
            return
        self._kept_at = self._clock()
        update = full_update(current.version, current.rendering, NO_SECRETS)
        # Pods of the schema before boot from it, too, and an operator that is set back reads it.
        update = await asyncio.to_thread(older_update, update, OLDEST_SCHEMA_VERSION)
        body = await asyncio.to_thread(gzip.compress, update, _COMPRESSION_LEVEL, mtime=0)
        if self._kept != current.version:
            await self._archive.store(body, current.rendering.digest)
            await self._point_at_content()
            self._kept = current.version
        if needs_boot:
            await self._archive.write_boot(body)
            self._booted = current.version

    async def _point_at_content(self) -> None:
        """By then a newer version may be out; the pointer names that one and the older content."""
        async with self._pointer:
            latest = self.channel.current
            assert latest is not None
            assert self._version is not None
            digest = latest.rendering.digest
            await self._archive.advance(self._version, digest, self._reservations)

    def _is_good(self, version: ConfigVersion) -> bool:
        """New pods boot from what one pod runs; where there is none, from what is out."""
        states = list(self.channel.states())
        if any(state.rejected is not None and state.rejected >= version for state in states):
            return False
        return not states or any(
            state.applied is not None and state.applied >= version for state in states
        )

    def _is_held(self, candidate: Candidate, previous: Rendering | None) -> bool:
        before = None if previous is None else previous.snapshot
        lost = lost_routes(before, candidate.snapshot, candidate.explained)
        is_suspect = is_mass_removal(len(lost), before) and not candidate.allows_mass_removal
        if is_suspect and self.held_until is None:
            self.held_until = self._clock() + HOLD_SECONDS
            log.warning("mass removal held class=%s routes=%d", self.channel.name, len(lost))
        is_held = is_suspect and self.held_until is not None and self._clock() < self.held_until
        if not is_held:
            self.held_until = None
        self._metrics.publish_held.labels(self.channel.name).set(is_held)
        return is_held

    def _next_version(self) -> ConfigVersion:
        """A new epoch for a new leader, and beyond any that a pod has seen."""
        known = self._version or ConfigVersion(epoch=0, counter=0)
        epoch = max(known.epoch, self.channel.required_epoch)
        if self._is_first or self.channel.required_epoch >= known.epoch:
            return ConfigVersion(epoch=epoch + 1, counter=1)
        return ConfigVersion(epoch=known.epoch, counter=known.counter + 1)

    def _reserved(
        self, previous: Rendering | None, following: Rendering
    ) -> tuple[Reservation, ...]:
        expires = self._now() + COOL_DOWN_SECONDS
        kept = {route.uid for route in following.snapshot.routes}
        exported = {route.bucket for route in following.snapshot.routes if route.exported}
        gone = [
            Reservation(
                bucket=route.bucket,
                namespace=route.namespace,
                uid=route.uid,
                is_exported=True,
                expires=expires,
            )
            for route in (() if previous is None else previous.snapshot.routes)
            if route.exported and route.uid not in kept
        ]
        running = [item for item in self._reservations if item.expires > self._now()]
        waiting = [item for item in (*running, *gone) if item.bucket not in exported]
        return _newest_of_each(waiting)

    def _measure(self, rendering: Rendering, began: float) -> None:
        name = self.channel.name
        self._metrics.publications.labels(name).inc()
        self._metrics.snapshot_routes.labels(name).set(len(rendering.lines))
        self._metrics.snapshot_bytes.labels(name).set(sum(map(len, rendering.lines.values())))
        self._metrics.publish_seconds.labels(name).observe(self._clock() - began)


def _newest_of_each(waiting: list[Reservation]) -> tuple[Reservation, ...]:
    """No namespace has more than its share; in their order."""
    counts: Counter[str] = Counter()
    kept = []
    for item in reversed(waiting):
        counts[item.namespace] += 1
        if counts[item.namespace] <= MAX_RESERVATIONS_OF_NAMESPACE:
            kept.append(item)
    return tuple(reversed(kept[:MAX_RESERVATIONS]))


def _restored_versions(
    restored: Restored, rendering: Rendering, version_of: Callable[[RouteKey], str]
) -> dict[RouteKey, ConfigVersion]:
    assert restored.content_version is not None
    versions = {}
    for key in rendering.lines:
        try:
            said = ConfigVersion.parse(version_of(key))
        except ValueError:
            said = restored.content_version
        versions[key] = min(said, restored.content_version)
    return versions
