"""One kept-alive HTTP/1.1 connection to a backend.

A bare asyncio.Protocol: heads are parsed by llhttp (httptools), bodies of known length are counted
and handed on untouched. The owner of an exchange is its `ResponseSink`; the connection belongs to
its pool again when the response is complete, and is closed whenever its state is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

from bucketroute_dataplane.core.checksums import BytesLike
from bucketroute_dataplane.core.messages import Header, ReadyRequest, UpstreamRequest
from bucketroute_dataplane.shell.bulk import BulkMover, has_unread
from bucketroute_dataplane.shell.upstream_ports import BackendError, BackendSocket, ResponseSink
from bucketroute_dataplane.shell.watchdog import Watchdog

MAX_HEAD_BYTES = 64 * 1024

_BODILESS = frozenset((204, 304))
# Up to this size a copy is cheaper than a second system call.
_JOIN_BYTES = 64 * 1024


class UpstreamConnection(BackendSocket):
    """Idle, or in one exchange with `sink`. Deadlines: first byte, then between bytes."""

    _parser: Any = None  # httptools' own, which has no types

    def __init__(
        self,
        watchdog: Watchdog,
        on_idle: Callable[[UpstreamConnection], None],
        bulk: BulkMover | None = None,
    ) -> None:
        super().__init__()
        self.is_reused = False
        self.idle_since = 0.0
        self.bulk = bulk
        self._watchdog = watchdog
        self._on_idle = on_idle
        self._sink: ResponseSink | None = None
        self._unsent = 0
        self._first_byte_seconds = 0.0
        self._headers: list[Header] = []
        self._remaining: int | None = None
        self._reset_response()

    # -- the exchange ------------------------------------------------------------------------

    def start(
        self,
        request: UpstreamRequest | ReadyRequest,
        body: bytes,
        sink: ResponseSink,
        *,
        first_byte_seconds: float,
        idle_seconds: float,
    ) -> None:
        """Sends the head and what there is of the body; the rest follows by `write`."""
        if self.transport is None or self.transport.is_closing():
            # Closed between the dial and now.
            sink.on_backend_error(BackendError("the backend closed the connection", is_stale=True))
            return
        self._sink = sink
        self._method = request.method
        self._unsent = (request.content_length or 0) - len(body)
        self._idle_seconds = idle_seconds
        self._first_byte_seconds = first_byte_seconds
        head = request.head()
        if len(body) <= _JOIN_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        self._wait_for_backend()

    def write(self, data: BytesLike) -> None:
        """Sends more of the request body; never more than the announced length."""
        if self.transport is None or self._sink is None:
            return
        self._unsent -= len(data)
        assert self._unsent >= 0, "more body than Content-Length announces"
        self.transport.write(data)
        self._wait_for_backend()

    def abort(self) -> None:
        """Ends the exchange without a word: what was half sent never becomes an object."""
        self._sink = None
        self.deadline = None
        if self.transport is not None:
            self.transport.abort()

    def pause_response(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()
        self.deadline = None

    def resume_response(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            if self._sink is not None:
                self.expect_more()

    # -- bodies that are moved by the kernel -------------------------------------------------

    @property
    def remaining_bytes(self) -> int:
        """What is still to come of a response that is counted."""
        return self._remaining or 0

    @property
    def unsent_bytes(self) -> int:
        """What is still to be sent of the request body."""
        return self._unsent

    def response_moved(self, count: int) -> None:
        """That much of the response went around this connection."""
        assert self._remaining is not None
        self._remaining -= count
        if self._remaining == 0 and self._sink is not None:
            self._finish(is_in_step=not has_unread(self.transport))

    def await_upload(self, *, is_for_backend: bool) -> None:
        """The rest of the request body moves on once the backend has taken, or the client sent."""
        self._is_full = is_for_backend
        self._wait_for_backend()

    def request_moved(self, count: int) -> None:
        """That much of the request body went around this connection."""
        self._unsent -= count
        self.await_upload(is_for_backend=False)

    def on_broken(self) -> None:
        self._fail(BackendError("the backend closed the connection"))

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclass
        assert self.transport is not None
        self.set_usual_buffer()
        self._watchdog.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._watchdog.discard(self)
        if self._until_close and self._status and exc is None:
            self._finish()
        elif self._sink is not None:
            is_stale = self.is_reused and not self._has_received
            self._fail(BackendError("the backend closed the connection", is_stale=is_stale))
        else:
            self._on_idle(self)
        self._parser = None  # it knows this connection, and that would be a circle

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self._wait_for_backend()
        if self._sink is not None:
            self._sink.on_backend_writable()

    def data_received(self, data: bytes) -> None:
        if self._sink is None:
            # Bytes that nobody asked for: the next response would be read out of step.
            self.abort()
            return
        self._has_received = True
        self.expect_more()
        if self._remaining is not None:
            self._counted(data)
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(BackendError(f"the backend's answer is not HTTP/1.1: {exc}"))
            return
        if self._head_bytes > MAX_HEAD_BYTES and self._sink is not None:
            self._fail(BackendError("the backend's response head or trailer is too large"))
        elif self._is_counted and self._sink is not None:
            self._remaining = self._uncounted

    def on_deadline(self) -> None:
        self._fail(BackendError("the backend did not answer in time", is_timeout=True))

    # -- httptools callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._sink is None:  # what follows an answer would be taken for the next one's
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else a trailer, which is no header (RFC 9110 §6.5.1)
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._sink is None:  # a second response to one request
            self.abort()
            return
        if 100 <= status < 200:
            self._headers = []
            self._has_received = False
            self._wait_for_backend()
            return
        self._status = status
        fields = dict(self._headers)
        length = int(fields[b"content-length"]) if b"content-length" in fields else None
        if self._method == b"HEAD" or status in _BODILESS:
            self._deliver_head(length)
            self._finish()
            return
        is_chunked = b"transfer-encoding" in fields
        self._is_counted = length is not None and not is_chunked
        self._uncounted = length or 0
        self._until_close = length is None and not is_chunked
        self._deliver_head(None if is_chunked else length)

    def on_body(self, body: bytes) -> None:
        if self._sink is None:  # a body where none belongs: behind HEAD, 204 or 304
            self.abort()
            return
        self._head_bytes = 0
        self._uncounted -= len(body)
        self._sink.on_response_body(body)

    def on_message_complete(self) -> None:
        if self._status and self._sink is not None:
            self._finish()

    # -- inside ------------------------------------------------------------------------------

    def _wait_for_backend(self) -> None:
        """The deadline of what the backend owes; while the client owes body, its own counts."""
        if self._sink is None or self._has_received:
            return
        if self._unsent == 0:
            self.deadline = self._loop.time() + self._first_byte_seconds
        elif self.is_write_paused or self._is_full:
            self.expect_more()
        else:
            self.deadline = None

    def _counted(self, data: bytes) -> None:
        assert self._remaining is not None
        assert self._sink is not None
        is_excessive = len(data) > self._remaining
        if is_excessive:
            data = data[: self._remaining]
        remaining = self._remaining = self._remaining - len(data)
        self._sink.on_response_body(data)
        if remaining == 0 and self._sink is not None:
            # What follows the response would be taken for the next one.
            self._finish(is_in_step=not is_excessive)

    def _deliver_head(self, length: int | None) -> None:
        assert self._sink is not None
        self._sink.on_response_head(self._status, self._headers, length)

    def _finish(self, *, is_in_step: bool = True) -> None:
        """The response is complete: back to the pool, unless the request is not or it says so."""
        sink, self._sink = self._sink, None
        self.deadline = None
        is_whole = is_in_step and self._unsent == 0 and not self._until_close
        keep = is_whole and self._parser.should_keep_alive()
        self._reset_response()
        self.is_reused = True
        self.idle_since = self._loop.time()
        if self.transport is not None and not keep:
            self.transport.abort()
        elif self.transport is not None and self.is_usable:
            # A slow client may have paused it; the next exchange starts with a clean slate.
            self.transport.resume_reading()
            self._on_idle(self)
        if sink is not None:
            sink.on_response_end()

    def _fail(self, error: BackendError) -> None:
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.on_backend_error(error)

    def _reset_response(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers = []
        self._method = b""
        self._status = 0
        self._head_bytes = 0
        self._has_received = False
        self._is_full = False
        self._is_counted = False
        self._until_close = False
        self._uncounted = 0
        self._remaining = None
