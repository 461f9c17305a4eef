"""The workers of a pod taken together: one configuration, one readiness, one set of metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.clock import Clock
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_dataplane.shell.config_words import report_entries
from bucketroute_dataplane.shell.worker_command import WorkerCommand, WorkerDeadlines
from bucketroute_dataplane.shell.worker_counts import WorkerCounts
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, Taken
from bucketroute_dataplane.shell.worker_process import Worker
from bucketroute_dataplane.shell.worker_reports import WorkerReports

# To end after its drain; kubelet gives five seconds (terminationGracePeriodSeconds of the chart).
ENDING_SECONDS = 4.0


class ConfigRefusedError(Exception):
    """No worker can serve it; each serves what it did before."""


class WorkerPool:
    """Implements `ConfigTarget` and `Crew`. `run`, then `open` once it is known whether there is a
    configuration to begin with; `end` before `run` returns.

    `config` is as in `Metrics`; `on_fresh` is called when a worker wants new token keys,
    `on_report` when it has told of credentials.
    """

    def __init__(
        self,
        command: WorkerCommand,
        count: int,
        *,
        clock: Clock,
        on_fresh: Callable[[], None],
        on_report: Callable[[], None],
        deadlines: WorkerDeadlines | None = None,
    ) -> None:
        self.current: HeldConfig | None = None
        self.is_open = asyncio.Event()
        self.are_up = asyncio.Event()
        self.has_served = False
        self.ending = asyncio.Event()
        self.config: Callable[[], tuple[str, float]] = lambda: ("none", 0.0)
        deadlines = deadlines or WorkerDeadlines()
        self._workers = [
            Worker(number, command, self, clock=clock, deadlines=deadlines)
            for number in range(1, count + 1)
        ]
        self._on_fresh = on_fresh
        self._on_report = on_report
        self._running: list[asyncio.Task[None]] = []
        self._begun = asyncio.Event()
        self._counts = WorkerCounts()
        self._counting: asyncio.Task[bytes] | None = None
        self._reports = WorkerReports()
        self._restarts = 0
        self._swaps = 0

    async def run(self) -> None:
        """Raises: WorkerStartError, in a group."""
        async with asyncio.TaskGroup() as group:
            self._running = [group.create_task(worker.run()) for worker in self._workers]

    def open(self) -> None:
        """From now on a worker listens once it serves what the others serve."""
        self.is_open.set()

    def is_ready(self) -> bool:
        """At first all workers must be; later one will do. A pod that has lost one still serves,
        and to take it out of its Service would turn the end of a worker into that of a pod."""
        return (
            self.current is not None
            and not self.ending.is_set()
            and self.are_up.is_set()
            and any(worker.is_listening for worker in self._workers)
        )

    async def serve(self, held: HeldConfig) -> None:
        """Returns when no process serves anything older.

        Raises: ConfigRefusedError. While there is no worker at all, the first one is waited for.
        """
        while True:
            self._begun.clear()
            taken = await self._bring_all_to(held)
            if any(taken):
                break
            await self._begun.wait()
        if Taken.APPLIED not in taken:
            raise ConfigRefusedError(f"no worker can serve version {held.version}")
        self.current = held
        self._swaps += 1
        routes = held.snapshot.routes
        self._reports.retain({f"{route.namespace}/{route.name}" for route in routes})
        # Again: some may have begun with the former one since, and what one worker can serve the
        # others can, or they are broken.
        for worker, then in zip(self._workers, await self._bring_all_to(held), strict=True):
            if then not in (Taken.APPLIED, None):
                await worker.kill("it refuses what the others serve")

    async def exposed(self) -> bytes:
        """The metrics of all. Of a worker that does not answer in time, what it last said.

        Scrapes that come at once are one to the workers, however many there are.
        """
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._exposed())
        return await asyncio.shield(self._counting)

    async def _exposed(self) -> bytes:
        await asyncio.gather(*(self._count(worker) for worker in self._workers))
        total = self._counts.total()
        total.config = self.config
        total.snapshot_swaps = self._swaps
        total.route_count = 0 if self.current is None else len(self.current.snapshot.routes)
        total.workers = sum(worker.is_listening for worker in self._workers)
        total.worker_restarts = self._restarts
        return total.exposition()

    def credentials(self) -> Iterator[RouteHealth]:
        """How things stand for every route that has a backend."""
        routes = [] if self.current is None else self.current.snapshot.routes
        return self._reports.of(route for route in routes if route.backend is not None)

    async def end(self, drain_seconds: float) -> None:
        """Has all of them drain at once; returns when the last has ended, or was killed."""
        self.ending.set()
        self.terminate()
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=drain_seconds + ENDING_SECONDS)
        if late:
            why = "it did not end in time"
            await asyncio.gather(*(worker.kill(why) for worker in self._workers))
            await asyncio.wait(late)

    def terminate(self) -> None:
        """Has all of them drain; a second time, end at once."""
        for worker in self._workers:
            worker.terminate()

    async def heard(self, worker: Worker, kind: Kind, payload: bytes) -> bytes:
        """Raises: LinkError."""
        if kind is Kind.FRESH:
            self._on_fresh()
        elif kind is Kind.REPORT:
            try:
                self._reports.heard(worker.number, report_entries(payload))
            except (ValueError, KeyError, TypeError) as exc:
                raise LinkError("no report of credentials") from exc
            self._on_report()
        else:
            raise LinkError(f"a supervisor is not asked for {kind.name}")
        return b""

    def begins(self) -> None:
        self._begun.set()

    def listens(self) -> None:
        self.has_served = True
        if all(item.is_listening for item in self._workers):
            self.are_up.set()

    def went(self, worker: Worker) -> None:
        self._counts.forget(worker.number)
        self._reports.forget(worker.number)
        if not self.ending.is_set():
            self._restarts += 1
        self._on_report()

    async def _count(self, worker: Worker) -> None:
        counts = await worker.counts()
        if counts is not None:
            self._counts.heard(worker.number, counts)

    async def _bring_all_to(self, held: HeldConfig) -> list[Taken | None]:
        return await asyncio.gather(*(worker.bring_to(held) for worker in self._workers))
