"""The client's side of one exchange: its body as it arrives; the response is its base class.

A `ClientStream` takes the place of uvicorn's RequestResponseCycle for requests that the S3 front
serves itself: no scope, no ASGI messages, and a body piece that arrives goes to whoever pumps it
within the same call. The S3Protocol drives it; the exchange reads and writes through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.shell.client_ports import (
    BODY_IDLE_SECONDS,
    WRITE_IDLE_SECONDS,
    BodyConsumer,
    ClientConnection,
    ClientGoneError,
)
from bucketroute_dataplane.shell.client_response import ClientResponse

# What may arrive before somebody takes it; then the socket is not read.
MAX_QUEUED_BYTES = 64 * 1024
# For a body that is held: whoever sends it byte by byte holds room that others want.
HELD_BODY_SECONDS = 120.0


class ClientStream(ClientResponse):
    """One request and its response. `response_complete`, `disconnected`, `keep_alive`,
    `message_event` and `run_asgi` are those that uvicorn's protocol uses of its cycle. `is_running`
    is set by the protocol: while a pipelined request waits, the connection's deadline belongs to
    the one before it. What stands here in the class is the value of a new stream."""

    received_bytes = 0
    work: Awaitable[None] | None = None
    _queued_bytes = 0
    _is_pumping = False
    _wakeup: asyncio.Future[None] | None = None
    _failure: Exception | None = None

    def __init__(
        self,
        connection: ClientConnection,
        head: RequestHead,
        *,
        keep_alive: bool,
        expects_continue: bool,
        is_http10: bool = False,
    ) -> None:
        super().__init__(
            connection,
            head,
            keep_alive=keep_alive,
            expects_continue=expects_continue,
            is_http10=is_http10,
        )
        self._queue: list[bytes] = []

    @property
    def message_event(self) -> ClientStream:
        """Not an attribute: a stream that held itself would be garbage that only a collection
        finds."""
        return self

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

    async def read_body(
        self, limit_bytes: int, *, within_seconds: float = HELD_BODY_SECONDS
    ) -> bytes:
        """The whole body, read in this task. Bounded in size and time whatever the head declared.

        Raises: S3Error EntityTooLarge, RequestTimeout; ClientGoneError.
        """
        self.send_continue()
        # In one block: a piece that is kept until the end leaves a hole in the heap where it was,
        # and many bodies together then take twice their size.
        body = bytearray(self.take_queued())
        due = self._loop.time() + within_seconds
        while not self.body_complete and len(body) <= limit_bytes:
            left = due - self._loop.time()
            if left <= 0:
                raise s3_error("RequestTimeout")
            self._expect_within(min(BODY_IDLE_SECONDS, left))
            await self._more()
            body += self.take_queued()
        if len(body) > limit_bytes:
            raise s3_error("EntityTooLarge", MaxSizeAllowed=str(limit_bytes))
        return bytes(body)

    def take_queued(self) -> bytes:
        """What has arrived of the body by now."""
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        return queue[0] if len(queue) == 1 else b"".join(queue)

    def queued_body(self) -> bytes:
        """What has arrived of the body by now, which stays where it is."""
        return b"".join(self._queue)

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

    def body_moved(self) -> None:
        """The rest of the body went around this stream."""
        self._connection.skip_body()
        self._connection.resume_reading()  # to see that the client leaves
        self.feed_end()

    def expect_body(self) -> None:
        self._expect_within(BODY_IDLE_SECONDS)

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
        if self._failure is None:
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
