"""Writes statuses where they differ from what is there; level-triggered, like all the rest."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from bucketroute_operator.core.compilation import ClassResult
from bucketroute_operator.core.conditions import (
    ClassOutcome,
    RouteOutcome,
    Status,
    backend_status,
    class_status,
    condition_of,
    is_same,
    route_status,
)
from bucketroute_operator.core.resources import Metadata
from bucketroute_operator.shell.events import Events
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    ROUTES,
    Kube,
    KubeError,
    NotFoundError,
    Resource,
)
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.status_view import ClassView, StatusInputs, StatusView, counted
from bucketroute_operator.shell.store import ObjectStore
from bucketroute_operator.shell.wake import Backoff

log = logging.getLogger("bucketroute.operator.status")

WRITES_AT_ONCE = 20
ROUTES_AT_ONCE = 200  # a few milliseconds
CLASS_EVERY_SECONDS = 5.0

Write = tuple[Resource, Metadata, dict[str, object]]


@dataclass(slots=True, kw_only=True)
class _Pass:
    """What one pass comes to: the statuses to write, and when to look again."""

    now: str
    views: Mapping[str, ClassView]
    writes: list[Write] = field(default_factory=list)
    look_again_seconds: float | None = None

    def again_in(self, seconds: float) -> None:
        known = self.look_again_seconds
        self.look_again_seconds = seconds if known is None else min(known, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """`before` is the very object that was compared with; `counted` is for the metric of routes."""

    outcome: RouteOutcome
    before: Status
    status: dict[str, object]
    is_same: bool
    counted: tuple[tuple[str, str, str], ...]


class StatusWriter:
    def __init__(
        self,
        kube: Kube,
        store: ObjectStore,
        view: StatusView,
        events: Events,
        metrics: Metrics,
        *,
        backoff: Backoff,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._kube = kube
        self._store = store
        self._view = view
        self._events = events
        self._metrics = metrics
        self._backoff = backoff
        self._clock = clock
        # What came of each route last time, by UID: most are as they were, and comparing is dear.
        self._compared: dict[str, _Compared] = {}
        self._class_written: dict[str, float] = {}
        self._converged: dict[str, str] = {}

    async def write(self, inputs: StatusInputs) -> float | None:
        """One pass. Returns in how many seconds the next is due by itself, if any."""
        todo = _Pass(
            now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            views={name: self._view.of_class(item) for name, item in inputs.rollouts.items()},
        )
        programmed_counts = await self._routes(inputs, todo)
        for backend in inputs.compilation.backends:
            before = self._store.status(BACKENDS, backend.metadata.ref)
            self._add(todo, BACKENDS, backend.metadata, backend_status(backend, before, todo.now))
        for result in inputs.compilation.classes:
            self._class(result, programmed_counts[result.metadata.name], todo)
        # What is broken goes first: at 100 writes a second a cold start takes a while.
        todo.writes.sort(key=lambda item: _is_ready(item[2]))
        are_written = await self._write_all(todo.writes)
        if any(are_written):  # refusals here and there are not to add up
            self._backoff.succeeded()
        if not all(are_written):
            todo.again_in(self._backoff.failed())
        return todo.look_again_seconds

    async def _routes(self, inputs: StatusInputs, todo: _Pass) -> Counter[str]:
        """Returns the number of programmed routes of each class."""
        programmed_counts: Counter[str] = Counter()
        counts: Counter[tuple[str, str, str]] = Counter()
        former, self._compared = self._compared, {}
        for number, result in enumerate(inputs.compilation.routes):
            if number % ROUTES_AT_ONCE == 0:
                await asyncio.sleep(0)
            view = todo.views.get(result.class_name)
            before = self._store.status(ROUTES, result.metadata.ref)
            outcome = self._view.route(result, view, before)
            compared = former.get(result.metadata.uid)
            if compared is None or compared.before is not before or compared.outcome != outcome:
                compared = _compare(outcome, before, todo.now)
            self._compared[result.metadata.uid] = compared
            counts.update(compared.counted)
            programmed_counts[result.class_name] += outcome.programmed.status == "True"
            patience = self._view.patience_seconds(outcome, view)
            if patience is not None:
                todo.again_in(patience)
            if not compared.is_same:
                wait = self._view.settling_seconds(outcome, view)
                if wait > 0:
                    todo.again_in(wait)
                else:
                    todo.writes.append((ROUTES, result.metadata, compared.status))
        self._metrics.routes.clear()
        for labels, count in counts.items():
            self._metrics.routes.labels(*labels).set(count)
        return programmed_counts

    def _class(self, result: ClassResult, programmed_count: int, todo: _Pass) -> None:
        name = result.metadata.name
        view = todo.views.get(name)
        outcome = self._view.class_outcome(result, view, programmed_count)
        self._measure(name, outcome, view)
        before = self._store.status(CLASSES, result.metadata.ref)
        status = class_status(outcome, before, todo.now)
        if is_same(status, before):
            return
        # Versions and counts change with every publication: no reason to write each of them down.
        wait = self._class_written.get(name, float("-inf")) + CLASS_EVERY_SECONDS - self._clock()
        if wait > 0:
            todo.again_in(wait)
            return
        self._class_written[name] = self._clock()
        self._add(todo, CLASSES, result.metadata, status)

    def _measure(self, name: str, outcome: ClassOutcome, view: ClassView | None) -> None:
        synced, rejecting = outcome.synced_count, outcome.rejecting_count
        behind = outcome.connected_count - synced - rejecting
        for state, count in (("synced", synced), ("rejecting", rejecting), ("behind", behind)):
            self._metrics.dataplanes.labels(name, state).set(count)
        pods = () if view is None else view.fleet.heard
        rejected = {route for pod in pods for route in pod.rejected_routes}
        self._metrics.routes_rejected.labels(name).set(len(rejected))
        current = None if view is None else view.rollout.channel.current
        is_synced = synced > 0 and synced == outcome.connected_count
        if current is not None and is_synced and self._converged.get(name) != outcome.version:
            self._converged[name] = outcome.version
            seconds = self._clock() - current.published_at
            self._metrics.convergence_seconds.labels(name).observe(seconds)

    def _add(
        self, todo: _Pass, resource: Resource, metadata: Metadata, status: dict[str, object]
    ) -> None:
        if not is_same(status, self._store.status(resource, metadata.ref)):
            todo.writes.append((resource, metadata, status))

    async def _write_all(self, writes: Iterable[Write]) -> list[bool]:
        """Whether each was written, in their order."""
        gate = asyncio.Semaphore(WRITES_AT_ONCE)

        async def write(item: Write) -> bool:
            async with gate:
                return await self._write(*item)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(write(item)) for item in writes]
        return [task.result() for task in tasks]

    async def _write(
        self, resource: Resource, metadata: Metadata, status: dict[str, object]
    ) -> bool:
        before = self._store.status(resource, metadata.ref)
        # With the UID, so that an object of the same name made since does not get this status.
        identity = {"name": metadata.name, "uid": metadata.uid}
        if metadata.namespace:
            identity["namespace"] = metadata.namespace
        result = "success"
        try:
            body = {"metadata": identity, "status": status}
            self._store.written(resource, await self._kube.apply_status(resource, body))
        except NotFoundError:
            result = "gone"
        except KubeError as exc:
            log.warning("the status of %s was not written: %s", metadata.ref, exc)
            result = "failure"
        self._metrics.status_updates.labels(resource.kind, result).inc()
        if result == "success" and resource is ROUTES:
            await self._events.transitions(metadata, before, status)
        return result != "failure"


def _compare(outcome: RouteOutcome, before: Status, now: str) -> _Compared:
    status = route_status(outcome, before, now)
    return _Compared(
        outcome=outcome,
        before=before,
        status=status,
        is_same=is_same(status, before),
        counted=counted(outcome.result.class_name, status),
    )


def _is_ready(status: Mapping[str, object]) -> bool:
    condition = condition_of(status, "Ready") or condition_of(status, "Accepted")
    return condition is not None and condition["status"] == "True"
