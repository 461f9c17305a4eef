"""A data plane whose requests can be watched on both sides, and told apart by the way they take.

`HotPlane.ask` plays one request against a scripted backend and returns all that anybody can see of
it. The clock stands still, so two plays of one request differ in nothing but their IDs and times.
"""

import asyncio
import io
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bucketroute_dataplane.core.identity import service_account_identity
from bucketroute_dataplane.core.resolve import RouteEntry
from bucketroute_dataplane.core.session import Session
from bucketroute_dataplane.core.shapes import Shapes
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.access_log import AccessLog
from bucketroute_dataplane.shell.front import S3Front
from bucketroute_dataplane.shell.limits import RouteLimits
from bucketroute_dataplane.shell.server import dataplane
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import (
    AccessKeySecret,
    AccessKeySubject,
    ClassSettings,
    CORSRule,
    Limits,
    NetworkScope,
    Route,
    RouteState,
    Secret,
    Snapshot,
    SnapshotSecrets,
    StaticSecret,
)
from bucketroute_testing import heads
from bucketroute_testing.signing import UNSIGNED_PAYLOAD, AccessKey, Signer
from bucketroute_testing.transports import ClientLeg, settle, until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOST = "gateway:9000"
DOMAIN = "s3.test"
KEY = AccessKey(access_key_id="AKIDCALLER", secret_access_key="a-secret")
LONG_PREFIX = "p" * 299 + "/"
_SESSION = Session(
    identity=service_account_identity("team-a", "app"),
    session_name="pod",
    access_key_id="ASIASESSION",
    secret_access_key=Secret("session-secret"),
    expires_at=int(NOW.timestamp()) + 600,
)
_EVERYBODY = (
    AccessKeySubject(namespace="team-a", name="key"),
    *heads.rule().subjects,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it goes on the wire. `sent_headers` are not signed; `signed_path` is signed in
    place of the target, `signature` replaces the right one; `padding` stands behind each value."""

    method: str = "GET"
    target: str = "/photos/a/b.jpg"
    headers: Sequence[tuple[str, str]] = ()
    sent_headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    payload_hash: str = UNSIGNED_PAYLOAD
    host: str = HOST
    at: datetime = NOW
    is_session: bool = False
    signed_path: str | None = None
    padding: str = ""
    signature: str | None = None

    def but(self, **changes: Any) -> "Request":
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the backend sends. `on_head`: before it has read the body. `then`: keep, close, reset;
    hang, which keeps the connection silent; stall, which does not even read the body."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: e\r\n\r\nhello"
    on_head: bool = False
    then: str = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What two plays are compared by."""

    at_backend: tuple[tuple[bytes, bytes], ...]
    at_client: tuple[bytes, tuple[bytes, ...], bytes] | None
    is_kept: bool
    logged: tuple[dict[str, Any], ...]
    counted: dict[str, float]


@dataclass(slots=True)
class _Exchange:
    head: bytes
    body: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Backend:
    """Answers with `replies`, one an exchange; the last one again and again. While `is_held` is
    set neither is a body read nor anything answered."""

    replies: list[Reply] = field(default_factory=lambda: [Reply()])
    exchanges: list[_Exchange] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0
    is_held: bool = False
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        exchange = _Exchange(await reader.readuntil(b"\r\n\r\n"))
        self.exchanges.append(exchange)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.then == "stall":
            await self.ending.wait()
        await until(lambda: not self.is_held)
        if not reply.on_head:
            await self._read_body(reader, exchange)
        writer.write(reply.answer)
        await writer.drain()
        if reply.then == "reset":
            writer.transport.abort()
        if reply.then == "hang":
            await self._read_body(reader, exchange)
            await reader.read()
        return reply.then == "keep"

    async def _read_body(self, reader: asyncio.StreamReader, exchange: _Exchange) -> None:
        declared = re.search(rb"\r\ncontent-length: (\d+)", exchange.head)
        length = int(declared[1]) if declared else 0
        while len(exchange.body) < length:
            piece = await reader.read(65536)
            if not piece:
                raise ConnectionError
            exchange.body += piece


class WatchedLimits(RouteLimits):
    """Counts the requests that the ordinary way has admitted: it asks for every one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.asked = 0

    def is_unlimited(self, entry: RouteEntry) -> bool:
        self.asked += 1
        return super().is_unlimited(entry)


class HotPlane:
    """A client connection, a data plane, a backend. `epoch` is its wall clock."""

    def __init__(self, services: Services, backend: Backend) -> None:
        self.services = services
        self.backend = backend
        self.epoch = NOW.timestamp()
        self.log = io.StringIO()
        self.limits = services.limits = WatchedLimits(services.clock)
        services.epoch = lambda: self.epoch
        services.access_log = AccessLog(self.log.write, now=lambda: self.epoch)
        self.session_key = AccessKey(
            access_key_id=_SESSION.access_key_id,
            secret_access_key=_SESSION.secret_access_key.reveal(),
            session_token=services.trust.sessions.seal(_SESSION),
        )
        self.front = S3Front(services)
        self.leg = ClientLeg(self.front)

    # -- the client ----------------------------------------------------------------------------

    def raw(self, request: Request) -> bytes:
        """The head, signed."""
        key = KEY
        if request.is_session:
            key = self.session_key
        signed = Signer(key=key).sign(
            request.method,
            f"http://{request.host}{request.signed_path or request.target}",
            headers=tuple(request.headers),
            payload_hash=request.payload_hash,
            at=request.at,
        )
        lines = [f"{name}: {value}" for name, value in signed.headers]
        if request.signature is not None:
            lines[-1] = lines[-1].replace(signed.signature, request.signature)
        lines = [line + request.padding for line in lines]
        lines += [f"{name}: {value}" for name, value in request.sent_headers]
        head = "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *lines, "", ""])
        return head.encode("latin-1")

    def connect(self) -> None:
        self.leg = ClientLeg(self.front)

    @property
    def is_answered(self) -> bool:
        """Whether nothing is in flight on the client's connection."""
        cycle: Any = self.leg.protocol.cycle
        if cycle is None:
            return self.leg.transport.is_closing()
        return cycle.response_complete and not self.leg.protocol.pipeline

    async def send(self, request: Request, *, step: int = 0) -> None:
        """The request whole, or its body in pieces of `step` bytes; then until it is answered."""
        head, body = self.raw(request), request.body
        if not step:
            self.leg.receive(head + body)
        else:
            self.leg.receive(head)
            for start in range(0, len(body), step):
                await settle()
                if not self.leg.transport.is_closing():
                    self.leg.receive(body[start : start + step])
        await until(lambda: self.is_answered)
        await settle(10)

    async def learn(self, *requests: Request) -> None:
        """Has requests served the ordinary way until their shapes are known, and forgets it all."""
        self.services.store.shapes = Shapes()
        for request in requests:
            for _ in range(2):  # the first one dials
                self.connect()
                await self.send(request)
        self.connect()
        self.forget()

    def forget(self) -> None:
        self.services.access_log.flush()
        self.log.truncate(0)
        self.log.seek(0)
        self.backend.exchanges.clear()
        self.limits.asked = 0

    # -- what is seen --------------------------------------------------------------------------

    @property
    def was_hot(self) -> bool:
        """Whether what has reached the backend since `forget` was not admitted the ordinary way."""
        return bool(self.backend.exchanges) and self.limits.asked == 0

    def records(self) -> tuple[dict[str, Any], ...]:
        self.services.access_log.flush()
        return tuple(json.loads(line) for line in self.log.getvalue().splitlines())

    def counted(self) -> dict[str, float]:
        text = self.services.metrics.exposition().decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        kinds = ("_total", "_count", "_requests")
        return {
            name: float(value)
            for name, _, value in lines
            if name.partition("{")[0].endswith(kinds) and "moved" not in name
        }

    async def watched(self, before: dict[str, float]) -> Seen:
        """Everything since `forget`, with IDs and times masked."""
        await settle(10)
        now = self.counted()
        return Seen(
            at_backend=tuple((item.head, bytes(item.body)) for item in self.backend.exchanges),
            at_client=_response(self.leg.sent),
            is_kept=not (self.leg.transport.is_closing() or self.leg.transport.has_sent_eof),
            logged=tuple(map(_masked_record, self.records())),
            counted={
                name: value - before.get(name, 0)
                for name, value in now.items()
                if value != before.get(name, 0)
            },
        )


def _response(sent: bytes) -> tuple[bytes, tuple[bytes, ...], bytes] | None:
    """Interim responses and status line, header lines without regard to their order, body."""
    if not sent:
        return None
    interim = b""
    while sent.startswith(b"HTTP/1.1 100"):
        first, _, sent = sent.partition(b"\r\n\r\n")
        interim += first
    masked = re.sub(rb"\b[0-9A-F]{16}\b", b"ID", sent)
    masked = re.sub(rb"dur=[0-9.]+", b"dur=", masked)
    head, _, body = masked.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return interim + line, tuple(sorted(headers)), body


def _masked_record(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: name if name.endswith("Ms") or name == "requestId" else value
        for name, value in record.items()
    }


# -- the configuration ---------------------------------------------------------------------------


def routes(port: int) -> dict[str, Route]:
    """One of each kind, by bucket; all lead to the backend on that port."""

    def one(bucket: str, *rules: Any, prefix: str = "tenants/one/", **fields: Any) -> Route:
        backend = heads.backend(
            endpoint=f"http://127.0.0.1:{port}", prefix=prefix, network_scope=NetworkScope.LOOPBACK
        )
        given = {"backend": backend, "uid": bucket, **fields}
        allowed = rules or (heads.rule(subjects=_EVERYBODY),)
        return heads.route(bucket, *allowed, **given)

    cors = CORSRule(allowed_origins=("*",), allowed_methods=("GET", "PUT"))
    found = [
        one("photos"),
        one("albums", prefix=""),
        one("deep", prefix=LONG_PREFIX),
        one("narrow", heads.rule(subjects=_EVERYBODY, prefixes=["open", "free/"])),
        one("readable", heads.rule("GetObject", subjects=_EVERYBODY)),
        one("closed", heads.rule(subjects=[AccessKeySubject(namespace="x", name="y")])),
        one("asleep", state=RouteState.SUSPENDED),
        one("small", limits=Limits(max_object_size_bytes=4)),
        one("counted", limits=Limits(max_concurrent_requests=5)),
        one("shared", cors=(cors,)),
    ]
    return {route.bucket: route for route in found}


def secrets_of(caller_secret: str = KEY.secret_access_key) -> SnapshotSecrets:
    return SnapshotSecrets(
        static=(
            StaticSecret(
                namespace="team-a",
                name="keys",
                access_key_id="AKIDBACKEND",
                secret_access_key=Secret("backend-secret"),
                session_token=Secret("backend-token"),
            ),
        ),
        access_keys=(
            AccessKeySecret(
                namespace="team-a",
                name="key",
                access_key_id=KEY.access_key_id,
                secret_access_key=Secret(caller_secret),
            ),
        ),
        sealing_keys=(Secret(b64encode(b"k" * 32).decode()),),
    )


def snapshot(*served: Route) -> Snapshot:
    settings = ClassSettings(name="default", region="eu-west-1", domains=(DOMAIN,))
    return Snapshot(settings=settings, routes=served)


@asynccontextmanager
async def hot_plane() -> AsyncIterator[HotPlane]:
    backend, store = Backend(), SnapshotStore()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=256 * 1024)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        async with dataplane(DataplaneSettings(listen_port=0), store) as services:
            await store.swap(snapshot(*routes(backend.port).values()), secrets_of())
            yield HotPlane(services, backend)
    finally:
        server.close()
        backend.ending.set()
        for writer in backend.writers:
            writer.transport.abort()
        await settle(10)
