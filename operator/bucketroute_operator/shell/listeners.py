"""uvicorn in this process's loop, and the app of probes and metrics."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

# Longer than a parked poll, so that a data plane's connection is used again.
_KEEP_ALIVE_SECONDS = 75
_DRAIN_SECONDS = 2


class _Server(uvicorn.Server):
    """Signals are the program's own matter, not a listener's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None = None,
    max_connections: int | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """Serves while the block runs; gives the real host and port.

    Requests on more than `max_connections` are answered 503; None is no limit.

    Raises: OSError if the address cannot be had.
    """
    bound = _bound(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=max_connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.005)
        address = bound.getsockname()
        yield str(address[0]), int(address[1])
    finally:
        server.should_exit = True
        await task


class Exposition(Protocol):
    """Metrics in Prometheus' text format."""

    def exposition(self) -> bytes: ...


def admin_app(
    metrics: Exposition, *, is_ready: Callable[[], bool], is_live: Callable[[], bool]
) -> ASGIApp:
    """`/-/ready`, `/-/live` and `/metrics`."""

    def probe(check: Callable[[], bool]) -> Callable[[Request], Response]:
        def answer(_: Request) -> Response:
            is_fine = check()
            return PlainTextResponse(
                "ok\n" if is_fine else "no\n", status_code=200 if is_fine else 503
            )

        return answer

    def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(
        routes=[
            Route("/-/ready", probe(is_ready)),
            Route("/-/live", probe(is_live)),
            Route("/metrics", exposition),
        ]
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
