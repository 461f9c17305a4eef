"""What a class's status says of each gateway pod: how far it is, and whether it talks to us.

Counts alone do not tell somebody who looks for the one pod of forty that is behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bucketroute_operator.core.rollout import PodState
from bucketroute_snapshot.update import ConfigVersion

# Beyond it a status would grow with the fleet; the worst come first, and the counts tell of all.
MAX_PODS = 32


class SyncState(Enum):
    """Worst first: what somebody who looks at the list looks for."""

    REJECTING = "Rejecting"
    OFFLINE = "Offline"
    BEHIND = "Behind"
    SYNCED = "Synced"


_WORST_FIRST = tuple(SyncState)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod of the gateway's Service. `said` is None if it was not heard, or not yet;
    `is_connected` tells whether it polls, or may be about to."""

    name: str
    is_ready: bool
    is_connected: bool
    said: PodState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlane:
    """One line of the list; `version` is empty where nothing is known."""

    name: str
    state: SyncState
    is_ready: bool
    version: str = ""
    rejected_routes: int = 0

    def entry(self) -> dict[str, object]:
        entry: dict[str, object] = {
            "name": self.name,
            "state": self.state.value,
            "ready": self.is_ready,
        }
        if self.version:
            entry["configVersion"] = self.version
        if self.rejected_routes:
            entry["rejectedRoutes"] = self.rejected_routes
        return entry


def data_planes(pods: Iterable[PodSeen], current: ConfigVersion | None) -> tuple[DataPlane, ...]:
    """The worst first, and at most MAX_PODS of them."""
    found = [
        DataPlane(
            name=pod.name,
            state=_state(pod, current),
            is_ready=pod.is_ready,
            version="" if pod.said is None or pod.said.applied is None else str(pod.said.applied),
            rejected_routes=0 if pod.said is None else len(pod.said.rejected_routes),
        )
        for pod in pods
    ]
    found.sort(key=lambda item: (_WORST_FIRST.index(item.state), item.is_ready, item.name))
    return tuple(found[:MAX_PODS])


def _state(pod: PodSeen, current: ConfigVersion | None) -> SyncState:
    if not pod.is_connected:
        return SyncState.OFFLINE
    if pod.said is None or current is None:
        return SyncState.BEHIND
    if pod.said.rejected is not None and pod.said.rejected >= current:
        return SyncState.REJECTING
    if pod.said.applied is None or pod.said.applied < current:
        return SyncState.BEHIND
    return SyncState.SYNCED
