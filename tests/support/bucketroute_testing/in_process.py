"""A data plane in the test's own process: real services, a loopback backend, no child process."""

import asyncio
import io
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bucketroute_dataplane.core.backend_credentials import UNSIGNED, Credentials, Unsigned
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.access_log import AccessLog
from bucketroute_dataplane.shell.backend_credentials import BackendCredentials
from bucketroute_dataplane.shell.server import dataplane
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import (
    AccessKeySecret,
    AccessKeySubject,
    Backend,
    ClassSettings,
    NetworkScope,
    Secret,
    Snapshot,
    SnapshotSecrets,
    UnsignedAuth,
)
from bucketroute_testing.heads import head, route, rule
from bucketroute_testing.signing import AccessKey, Signer
from bucketroute_testing.transports import settle

KEY = AccessKey(access_key_id="AKIDCALLER", secret_access_key="a-secret")
BUCKET = "photos"
HOST = "gateway:9000"
Reply = Callable[["BackendRequest", asyncio.StreamWriter], Awaitable[None]]


class BackendRequest:
    """What the backend got: head as text, body as far as it came."""

    def __init__(self, head_: str) -> None:
        self.head = head_
        self.body = b""
        self.is_complete = False

    @property
    def declared(self) -> int:
        for line in self.head.split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "content-length":
                return int(value)
        return 0


async def reply_ok(request: BackendRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class LoopbackBackend:
    """Reads what is announced, and answers with `reply`. `trace` tells what came when."""

    def __init__(self, trace: list[str]) -> None:
        self.requests: list[BackendRequest] = []
        self.reply: Reply = reply_ok
        self.trace = trace
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await settle(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                request = BackendRequest(raw.decode())
                self.trace.append("forward")
                self.requests.append(request)
                while len(request.body) < request.declared:
                    piece = await reader.read(65536)
                    if not piece:
                        return
                    request.body += piece
                request.is_complete = True
                await self.reply(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class TracedCredentials(BackendCredentials):
    """Has nothing at hand: each request must ask, and is seen asking."""

    def __init__(self, trace: list[str]) -> None:
        self.tasks: list[asyncio.Task[Any] | None] = []
        self._trace = trace

    def peek(self, backend: Backend) -> Credentials | Unsigned | None:
        return None

    async def get(self, backend: Backend) -> Credentials | Unsigned:
        self._trace.append("credentials")
        self.tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        return UNSIGNED


class InProcess:
    """Services whose one route, BUCKET, leads to the loopback backend and admits KEY."""

    def __init__(self, services: Services, backend: LoopbackBackend, trace: list[str]) -> None:
        self.services = services
        self.backend = backend
        self.trace = trace
        self.log = io.StringIO()
        services.access_log = AccessLog(self.log.write, now=lambda: 1_767_323_045.5)

    def logged(self) -> str:
        self.services.access_log.flush()
        return self.log.getvalue()


@asynccontextmanager
async def in_process(**settings: Any) -> AsyncIterator[InProcess]:
    trace: list[str] = []
    backend, store = LoopbackBackend(trace), SnapshotStore()
    configured = DataplaneSettings(**{"listen_port": 0, **settings})
    async with backend.running(), dataplane(configured, store) as services:
        await store.swap(_snapshot(backend.port), _SECRETS)
        yield InProcess(services, backend, trace)


def signed_head(
    method: str, target: str, *headers: tuple[str, str], payload_hash: str = "UNSIGNED-PAYLOAD"
) -> RequestHead:
    """A head that KEY signed now; `target` as on the wire."""
    signed = Signer(key=KEY).sign(
        method, f"http://{HOST}{target}", headers=headers, payload_hash=payload_hash
    )
    raw = [(name.lower().encode(), value.encode()) for name, value in signed.headers]
    return head(method, target, *raw)


_SECRETS = SnapshotSecrets(
    access_keys=(
        AccessKeySecret(
            namespace="team-a",
            name="key",
            access_key_id=KEY.access_key_id,
            secret_access_key=Secret(KEY.secret_access_key),
        ),
    ),
    sealing_keys=(Secret(b64encode(b"k" * 32).decode()),),
)


def _snapshot(port: int) -> Snapshot:
    backend = Backend(
        endpoint=f"http://127.0.0.1:{port}",
        bucket="acme-backend",
        region="eu-west-1",
        auth=UnsignedAuth(),
        network_scope=NetworkScope.LOOPBACK,
    )
    everything = rule(subjects=[AccessKeySubject(namespace="team-a", name="key")])
    settings = ClassSettings(name="default", region="eu-west-1")
    return Snapshot(settings=settings, routes=(route(BUCKET, everything, backend=backend),))
