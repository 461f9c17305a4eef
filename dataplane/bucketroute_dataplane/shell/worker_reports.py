"""How a route's credentials stand in a pod whose workers each get their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.credential_health import NOT_TRIED, HealthState
from bucketroute_snapshot import Route
from bucketroute_snapshot.update import BucketState

_WORST_FIRST = [state.value for state in (HealthState.FALSE, HealthState.UNKNOWN, HealthState.TRUE)]


class WorkerReports:
    """What each worker has told of each route, and the worst of it."""

    def __init__(self) -> None:
        self._told: dict[int, dict[str, RouteHealth]] = {}

    def heard(self, worker: int, entries: Iterable[RouteHealth]) -> None:
        """Of routes that a worker is silent about it has nothing new to tell."""
        self._told.setdefault(worker, {}).update({item.route: item for item in entries})

    def forget(self, worker: int) -> None:
        self._told.pop(worker, None)

    def retain(self, routes: set[str]) -> None:
        """Forget every route but these."""
        for worker, told in self._told.items():
            self._told[worker] = {name: item for name, item in told.items() if name in routes}

    def of(self, routes: Iterable[Route]) -> Iterator[RouteHealth]:
        """One for each, in their order; of a former generation where no worker has told of another
        yet."""
        for route in routes:
            nothing = RouteHealth(
                route=f"{route.namespace}/{route.name}",
                uid=route.uid,
                generation=route.generation,
                state=NOT_TRIED.state.value,
                code=NOT_TRIED.code,
                at=None,
            )
            told = (worker.get(nothing.route, nothing) for worker in self._told.values())
            yield _worst(nothing, told)


def _worst(nothing: RouteHealth, told: Iterable[RouteHealth]) -> RouteHealth:
    """A worker that has not tried yet, for it is new or has had no request, says `nothing`. Those
    that have the newest generation count, and of two that are as bad the later one."""
    tried = [item for item in told if item.code != NOT_TRIED.code and item.uid == nothing.uid]
    if not tried:
        return nothing
    newest = max(item.generation for item in tried)
    tried = [item for item in tried if item.generation == newest]
    worst = min(tried, key=lambda item: (_WORST_FIRST.index(item.state), -(item.at or 0.0)))
    return replace(
        worst, bucket=BucketState.of_all(BucketState(item.bucket) for item in tried).value
    )
