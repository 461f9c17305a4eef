"""One active operator: a Lease, as client-go elects.

The Lease alone is no fence: a process that was paused may believe it leads for a moment longer. The
compare-and-swap on the pointer ConfigMap (persistence.py) is what stops such a one from publishing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from bucketroute_operator.shell.kube_api import (
    LEASES,
    ConflictError,
    Json,
    Kube,
    KubeError,
    NotFoundError,
)

log = logging.getLogger("bucketroute.operator.leader")


class LeadershipLostError(Exception):
    """Another process may lead by now: this one has to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds; client-go's own defaults. The holder gives up before others may take over."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class LeaderElection:
    """`acquire`, then `hold` for as long as one leads, and `release` at the end."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times or LeaseTimes()
        self._clock = clock
        # What was seen of another's Lease and when by our clock: its own times are by its clock.
        self._seen: tuple[object, float] | None = None
        self._lease: Json | None = None

    async def acquire(self) -> None:
        """Waits until this process leads."""
        while True:
            if await self._try_acquire():
                break
            await asyncio.sleep(self._times.retry)
        log.info("leading identity=%s", self._identity)

    async def hold(self) -> None:
        """Renews until it fails.

        Raises: LeadershipLostError.
        """
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._times.retry)
            try:
                left = self._times.renew_deadline - (self._clock() - renewed)
                async with asyncio.timeout(max(left, 0)):
                    await self._renew()
                renewed = self._clock()
            except ConflictError as exc:
                raise LeadershipLostError("the Lease was taken over") from exc
            except (KubeError, TimeoutError) as exc:
                log.warning("the Lease was not renewed: %s", exc)
                if self._clock() - renewed >= self._times.renew_deadline:
                    raise LeadershipLostError("the Lease could not be renewed in time") from exc

    async def release(self) -> None:
        """Lets another replica lead at once rather than when the Lease has run out."""
        if self._lease is None:
            return
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        with contextlib.suppress(KubeError, TimeoutError):
            async with asyncio.timeout(self._times.retry):
                await self._kube.replace(LEASES, {**self._lease, "spec": spec})
        self._lease = None

    async def _try_acquire(self) -> bool:
        try:
            lease = await self._kube.get(LEASES, self._namespace, self._name)
        except NotFoundError:
            return await self._create()
        except KubeError as exc:
            log.warning("the Lease could not be read: %s", exc)
            return False
        if not self._is_free(lease):
            return False
        transitions = int(lease["spec"].get("leaseTransitions") or 0) + 1
        try:
            self._lease = await self._kube.replace(
                LEASES, {**lease, "spec": self._spec(transitions, acquired=_now())}
            )
        except KubeError as exc:
            log.info("the Lease was not taken: %s", exc)
            return False
        return True

    async def _create(self) -> bool:
        metadata = {"namespace": self._namespace, "name": self._name}
        body = {"metadata": metadata, "spec": self._spec(0, acquired=_now())}
        try:
            self._lease = await self._kube.create(LEASES, body)
        except KubeError as exc:
            log.info("the Lease was not created: %s", exc)
            return False
        return True

    async def _renew(self) -> None:
        assert self._lease is not None
        spec = {**self._lease["spec"], "renewTime": _now()}
        try:
            self._lease = await self._kube.replace(LEASES, {**self._lease, "spec": spec})
        except ConflictError:
            # A write of ours whose answer was lost moves the Lease as another's would.
            lease = await self._kube.get(LEASES, self._namespace, self._name)
            if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                raise
            self._lease = lease

    def _is_free(self, lease: Json) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        now, version = self._clock(), lease["metadata"].get("resourceVersion")
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
            return False
        duration = float(spec.get("leaseDurationSeconds") or self._times.duration)
        return now - self._seen[1] > duration

    def _spec(self, transitions: int, *, acquired: str) -> Json:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.duration),
            "acquireTime": acquired,
            "renewTime": acquired,
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
