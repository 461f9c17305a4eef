"""The snapshot that is served now. One reference swap; a request keeps the one it began with."""

from __future__ import annotations

import gc
from collections.abc import Callable

from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_snapshot import Snapshot, SnapshotSecrets

Listener = Callable[[RouteIndex, SnapshotSecrets], None]


class SnapshotStore:
    """Holds the current `RouteIndex`; None until the first snapshot has come."""

    def __init__(self) -> None:
        self.index: RouteIndex | None = None
        self.snapshot: Snapshot | None = None
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called before each swap with what is about to be served."""
        self._listeners.append(listener)

    def swap(self, snapshot: Snapshot, secrets: SnapshotSecrets) -> None:
        """Serves a new snapshot from the next request on."""
        index = RouteIndex(snapshot, secrets)
        for listener in self._listeners:
            listener(index, secrets)
        self.index, self.snapshot = index, snapshot
        # A snapshot lives long and has no cycles: keep the collector from walking it each time.
        gc.freeze()
