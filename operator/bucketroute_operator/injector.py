"""`bucketroute-injector`: the mutating webhook. Wiring, signals and exit codes only."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version

from bucketroute_operator.settings import SettingsError
from bucketroute_operator.shell.injector_app import InjectorApp
from bucketroute_operator.shell.injector_files import InjectorFiles
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_operator.shell.listeners import admin_app, listening
from bucketroute_operator.shell.log_format import configure_logging
from bucketroute_operator.webhook_settings import WebhookSettings, load_webhook_settings

log = logging.getLogger("bucketroute.injector")

REFRESH_SECONDS = 2.0
# A pod that may reach the webhook must not be able to use up its sockets.
_MAX_CONNECTIONS = 1000


def main() -> None:
    """Exit codes: 0 stopped by a signal, 1 to be started again, 2 wrong settings."""
    try:
        settings = load_webhook_settings(sys.argv[1:], os.environ)
    except SettingsError as exc:
        print(f"bucketroute-injector: {exc}", file=sys.stderr)
        sys.exit(2)
    configure_logging(settings.log_level)
    sys.exit(asyncio.run(_run(settings)))


async def _run(settings: WebhookSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(_serve(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        return 0
    except OSError as exc:
        log.error("cannot listen: %s", exc)
    except Exception:
        log.exception("ended, to be started again")
    return 1


async def _serve(settings: WebhookSettings) -> None:
    """Until it is cancelled; the webhook itself from the first certificate on."""
    metrics = InjectorMetrics()
    files = InjectorFiles(settings, f"v{version('bucketroute')}", metrics)
    admin = admin_app(metrics, is_ready=lambda: files.is_complete, is_live=lambda: True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(admin, settings.admin_host, settings.admin_port))
        await files.refresh()
        while not files.has_certificate:
            await asyncio.sleep(REFRESH_SECONDS)
            await files.refresh()
        webhook = InjectorApp(files, metrics).app
        host, port = await stack.enter_async_context(
            listening(
                webhook,
                settings.host,
                settings.port,
                context=files.context,
                max_connections=_MAX_CONNECTIONS,
            )
        )
        log.info("webhook listens host=%s port=%d", host, port)
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await files.refresh()


if __name__ == "__main__":
    main()
