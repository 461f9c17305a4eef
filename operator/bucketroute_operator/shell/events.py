"""Kubernetes Events, on transitions of a route's conditions only, and a few a second at most."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from uuid import uuid4

from bucketroute_operator.core.conditions import ROUTE_CONDITIONS, Status, condition_of
from bucketroute_operator.core.resources import API_VERSION, CONTROLLER_NAME, Metadata
from bucketroute_operator.shell.kube_api import EVENTS, Json, Kube, KubeError

log = logging.getLogger("bucketroute.operator.events")

_PER_SECOND = 5.0
_BURST = 50.0
_REPEATED_AFTER_SECONDS = 300.0
_MAX_REMEMBERED = 10_000
_MAX_NOTE_LENGTH = 1_000


class Events:
    """Best effort: what is over the limit, or refused by the API server, is left out."""

    def __init__(
        self, kube: Kube, identity: str, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._kube = kube
        self._identity = identity
        self._clock = clock
        self._tokens = _BURST
        self._filled_at = clock()
        self._told: dict[tuple[str, str], float] = {}

    async def transitions(self, metadata: Metadata, before: Status, after: Status) -> None:
        """Tells of each condition whose status is another than before."""
        for condition in transitions(before, after):
            reason = str(condition["reason"])
            if self._may_tell(metadata.uid, reason):
                await self._create(metadata, condition, reason)

    def _may_tell(self, uid: str, reason: str) -> bool:
        now = self._clock()
        if now - self._told.get((uid, reason), float("-inf")) < _REPEATED_AFTER_SECONDS:
            return False
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _PER_SECOND)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        if len(self._told) >= _MAX_REMEMBERED:
            self._told.clear()
        self._told[uid, reason] = now
        return True

    async def _create(
        self, metadata: Metadata, condition: Mapping[str, object], reason: str
    ) -> None:
        namespace = metadata.namespace or "default"
        body: Json = {
            "metadata": {"namespace": namespace, "name": f"{metadata.name[:200]}.{uuid4().hex}"},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": "Normal" if condition["status"] == "True" else "Warning",
            "reason": reason,
            "action": "Reconcile",
            "note": str(condition["message"])[:_MAX_NOTE_LENGTH],
            "reportingController": CONTROLLER_NAME,
            "reportingInstance": self._identity,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": metadata.ref.kind,
                "namespace": metadata.namespace,
                "name": metadata.name,
                "uid": metadata.uid,
            },
        }
        try:
            await self._kube.create(EVENTS, body)
        except KubeError as exc:
            log.info("an Event was not taken: %s", exc)


def transitions(before: Status, after: Status) -> list[Mapping[str, object]]:
    """Conditions that turned False, or True where they were False; and the first Programmed.

    A new route that is fine is worth one Event, not one for each condition.
    """
    found = []
    for kind in ROUTE_CONDITIONS:
        was, is_now = condition_of(before, kind), condition_of(after, kind)
        if is_now is None:
            continue
        old = None if was is None else was.get("status")
        turned_false = is_now["status"] == "False" and old != "False"
        turned_true = is_now["status"] == "True" and (
            old == "False" or (kind == "Programmed" and old is None)
        )
        if (turned_false and is_now["reason"] != "Pending") or turned_true:
            found.append(is_now)
    return found
