"""An HTTP/1.1 server that is honest about bytes: the socket half of the recording backend and of
the fake STS.

It runs in a thread with a loop of its own, so synchronous tests with boto3 can use it. It parses no
more than it must and normalises nothing; a client mistake (bad framing, two lengths) is recorded as
it arrived. Not here: what is answered. A `Responder` decides that from the head and, when the body
is in, from the request.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bucketroute_testing.journal import Journal
from bucketroute_testing.wire_exchange import (
    AbortedError,
    ClosedEarlyError,
    read_planned,
    send,
)
from bucketroute_testing.wire_types import (
    Answer,
    BodyDigest,
    KiB,
    MiB,
    ReadPlan,
    RecordedRequest,
    RequestHead,
)

_HEAD_LIMIT_BYTES = 256 * KiB
_START_DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a responder chose for one request: how to read it and how to answer it."""

    read: ReadPlan
    answer: Callable[[RecordedRequest], Answer]


class Responder(Protocol):
    """Decides about one request. Called on the server's thread; must not block."""

    def decide(self, head: RequestHead) -> Decision: ...


class WireServer:
    """A listening server; `with WireServer(...) as server:` starts and stops it."""

    def __init__(
        self,
        responder: Responder,
        journal: Journal,
        *,
        name: str,
        tls: ssl.SSLContext | None = None,
        keep_body_bytes: int = 128 * MiB,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self._responder = responder
        self._journal = journal
        self._name = name
        self._tls = tls
        self._keep_body_bytes = keep_body_bytes
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer_bytes is not None:
            # Inherited by accepted sockets: bounds what the kernel swallows while the server does
            # not read.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._requests: list[RecordedRequest] = []
        self._heads: list[RequestHead] = []
        self._connections = 0
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"wire-{name}", daemon=True)
        self._is_ready = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def heads(self) -> tuple[RequestHead, ...]:
        """The head of every request so far, also of those whose body is still on its way."""
        with self._lock:
            return tuple(self._heads)

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request that came to its end, in the order of their ends."""
        with self._lock:
            return tuple(self._requests)

    @property
    def connection_count(self) -> int:
        """Connections accepted so far."""
        return self._connections

    @property
    def open_connection_count(self) -> int:
        return self._open

    def forget(self) -> None:
        """Drop what was recorded so far, and the journal's events."""
        with self._lock:
            self._requests.clear()
            self._heads.clear()
        self._journal.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_ready.wait(_START_DEADLINE_SECONDS):
            raise TimeoutError(f"the {self._name} fake did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_START_DEADLINE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._on_connection, sock=self._socket, ssl=self._tls, limit=_HEAD_LIMIT_BYTES
        )
        self._is_ready.set()
        await self._stopping.wait()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections += 1
        self._open += 1
        connection_id = self._connections
        try:
            while await self._one_request(reader, writer, connection_id):
                pass
        except AbortedError:
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ClosedEarlyError):
            # The peer left, the script said so, or the fake is stopping: normal ends here.
            pass
        finally:
            self._open -= 1
            self._tasks.discard(task)
            self._journal.record(self._name, "closed", str(connection_id))
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _one_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection_id: int
    ) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        head = self._record_head(raw, connection_id)
        decision = self._responder.decide(head)
        digest = BodyDigest(keep_bytes=self._keep_body_bytes)
        is_complete = False
        try:
            if not decision.read.answer_first:
                if "100-continue" in (head.header("expect") or "").lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await read_planned(reader, head, decision.read, digest)
                is_complete = True
        finally:
            request = self._record_end(head, digest, is_complete=is_complete)
        answer = decision.answer(request)
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        must_close = answer.close or not is_complete
        await send(writer, answer, head.method, must_close=must_close)
        self._journal.record(self._name, "answered", f"{answer.status} {head.target}")
        return not must_close

    def _record_head(self, raw: bytes, connection_id: int) -> RequestHead:
        with self._lock:
            head = parse_head(raw, connection_id=connection_id, index=len(self._heads))
            self._heads.append(head)
        self._journal.record(self._name, "head", f"{head.method} {head.target}")
        return head

    def _record_end(
        self, head: RequestHead, digest: BodyDigest, *, is_complete: bool
    ) -> RecordedRequest:
        request = RecordedRequest(
            head=head,
            body=digest.body(),
            body_length=digest.length,
            body_sha256=digest.sha256(),
            is_complete=is_complete,
            ended_at_seconds=time.monotonic(),
        )
        with self._lock:
            self._requests.append(request)
        kind = "request" if is_complete else "cut"
        self._journal.record(self._name, kind, f"{head.method} {head.target}")
        return request


def parse_head(raw: bytes, *, connection_id: int, index: int) -> RequestHead:
    """Split a request head; header values are latin-1, as RFC 9110 section 5.5 has them."""
    lines = raw.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    pairs = (line.partition(":") for line in lines[1:])
    return RequestHead(
        raw=raw,
        method=method,
        target=target,
        headers=tuple((name, value.strip()) for name, _, value in pairs),
        connection_id=connection_id,
        index=index,
        at_seconds=time.monotonic(),
    )
