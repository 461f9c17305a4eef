"""`bucketroute-dataplane --workers N`: one process that serves nobody, and N that do.

The supervisor is the pod to everybody outside: it alone asks the operator, acknowledges and
reports, answers probes and metrics, and is told to end. It starts the workers, which share the S3
port, and passes configurations on to them, over sockets and in memory: they hold secrets.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bucketroute_dataplane.settings import PodSettings
from bucketroute_dataplane.shell.admin import AdminServer
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel
from bucketroute_dataplane.shell.config_client import ConfigClient
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_dataplane.shell.json_log import log_to_stderr
from bucketroute_dataplane.shell.listener import listening_socket
from bucketroute_dataplane.shell.log_turn import new_turn_file
from bucketroute_dataplane.shell.memory import return_freed_buffers
from bucketroute_dataplane.shell.pod_config import config_files, operator_address
from bucketroute_dataplane.shell.stop_signals import on_stop_signals
from bucketroute_dataplane.shell.worker_command import WorkerCommand
from bucketroute_dataplane.shell.worker_pool import WorkerPool
from bucketroute_dataplane.shell.worker_process import WorkerStartError

_LOGGER = logging.getLogger("bucketroute.dataplane")


def run_supervisor(settings: PodSettings, arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Returns the exit code.

    `arguments` are those that made `settings`: the workers read them again.
    """
    log_to_stderr(settings.log_level)
    return_freed_buffers()
    status = 0
    try:
        with _shared(settings) as (address, log_turn):
            host, port = address
            command = WorkerCommand(
                arguments=arguments,
                listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                log_turn=log_turn,
            )
            asyncio.run(_supervise(settings, command))
    except* (OSError, WorkerStartError) as group:
        _LOGGER.error("cannot serve: %s", ", ".join(_reasons(group)))
        status = 1
    return status


def _reasons(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    for item in group.exceptions:
        if isinstance(item, BaseExceptionGroup):
            yield from _reasons(item)
        else:
            yield str(item)


@contextmanager
def _shared(settings: PodSettings) -> Iterator[tuple[tuple[str, int], int]]:
    """What the workers share: the address, kept by a socket that never listens, and the log's turn.

    Raises: OSError, if the port is in use, say.
    """
    own = settings.dataplane
    log_turn = new_turn_file()
    try:
        with listening_socket(own.listen_host, own.listen_port, is_shared=True) as keeper:
            host, port, *_ = keeper.getsockname()
            yield (str(host), int(port)), log_turn
    finally:
        os.close(log_turn)


async def _supervise(settings: PodSettings, command: WorkerCommand) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    clock = SystemClock()
    client = ConfigClient(operator_address(settings))
    pool = WorkerPool(
        command,
        settings.dataplane.workers,
        clock=clock,
        on_fresh=lambda: channel.ask_now(),
        on_report=lambda: reporter.changed(),
    )
    channel = ConfigChannel(client, pool, config_files(settings), clock=clock)
    reporter = CredentialReporter(client, channel, pool.credentials, clock=clock)
    channel.on_held = reporter.changed
    pool.config = lambda: (channel.source.value, channel.heard_at or 0.0)
    admin = AdminServer(settings.dataplane, pool.exposed, is_ready=pool.is_ready)
    admin.start()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.run())
            followers = [
                group.create_task(_follow(channel, pool)),
                group.create_task(reporter.run()),
                group.create_task(_announce(pool, command, admin)),
            ]
            await stop.wait()
            await _end(settings, pool)
            for task in followers:
                task.cancel()
    finally:
        await admin.stop()
        await client.close()


async def _follow(channel: ConfigChannel, pool: WorkerPool) -> None:
    await channel.start()
    pool.open()
    await channel.follow()


async def _announce(pool: WorkerPool, command: WorkerCommand, admin: AdminServer) -> None:
    await pool.are_up.wait()
    _LOGGER.info("listening s3=%s probes=%s:%d", command.listen, *admin.address)


async def _end(settings: PodSettings, pool: WorkerPool) -> None:
    own = settings.dataplane
    _LOGGER.info("ending lame_duck=%g drain=%g", own.lame_duck_seconds, own.drain_seconds)
    on_stop_signals(pool.terminate)  # the second one ends at once
    await pool.end(own.lame_duck_seconds + own.drain_seconds)
