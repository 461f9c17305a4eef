"""The snapshot that is served now. One reference swap; a request keeps the one it began with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.shapes import Shapes
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_dataplane.shell.memory import no_collections
from bucketroute_dataplane.shell.slices import Slices, let_go
from bucketroute_snapshot import Snapshot, SnapshotSecrets

Listener = Callable[[RouteIndex, SnapshotSecrets], None]
# Part of the swap itself, so it is to be quick; what it returns is work for afterwards.
Commit = Callable[[], Iterable[None]]
Preparation = Callable[[RouteIndex], Generator[None, None, Commit]]


class SnapshotStore:
    """Holds the current `RouteIndex`; None until the first snapshot has come. `shapes` are of that
    index and of no other: both change in one step, so that nothing which was granted under one
    snapshot is remembered under the next.
    """

    def __init__(self) -> None:
        self.index: RouteIndex | None = None
        self.shapes = Shapes()
        self.snapshot: Snapshot | None = None
        self._listeners: list[Listener] = []
        self._preparations: list[Preparation] = []

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called before each swap with what is about to be served."""
        self._listeners.append(listener)

    def prepare_by(self, preparation: Preparation) -> None:
        """For what depends on every route: made ready in small steps, taken up with the swap."""
        self._preparations.append(preparation)

    async def serve(self, held: HeldConfig) -> None:
        """`swap` to a configuration; without secrets where nobody has sent any."""
        await self.swap(held.snapshot, held.secrets or SnapshotSecrets())

    async def swap(self, snapshot: Snapshot, secrets: SnapshotSecrets) -> None:
        """Serves a new snapshot once it is prepared, which takes turns with requests.

        One swap at a time. Raises whatever a listener raises, and then nothing has changed.
        """
        slices = Slices()
        with no_collections():
            for _ in self._steps(snapshot, secrets):
                await slices.pause()

    def _steps(self, snapshot: Snapshot, secrets: SnapshotSecrets) -> Iterable[None]:
        index = yield from RouteIndex.in_steps(snapshot, secrets, self.index)
        commits = []
        for prepare in self._preparations:
            commits.append((yield from prepare(index)))
        # From here to the swap in one piece.
        for listener in self._listeners:
            listener(index, secrets)
        followups = [commit() for commit in commits]
        former = [] if self.index is None else list(self.index.entries)
        self.index, self.snapshot, self.shapes = index, snapshot, Shapes()
        for followup in followups:
            yield from followup
        yield from let_go(former)
