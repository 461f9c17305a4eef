"""One of a pod's workers: it serves S3 with what its supervisor sends, and drains like a pod."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass

from bucketroute_dataplane.settings import PodSettings
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_dataplane.shell.event_loop import loop_factory
from bucketroute_dataplane.shell.issuer_keys import repoll
from bucketroute_dataplane.shell.json_log import log_to_stderr
from bucketroute_dataplane.shell.line_writer import LineWriter
from bucketroute_dataplane.shell.log_turn import LogTurn
from bucketroute_dataplane.shell.server import DataplaneServer, dataplane, drain
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.stop_signals import on_stop_signals
from bucketroute_dataplane.shell.worker_feed import SupervisorReports, WorkerFeed
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, WorkerLink

HELLO_SECONDS = 30.0
# The supervisor has a pause of its own before it tells the operator.
REPORTED_EVERY_SECONDS = 0.5

_LOGGER = logging.getLogger("bucketroute.dataplane")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A worker's number, and the descriptors that it was started with."""

    number: int
    link: int
    log_turn: int


def run_worker(settings: PodSettings, seat: Seat) -> int:
    """Serves until SIGTERM or the supervisor's end, then drains. Returns the exit code."""
    log_to_stderr(settings.log_level, worker=seat.number)
    status = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings, seat))
    except* OSError as group:
        _LOGGER.error("cannot serve: %s", ", ".join(map(str, group.exceptions)))
        status = 1
    return status


async def _serve(settings: PodSettings, seat: Seat) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    store = SnapshotStore()
    feed = WorkerFeed(
        store, listen=lambda: server.start(), counts=lambda: services.metrics.counts()
    )
    link = await WorkerLink.over(socket.socket(fileno=seat.link), feed.answer)
    reporter = CredentialReporter(
        SupervisorReports(link),
        feed,
        lambda: services.credentials.health(),
        clock=SystemClock(),
        every_seconds=REPORTED_EVERY_SECONDS,
    )
    feed.on_held = reporter.changed
    log = LineWriter(turn=LogTurn(seat.log_turn))
    async with dataplane(settings.dataplane, store, observers=(reporter,), log=log) as services:
        services.issuer_keys.repoll = repoll(lambda: link.hint(Kind.FRESH), store)
        services.buckets.on_news = reporter.changed
        server = DataplaneServer(services)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(_follow(link, stop)), group.create_task(reporter.run())]
            with suppress(LinkError, TimeoutError):
                await link.ask(Kind.HELLO, seconds=HELLO_SECONDS)
            await stop.wait()
            if feed.is_listening:
                await drain(server, settings.dataplane)
            for task in work:
                task.cancel()
    link.close()


async def _follow(link: WorkerLink, stop: asyncio.Event) -> None:
    """A worker that nobody feeds would serve grants that were taken away: it ends."""
    try:
        await link.run()
        _LOGGER.warning("the supervisor is gone")
    except LinkError as exc:
        _LOGGER.error("the supervisor is not understood: %s", exc)
    stop.set()
