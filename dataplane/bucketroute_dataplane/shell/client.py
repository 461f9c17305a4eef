"""The client's side of one exchange: its body as it arrives, its response as it leaves.

A `ClientStream` takes the place of uvicorn's RequestResponseCycle for requests that the S3 front
serves itself: no scope, no ASGI messages, and a body piece that arrives goes to whoever pumps it
within the same call. The S3Protocol drives it; the exchange reads and writes through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import Any

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.messages import Header, RequestHead
from bucketroute_dataplane.shell.client_ports import (
    BODY_IDLE_SECONDS,
    WRITE_IDLE_SECONDS,
    BodyConsumer,
    ClientConnection,
    ClientGoneError,
    response_head,
)

# What may arrive before somebody takes it; then the socket is not read.
MAX_QUEUED_BYTES = 64 * 1024
_JOIN_BYTES = 64 * 1024
_BODILESS = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))


class ClientStream:
    """One request and its response. The attributes up to `message_event`, and `run_asgi`, are those
    that uvicorn's protocol uses of its cycle. `is_running` is set by the protocol: while a
    pipelined request waits, the connection's deadline belongs to the one before it."""

    def __init__(
        self,
        connection: ClientConnection,
        head: RequestHead,
        *,
        keep_alive: bool,
        expects_continue: bool,
        is_http10: bool = False,
    ) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = keep_alive
        self.message_event = self
        self.head = head
        self.response_started = False
        self.received_bytes = 0
        self.sent_bytes = 0
        self.is_running = False
        self.is_write_paused = False
        self.body_complete = False
        self.work: Awaitable[None] | None = None
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._is_http10 = is_http10
        self._expects_continue = expects_continue and not is_http10
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._consumer: BodyConsumer | None = None
        self._is_pumping = False
        self._is_unwanted = False
        self._wakeup: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._pending_head: bytes | None = None
        self._is_chunked = False
        self._ends_with_connection = False

    async def run_asgi(self, app: Any) -> None:
        """uvicorn starts a cycle by this name, with the ASGI application that S3 does not need."""
        assert self.work is not None
        await self.work

    def set(self) -> None:
        """uvicorn sets its cycle's message event when the connection is lost."""

    # -- driven by the protocol ----------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._is_unwanted:
            return
        self._expect_within(BODY_IDLE_SECONDS)
        if self._is_pumping and self._consumer is not None:
            self._consumer.on_client_body(data)
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        if self._queued_bytes > MAX_QUEUED_BYTES and self._wakeup is None:
            self.pause_body()
        self._wake()

    def feed_end(self) -> None:
        self.body_complete = True
        self._expect_within(None)
        if self._is_pumping and self._consumer is not None:
            self._consumer.on_client_end()
        else:
            self._wake()

    def lost(self) -> None:
        self.disconnected = True
        self.fail(ClientGoneError())

    def fail(self, error: Exception) -> None:
        """The body will not come to its end; whoever waits for something of it gets `error`."""
        if self._failure is None or self.disconnected:
            self._failure = error
        self._wake()
        if self._consumer is not None:
            self._consumer.on_client_failed(error)

    def write_paused(self) -> None:
        self.is_write_paused = True
        self._expect_within(WRITE_IDLE_SECONDS)

    def write_resumed(self) -> None:
        self.is_write_paused = False
        self._expect_within(None)
        if self._consumer is not None:
            self._consumer.on_client_writable()

    # -- the body -------------------------------------------------------------------------------

    async def read_body(self, limit_bytes: int) -> bytes:
        """The whole body, read in this task. Bounded whatever the head declared.

        Raises: S3Error EntityTooLarge, RequestTimeout; ClientGoneError.
        """
        self.send_continue()
        # In one block: a piece that is kept until the end leaves a hole in the heap where it was,
        # and many bodies together then take twice their size.
        body = bytearray(self.take_queued())
        while not self.body_complete and len(body) <= limit_bytes:
            self._expect_within(BODY_IDLE_SECONDS)
            await self._more()
            body += self.take_queued()
        if len(body) > limit_bytes:
            raise s3_error("EntityTooLarge", MaxSizeAllowed=str(limit_bytes))
        return bytes(body)

    def take_queued(self) -> bytes:
        """What has arrived of the body by now."""
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        return queue[0] if len(queue) == 1 else b"".join(queue)

    def pump_to(self, consumer: BodyConsumer) -> None:
        """From now on `consumer` gets every piece as it comes, and the news of the connection."""
        self.send_continue()
        self._consumer, self._is_pumping = consumer, True
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        for piece in queue:
            consumer.on_client_body(piece)
        if self._failure is not None:
            consumer.on_client_failed(self._failure)
        elif self.body_complete:
            consumer.on_client_end()
        else:
            self.resume_body()

    def follow(self, consumer: BodyConsumer) -> None:
        """From now on `consumer` hears of the connection, without taking a body."""
        self._consumer = consumer
        if self._failure is not None:
            consumer.on_client_failed(self._failure)

    def pause_body(self) -> None:
        self._connection.pause_reading()
        self._expect_within(None)

    def resume_body(self) -> None:
        if self._is_pumping and not self.body_complete:
            self._expect_within(BODY_IDLE_SECONDS)
            self._connection.resume_reading()

    def stop_body(self) -> None:
        """Nobody wants the rest of the body; it stays on the socket until the answer is out."""
        self._is_pumping, self._is_unwanted = False, True
        self._queue, self._queued_bytes = [], 0
        if not self.body_complete:
            self.pause_body()

    def send_continue(self) -> None:
        """Answers `Expect: 100-continue`; called once the caller is known and allowed.

        Also for an empty body: botocore waits for the 100 there too, and would read one that it
        did not get out of the next response.
        """
        if self._expects_continue and not self.response_started and not self.disconnected:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._wakeup = self._loop.create_future()
        self._connection.resume_reading()
        try:
            await self._wakeup
        finally:
            self._wakeup = None
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _expect_within(self, seconds: float | None) -> None:
        """When the client is to have moved on; None while it owes nothing."""
        if self.is_running:
            deadline = None if seconds is None else self._loop.time() + seconds
            self._connection.deadline = deadline

    # -- the response -----------------------------------------------------------------------------

    def respond(self, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
        """A complete response. To HEAD, and with 204 and 304, the body stays away."""
        if self.head.method == b"HEAD" or status in _BODILESS:
            self.start(status, headers, length=None, is_bodiless=True)
        else:
            self.start(status, headers, length=len(body))
            self.write(body)
        self.finish()

    def start(
        self,
        status: int,
        headers: Iterable[Header],
        *,
        length: int | None,
        is_bodiless: bool = False,
    ) -> None:
        """Begins a response; until a byte is sent another `start` replaces it. `length` None means
        that it is not known, or, with `is_bodiless`, that the headers say all there is to say."""
        framing: list[Header] = []
        is_open_ended = length is None and not is_bodiless
        self._is_chunked = is_open_ended and not self._is_http10
        self._ends_with_connection = is_open_ended and self._is_http10
        if length is not None:
            framing.append((b"content-length", b"%d" % length))
        elif self._is_chunked:
            framing.append((b"transfer-encoding", b"chunked"))
        # The client may or may not send the body now: the connection is out of step.
        is_unsure = not self.body_complete or self._expects_continue
        self.keep_alive = self.keep_alive and not (is_unsure or self._connection.is_leaving)
        if not self.keep_alive:
            framing.append((b"connection", b"close"))
        self._pending_head = response_head(status, (*headers, *framing))

    def write(self, data: bytes) -> None:
        """Sends a piece of the body; check `is_write_paused` afterwards."""
        if self.disconnected or not data:
            return
        self.sent_bytes += len(data)
        if self.is_write_paused:
            self._expect_within(WRITE_IDLE_SECONDS)
        if self._is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        head, self._pending_head = self._pending_head, None
        if head is not None:
            self.response_started = True
            if len(data) <= _JOIN_BYTES:
                data = head + data
            else:
                self._connection.write(head)
        self._connection.write(data)

    def finish(self) -> None:
        """The response is complete; what the client still sends of its body is thrown away."""
        self._consumer = None
        self.response_complete = True
        if self.disconnected:
            return
        tail = b"0\r\n\r\n" if self._is_chunked else b""
        if self._pending_head is not None or tail:
            self.response_started = True
            self._connection.write((self._pending_head or b"") + tail)
            self._pending_head = None
        if self.keep_alive:
            self._connection.on_response_complete()
        elif self.body_complete:
            self._connection.close()
        else:
            self._is_unwanted = True
            self._connection.linger()

    def break_off(self) -> None:
        """The response cannot be completed: the client must notice, so the socket closes."""
        self._consumer = None
        self.response_complete = True
        self.keep_alive = False
        if self._ends_with_connection:
            self._connection.abort()
        else:
            self._connection.close()
