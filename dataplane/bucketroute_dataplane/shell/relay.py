"""Couples a client's stream and a backend's connection for one exchange.

Body pieces cross in the call that brought them, in both directions, with backpressure: when one
side's socket is full the other side's is not read. The exchange only awaits two moments, the
response head and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.messages import Deadlines, Header, ReadyRequest, UpstreamRequest
from bucketroute_dataplane.core.upload import UploadTransform
from bucketroute_dataplane.shell.bulk import MIN_MOVE_BYTES
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.relay_moves import ResponseMove, UploadMove
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError

# What a response may hold before its head has been looked at.
MAX_EARLY_BYTES = 256 * 1024
MAX_PROGRESS_BYTES = 4 * 1024


class ResponseHead(NamedTuple):
    """A backend's answer; `length` is None where it is not known."""

    status: int
    headers: list[Header]
    length: int | None


class Relay:
    """One exchange. Use: `send` or `send_streamed`, await `head()`, then `pass_on` or `collect`."""

    is_upload_complete = True
    _head: ResponseHead | None = None
    _waiter: asyncio.Future[None] | None = None
    _transform: UploadTransform | None = None
    _early_bytes = 0
    _failure: Exception | None = None
    _is_passing = False
    _is_collecting = False
    _is_ended = False
    _upload_move: UploadMove | None = None
    _response_move: ResponseMove | None = None

    def __init__(self, client: ClientStream, connection: UpstreamConnection) -> None:
        self._client = client
        self._connection = connection
        self._early: list[bytes] = []

    # -- the exchange's side -------------------------------------------------------------------

    def send(
        self, request: UpstreamRequest | ReadyRequest, body: bytes, deadlines: Deadlines
    ) -> None:
        """Sends a request whose body, if any, is at hand."""
        self._client.follow(self)
        if self._failure is not None:
            return  # the client is gone; the request need not even begin
        self._connection.start(
            request,
            body,
            self,
            first_byte_seconds=deadlines.first_byte,
            idle_seconds=deadlines.idle,
        )

    def send_streamed(
        self,
        request: UpstreamRequest | ReadyRequest,
        transform: UploadTransform | None,
        deadlines: Deadlines,
    ) -> None:
        """Sends the head with what has come of the body, and from now on the rest as it comes.

        Raises: S3Error if what has come is wrong.
        """
        self.is_upload_complete = False
        self._transform = transform
        early = self._client.take_queued()
        if transform is not None and early:
            try:
                early = b"".join(transform.feed(early))
            except S3Error:
                self._connection.abort()
                raise
        self.send(request, early, deadlines)
        if self._failure is None:
            self._client.pump_to(self)
            if transform is None and self._connection.unsent_bytes >= MIN_MOVE_BYTES:
                self._upload_move = UploadMove.begun(self._client, self._connection)

    async def head(self) -> ResponseHead:
        """Raises: BackendError; S3Error if the body is wrong; ClientGoneError."""
        while self._head is None:
            await self._news()
        return self._head

    async def pass_on(self) -> None:
        """Streams the response body to the client, whose response has been started.

        Raises: BackendError, ClientGoneError.
        """
        self._is_passing = True
        early, self._early = self._early, []
        for piece in early:
            self._client.write(piece)
        if not self._is_ended and early and not self._client.is_write_paused:
            self._connection.resume_response()
        while not self._is_ended:
            await self._news()

    async def collect(
        self, limit_bytes: int, *, on_progress: Callable[[bytes], None] | None = None
    ) -> bytes:
        """The whole response body. `on_progress` sees what there is of it while more is to come
        (only its beginning, MAX_PROGRESS_BYTES).

        Raises: BackendError if it is larger than the limit, or breaks off; ClientGoneError.
        """
        self._is_collecting = True
        while not self._is_ended and self._early_bytes <= limit_bytes:
            if on_progress is not None and 0 < self._early_bytes <= MAX_PROGRESS_BYTES:
                on_progress(b"".join(self._early))
            self._connection.resume_response()
            await self._news()
        if self._early_bytes > limit_bytes:
            self._release()
            raise BackendError(f"the answer is larger than {limit_bytes} bytes")
        return b"".join(self._early)

    async def _news(self) -> None:
        """Until something has happened to the response. Raises: what the exchange failed with."""
        if self._failure is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self._release()
                raise
        if self._failure is not None:
            raise self._failure

    def _release(self) -> None:
        """Closes the connection, unless the exchange is over and it may serve another already."""
        if not self._is_ended:
            self._stop_moves()
            self._connection.abort()

    # -- BodyConsumer: the client's body -------------------------------------------------------

    def on_client_body(self, data: bytes) -> None:
        connection = self._connection
        if self._transform is None:
            connection.write(data)
        else:
            try:
                pieces = self._transform.feed(data)
            except S3Error as exc:
                self._fail(exc)
                return
            for piece in pieces:
                connection.write(piece)
        if connection.is_write_paused:
            self._client.pause_body()

    def on_client_end(self) -> None:
        self.is_upload_complete = True
        if self._transform is not None:
            try:
                pieces = self._transform.finish()
            except S3Error as exc:
                self._fail(exc)
                return
            for piece in pieces:
                self._connection.write(piece)

    def on_client_failed(self, error: Exception) -> None:
        self._fail(error)

    def on_client_writable(self) -> None:
        move = self._response_move
        if move is not None and not move.is_over:
            move.on_flushed()
        elif not self._is_ended:
            self._connection.resume_response()

    # -- ResponseSink: the backend's answer ----------------------------------------------------

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None:
        if not self.is_upload_complete:  # an early answer: the rest of the upload is not wanted
            self._stop_moves()
        self._head = ResponseHead(status, headers, length)
        self._wake()

    def on_response_body(self, data: bytes) -> None:
        if self._is_passing:
            self._client.write(data)
            if self._client.is_write_paused:
                self._connection.pause_response()
            elif self._may_move():
                self._response_move = ResponseMove.begun(self._client, self._connection)
            return
        self._early.append(data)
        self._early_bytes += len(data)
        if self._is_collecting:
            self._wake()
        elif self._early_bytes > MAX_EARLY_BYTES:
            self._connection.pause_response()

    def _may_move(self) -> bool:
        """Not again after a refusal."""
        return self._response_move is None and self._connection.remaining_bytes >= MIN_MOVE_BYTES

    def on_response_end(self) -> None:
        self._is_ended = True
        self._wake()

    def on_backend_error(self, error: BackendError) -> None:
        self._fail(error)

    def on_backend_writable(self) -> None:
        move = self._upload_move
        if move is not None and not move.is_over:
            move.on_flushed()
        else:
            self._client.resume_body()

    # -- inside --------------------------------------------------------------------------------

    def _fail(self, failure: Exception) -> None:
        """Ends the exchange with both sides' sockets in no doubt."""
        if self._is_ended or self._failure is not None:
            return
        self._failure = failure
        self._stop_moves()
        self._connection.abort()
        self._client.stop_body()
        self._wake()

    def _stop_moves(self) -> None:
        for move in (self._upload_move, self._response_move):
            if move is not None:
                move.stop()
        self._upload_move = self._response_move = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
