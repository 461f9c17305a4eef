"""The pod's process: configuration from the operator, S3 on one port, probes on another."""

from __future__ import annotations

import asyncio
import logging
import os

from bucketroute_dataplane.settings import PodSettings
from bucketroute_dataplane.shell.admin import AdminServer
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel
from bucketroute_dataplane.shell.config_client import ConfigClient
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_dataplane.shell.event_loop import loop_factory
from bucketroute_dataplane.shell.issuer_keys import repoll
from bucketroute_dataplane.shell.json_log import log_to_stderr
from bucketroute_dataplane.shell.pod_config import config_files, operator_address
from bucketroute_dataplane.shell.server import DataplaneServer, dataplane, drain
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.sidecar import Sidecar, open_sidecar
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.stop_signals import on_stop_signals
from bucketroute_dataplane.shell.tokens import TokenFile

_LOGGER = logging.getLogger("bucketroute.dataplane")


def run(settings: PodSettings) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Returns the exit code."""
    log_to_stderr(settings.log_level)
    status = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings))
    except* OSError as group:
        _LOGGER.error("cannot serve: %s", ", ".join(map(str, group.exceptions)))
        status = 1
    return status


async def _serve(settings: PodSettings) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    clock, store, sidecar = SystemClock(), SnapshotStore(), _sidecar(settings)
    client = ConfigClient(operator_address(settings))
    channel = ConfigChannel(client, store, config_files(settings), clock=clock)
    reporter = CredentialReporter(
        client, channel, lambda: services.credentials.health(), clock=clock
    )
    # The operator passes over what sidecars say of credentials, so they say nothing.
    observers = (reporter,) if sidecar is None else ()
    async with dataplane(
        settings.dataplane, store, observers=observers, sidecar=sidecar
    ) as services:
        services.metrics.config = lambda: (channel.source.value, channel.heard_at or 0.0)
        work = [channel.run()]
        if sidecar is None:
            channel.on_held = reporter.changed
            services.issuer_keys.repoll = repoll(channel.ask_now, store)
            services.buckets.on_news = reporter.changed
            work.append(reporter.run())
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(follower) for follower in work]
            await _listen(settings, services, stop)
            for task in followers:
                task.cancel()
    await client.close()


def _sidecar(settings: PodSettings) -> Sidecar | None:
    """None for a gateway. Raises: OSError."""
    if settings.authorization_token_file is None:
        return None
    return open_sidecar(
        state=settings.state_directory,
        authorization=settings.authorization_token_file,
        tokens=TokenFile(settings.config_token_file),
        random=os.urandom,
    )


async def _listen(settings: PodSettings, services: Services, stop: asyncio.Event) -> None:
    server = DataplaneServer(services)
    admin = AdminServer(settings.dataplane, services.metrics.exposed, is_ready=server.is_ready)
    admin.start()
    await server.start()
    _LOGGER.info("listening s3=%s:%d probes=%s:%d", *server.address, *admin.address)
    await stop.wait()
    await drain(server, settings.dataplane)
    await admin.stop()
