"""`bucketroute-operator`: wiring, signals and exit codes only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

from bucketroute_operator.settings import OperatorSettings, SettingsError, load_settings
from bucketroute_operator.shell.kube import connect
from bucketroute_operator.shell.kube_api import KubeError
from bucketroute_operator.shell.log_format import configure_logging
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.operator import Operator

log = logging.getLogger("bucketroute.operator")


def main() -> None:
    """Exit codes: 0 stopped by a signal, 1 to be started again, 2 wrong settings."""
    try:
        settings = load_settings(sys.argv[1:], os.environ)
    except SettingsError as exc:
        print(f"bucketroute-operator: {exc}", file=sys.stderr)
        sys.exit(2)
    configure_logging(settings.log_level)
    sys.exit(asyncio.run(_run(settings)))


async def _run(settings: OperatorSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with connect(settings.kubeconfig) as kube:
            running = asyncio.create_task(Operator(kube, settings, Metrics()).run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    except (KubeError, OSError) as exc:
        log.error("cannot run: %s", exc)
        return 1
    except Exception:
        log.exception("ended, to be started again")
        return 1
    return 0


if __name__ == "__main__":
    main()
