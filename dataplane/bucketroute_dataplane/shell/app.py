"""The administrative endpoints, served as ASGI beside the S3 front."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bucketroute_dataplane.shell.metrics import Metrics


def admin_app(metrics: Metrics, *, is_ready: Callable[[], bool]) -> Starlette:
    """`/-/live`, `/-/ready` (503 until a snapshot is served, and while draining), `/-/metrics`.

    `/metrics` is the same, for the listener of its own.
    """

    async def live(_: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_: Request) -> Response:
        if is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", status_code=503)

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[
            Route("/-/live", live),
            Route("/-/ready", ready),
            Route("/-/metrics", exposition),
            Route("/metrics", exposition),
        ]
    )
