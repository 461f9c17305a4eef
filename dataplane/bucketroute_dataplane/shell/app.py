"""The administrative endpoints, served as ASGI beside the S3 front."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def admin_app(exposed: Callable[[], Awaitable[bytes]], *, is_ready: Callable[[], bool]) -> ASGIApp:
    """The probes, `/-/metrics`, and the same as `/metrics` for the listener of its own."""

    async def exposition(_: Request) -> Response:
        return Response(await exposed(), headers={"content-type": CONTENT_TYPE_LATEST})

    metrics_routes = [Route("/-/metrics", exposition), Route("/metrics", exposition)]
    return _identified(Starlette(routes=[*_probes(is_ready), *metrics_routes]))


def probes_app(*, is_ready: Callable[[], bool]) -> ASGIApp:
    """`/-/live` and `/-/ready` only: metrics name every tenant's routes."""
    return _identified(Starlette(routes=_probes(is_ready)))


def _probes(is_ready: Callable[[], bool]) -> list[Route]:
    """Ready is 503 until a snapshot is served, and while draining."""

    async def live(_: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_: Request) -> Response:
        if is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", status_code=503)

    return [Route("/-/live", live), Route("/-/ready", ready)]


def _identified(app: ASGIApp) -> ASGIApp:
    """Every answer has an x-amz-request-id, as those of S3 have, also what Starlette refuses."""

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(8).upper().encode()

        async def send_identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-amz-request-id", request_id)]
            await send(message)

        await app(scope, receive, send_identified)

    return identified
