"""The listener of probes and metrics, apart from the one that clients reach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import uvicorn

from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.app import admin_app
from bucketroute_dataplane.shell.listener import QuietServer, listening_socket


class AdminServer:
    """`start()`, then `stop()`, after everything else has: probes must be answered to the end."""

    def __init__(
        self,
        settings: DataplaneSettings,
        exposed: Callable[[], Awaitable[bytes]],
        *,
        is_ready: Callable[[], bool],
    ) -> None:
        """`exposed` gives the metrics as text."""
        assert settings.admin_host is not None
        self._task: asyncio.Task[None] | None = None
        self._socket = listening_socket(settings.admin_host, settings.admin_port)
        self._server = QuietServer(
            uvicorn.Config(
                admin_app(exposed, is_ready=is_ready),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the real one where 0 was asked for."""
        host, port, *_ = self._socket.getsockname()
        return str(host), int(port)

    def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
