"""The pod's process: configuration from the operator, S3 on one port, probes on another."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from bucketroute_dataplane.settings import PodSettings
from bucketroute_dataplane.shell.admin import AdminServer
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel, ConfigFiles
from bucketroute_dataplane.shell.config_client import ConfigClient, OperatorAddress
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_dataplane.shell.server import DataplaneServer, dataplane
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.sidecar import Sidecar, open_sidecar
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.tokens import TokenFile

# The operator writes the boot ConfigMap under this key; what is kept has the same form.
SNAPSHOT_FILE = "snapshot.ndjson.gz"

_LOGGER = logging.getLogger("bucketroute.dataplane")


def run(settings: PodSettings) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Returns the exit code."""
    _log_to_stderr(settings.log_level)
    status = 0
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except* OSError as group:
        _LOGGER.error("cannot serve: %s", ", ".join(map(str, group.exceptions)))
        status = 1
    return status


async def _serve(settings: PodSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock, store, sidecar = SystemClock(), SnapshotStore(), _sidecar(settings)
    client = ConfigClient(_operator(settings))
    channel = ConfigChannel(client, store, _files(settings), clock=clock)
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
            store.subscribe(lambda _index, _secrets: reporter.changed())
            services.issuer_keys.repoll = _repoll(channel, store)
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
    admin = AdminServer(settings.dataplane, services.metrics, is_ready=server.is_ready)
    admin.start()
    await server.start()
    _LOGGER.info("listening s3=%s:%d probes=%s:%d", *server.address, *admin.address)
    await stop.wait()
    own = settings.dataplane
    _LOGGER.info("ending lame_duck=%g drain=%g", own.lame_duck_seconds, own.drain_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):  # the second one ends at once
        asyncio.get_running_loop().add_signal_handler(number, server.hurry)
    await server.stop()
    await admin.stop()


def _repoll(channel: ConfigChannel, store: SnapshotStore) -> Callable[[], Awaitable[None]]:
    """Asks the operator to look for new token keys, and waits for the snapshot that has them."""
    is_swapped = asyncio.Event()
    store.subscribe(lambda _index, _secrets: is_swapped.set())

    async def repoll() -> None:
        is_swapped.clear()
        channel.ask_now()
        await is_swapped.wait()

    return repoll


def _operator(settings: PodSettings) -> OperatorAddress:
    return OperatorAddress(
        url=settings.config_url,
        token_file=settings.config_token_file,
        ca_file=settings.config_ca,
        ca_pem=settings.config_ca_pem,
        class_name=settings.class_name,
        pod_uid=settings.pod_uid,
    )


def _files(settings: PodSettings) -> ConfigFiles:
    def inside(folder: Path | None) -> Path | None:
        return None if folder is None else folder / SNAPSHOT_FILE

    return ConfigFiles(state=inside(settings.state_directory), boot=inside(settings.boot_directory))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every platform; asyncio's own loop serves as well
        return None
    return uvloop.new_event_loop


class _JsonFormatter(logging.Formatter):
    """One object a line, as the access log has it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("bucketroute").setLevel(level)
