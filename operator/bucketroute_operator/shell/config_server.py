"""The config channel over HTTP: one parked GET for the snapshot, two POSTs for what pods say.

A gateway gets its class and the secrets; any other service account the routes that name it. Only
gateway pods' words count for status: a tenant must not be able to hold a route back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bucketroute_operator.core.pod_words import credential_states, rejected_routes
from bucketroute_operator.shell.bodies import Bodies, BodyError
from bucketroute_operator.shell.callers import Caller, Callers, UnauthenticatedError
from bucketroute_operator.shell.channel import ClassChannel
from bucketroute_operator.shell.channels import Channels
from bucketroute_operator.shell.kube_api import KubeError
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.older_readers import OlderReaders
from bucketroute_operator.shell.publication import Answer
from bucketroute_snapshot import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, SnapshotFormatError
from bucketroute_snapshot.update import (
    ACK_PATH,
    CONFIG_PATH,
    CONTENT_TYPE,
    POD_HEADER,
    REPORT_PATH,
    SCHEMA_HEADER,
    VERSION_HEADER,
    ConfigVersion,
)

log = logging.getLogger("bucketroute.operator.config")

MAX_WAIT_SECONDS = 60.0
MAX_ACK_BYTES = 64 * 1024
MAX_REPORT_BYTES = 2 * 1024 * 1024  # 10,000 routes with names of 100 characters
# Reports come in pieces of some 250 KiB.
MAX_BODIES_BYTES = 32 * 1024 * 1024
BODY_SECONDS = 10.0
MAX_POLLS_PER_NAMESPACE = 200
_WRONG_REPLICA = 421


class RefusedError(Exception):
    """An answer that is no success. The message goes to the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ConfigServer:
    """The ASGI application is `app`; `on_fresh` is for a gateway that met an unknown token key."""

    def __init__(
        self,
        channels: Channels,
        callers: Callers,
        metrics: Metrics,
        *,
        on_fresh: Callable[[], None],
    ) -> None:
        self._on_fresh = on_fresh
        self._channels = channels
        self._callers = callers
        self._metrics = metrics
        self._polls: Counter[str] = Counter()
        self._older = OlderReaders()
        self._bodies = Bodies(together_bytes=MAX_BODIES_BYTES, seconds=BODY_SECONDS)
        self.app = Starlette(
            routes=[
                Route(CONFIG_PATH, self._config, methods=["GET"]),
                Route(ACK_PATH, self._ack, methods=["POST"]),
                Route(REPORT_PATH, self._report, methods=["POST"]),
            ],
            exception_handlers={RefusedError: self._refused},
        )

    async def _config(self, request: Request) -> Response:
        caller, channel = await self._admit(request)
        known = _version(request.query_params.get("known"))
        wait = min(_seconds(request.query_params.get("wait")), MAX_WAIT_SECONDS)
        schema = min(_schema(request), SCHEMA_VERSION)
        if schema < OLDEST_SCHEMA_VERSION:
            raise RefusedError(406, f"this operator writes schema {OLDEST_SCHEMA_VERSION} or later")
        is_gateway = channel.is_gateway(caller)
        if is_gateway and request.query_params.get("fresh") == "1":
            self._on_fresh()
        is_full = self._polls[caller.namespace] >= MAX_POLLS_PER_NAMESPACE and not is_gateway
        channel.polled(caller, _pod(caller, request), known)
        self._polls[caller.namespace] += 1
        try:
            digest = self._older.published_digest(request.query_params.get("digest", ""))
            newer = channel.newer(caller, known, digest, 0.0 if is_full else wait)
            answer = await _unless_gone(request, newer)
            if answer is not None and schema < SCHEMA_VERSION:
                answer = await self._older.translated(answer, channel.full, schema)
        finally:
            self._polls[caller.namespace] -= 1
        if answer is None and is_full:
            # It gets what is new, but there is no room to wait for that: it asks again later.
            raise RefusedError(429, "too many polls of this namespace wait")
        self._metrics.polls.labels(channel.name, "none" if answer is None else answer.kind).inc()
        return Response(status_code=304) if answer is None else _update(answer)

    async def _ack(self, request: Request) -> Response:
        caller, channel = await self._admit(request)
        is_gateway = channel.is_gateway(caller)
        body = await self._body(request, MAX_ACK_BYTES)
        version = _version(_text(body, "version"))
        if version is None:
            raise RefusedError(400, "an acknowledgement needs a version")
        is_applied = _text(body, "status") == "applied"
        if not is_applied:
            self._note_refusal(caller, channel, version)
        if is_gateway:
            pod = _pod(caller, request)
            if is_applied:
                channel.acknowledged(pod, version, rejected_routes(body))
            else:
                channel.refused(pod, version)
        return Response(status_code=204)

    def _note_refusal(self, caller: Caller, channel: ClassChannel, version: ConfigVersion) -> None:
        """A tenant may say what it likes, as often as it likes: its word must alarm nobody."""
        is_gateway = channel.is_gateway(caller)
        placement, level = (
            ("gateway", logging.WARNING) if is_gateway else ("sidecar", logging.DEBUG)
        )
        self._metrics.nacks.labels(channel.name, placement).inc()
        log.log(level, "snapshot refused class=%s version=%s", channel.name, version)

    async def _report(self, request: Request) -> Response:
        caller, channel = await self._admit(request)
        if channel.is_gateway(caller):  # of anybody else not even a byte is read
            body = await self._body(request, MAX_REPORT_BYTES)
            channel.reported(_pod(caller, request), credential_states(body))
        return Response(status_code=204)

    async def _body(self, request: Request, limit_bytes: int) -> dict[str, Any]:
        try:
            return _object(await self._bodies.read(request, limit_bytes))
        except BodyError as exc:
            raise RefusedError(exc.status, str(exc)) from exc

    async def _admit(self, request: Request) -> tuple[Caller, ClassChannel]:
        if not self._channels.is_leading:
            raise RefusedError(_WRONG_REPLICA, "another replica leads")
        try:
            caller = await self._callers.authenticate(request.headers.get("authorization"))
        except UnauthenticatedError as exc:
            raise RefusedError(401, str(exc)) from exc
        except KubeError as exc:
            log.warning("a token could not be reviewed: %s", exc)
            raise RefusedError(503, "the token could not be reviewed") from exc
        name = request.query_params.get("class", "default")
        channel = self._channels.find(name)
        if channel is None:
            raise RefusedError(404, "nothing is published for this class")
        return caller, channel

    async def _refused(self, request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RefusedError)
        self._metrics.refusals.labels(str(exc.status)).inc()
        return JSONResponse({"message": str(exc)}, status_code=exc.status)


async def _unless_gone(
    request: Request, newer: Coroutine[None, None, Answer | None]
) -> Answer | None:
    """None as soon as nobody is there to be answered: pods end, and their place is for others."""
    answer, gone = asyncio.ensure_future(newer), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        for waiting in (answer, gone):
            waiting.cancel()
        await asyncio.wait({answer, gone})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _update(answer: Answer) -> Response:
    headers = {"Content-Encoding": "gzip", VERSION_HEADER: str(answer.version)}
    return Response(answer.body, media_type=CONTENT_TYPE, headers=headers)


def _pod(caller: Caller, request: Request) -> str:
    """By the token where it is bound to a pod; a header would be a claim only."""
    return caller.pod_uid or request.headers.get(POD_HEADER, "")[:64]


def _version(text: str | None) -> ConfigVersion | None:
    if not text:
        return None
    try:
        return ConfigVersion.parse(text)
    except SnapshotFormatError as exc:
        raise RefusedError(400, str(exc)) from exc


def _seconds(text: str | None) -> float:
    if text is None:
        return 0.0
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise RefusedError(400, "wait is a number of seconds")
    return float(text)


def _schema(request: Request) -> int:
    text = request.headers.get(SCHEMA_HEADER, "1")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise RefusedError(400, f"{SCHEMA_HEADER} is a number")
    return int(text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise RefusedError(400, "the body is not JSON") from exc
    if not isinstance(value, dict):
        raise RefusedError(400, "the body is not a JSON object")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
