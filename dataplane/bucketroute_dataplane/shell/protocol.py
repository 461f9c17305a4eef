"""uvicorn's HTTP protocol with the S3 front built in.

Everything that is not an administrative path becomes a ClientStream and is served without ASGI;
`/-/…` goes to the Starlette application as usual. What this class leans on inside uvicorn is
listed in `tests/unit/dataplane/test_uvicorn_contract.py`, so that an upgrade which changes it
fails there first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.xml import error_document
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.upstream import WRITE_HIGH_BYTES, WRITE_LOW_BYTES
from bucketroute_dataplane.shell.watchdog import Watchdog

ADMIN_PREFIX = b"/-/"
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0

# Serves a stream: at once, as far as nothing has to be waited for; the rest is what it returns.
Begin = Callable[[ClientStream], Awaitable[None] | None]


class S3Protocol(HttpToolsProtocol):
    """One client connection. `begin` and `watchdog` come from `s3_protocol()`."""

    begin: Begin
    watchdog: Watchdog

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadline: float | None = None
        self._is_in_head = True
        self._head_bytes = 0
        # Of S3 requests: the one whose body arrives, and the one that is being answered. They
        # differ while pipelined requests wait. None where ASGI has the request.
        self._arriving: ClientStream | None = None
        self._running: ClientStream | None = None
        # A request whose head is in, to be begun when the rest of what came with it is.
        self._next: ClientStream | None = None

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        self.deadline = self.loop.time() + HEAD_SECONDS
        self.watchdog.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = None
        self.watchdog.discard(self)
        self.pipeline.clear()
        super().connection_lost(exc)
        for stream in {self._running, self._arriving}:
            if stream is not None and not stream.response_complete:
                stream.lost()

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        stream, self._next = self._next, None
        if stream is not None and not self.transport.is_closing():
            self._begin(stream)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(s3_error("RequestHeaderSectionTooLarge").code)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._running is not None:
            self._running.write_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._running is not None:
            self._running.write_resumed()

    def on_deadline(self) -> None:
        """The peer was silent for too long."""
        self.deadline = None
        stream = self._running
        if stream is not None and not stream.response_started:
            self._refuse("RequestTimeout")
        self.transport.abort()

    # -- parser callbacks ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # Not yet a scope: most requests never need one.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_bytes = 0
        self.deadline = None
        path, _, query = self.url.partition(b"?")
        if path.startswith(ADMIN_PREFIX):
            self._hand_to_asgi()
            return
        stream = ClientStream(
            self,
            RequestHead(
                method=self.parser.get_method(),
                raw_path=path,
                raw_query=query,
                headers=self.headers,
                is_tls=self.scheme == "https",
                client_address=self.client[0] if self.client else "",
            ),
            keep_alive=self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0",
            expects_continue=self.expect_100_continue,
        )
        self._arriving = stream
        previous: Any = self.cycle
        self.cycle = stream  # type: ignore[assignment]  # stands in for uvicorn's own class
        if previous is None or previous.response_complete:
            self._next = stream
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        if self._arriving is not None:
            self._arriving.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_head = True
        if self._arriving is not None:
            self._arriving.feed_end()
        else:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """uvicorn comes here for its own cycles, and for any that waited in the pipeline."""
        if isinstance(cycle, ClientStream):
            self._begin(cycle)
        else:
            self._running = None
            super()._start_asgi_task(cycle, app)

    def _begin(self, stream: ClientStream) -> None:
        self._running = stream
        stream.work = self.begin(stream)
        if stream.work is not None:
            super()._start_asgi_task(stream, self.app)  # type: ignore[arg-type]  # as on_headers

    def _hand_to_asgi(self) -> None:
        self._arriving = None
        url, headers, expects_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects_continue
        self.scope["headers"] = self.headers = headers
        super().on_headers_complete()

    # -- for ClientStream ------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self.flow.pause_reading()

    def resume_reading(self) -> None:
        self.flow.resume_reading()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for what llhttp refuses; the client reads XML like any S3 error."""
        self._refuse("InvalidRequest")

    def _refuse(self, code: str) -> None:
        """Answers what never became an exchange, and closes."""
        error = s3_error(code)
        body = error_document(error, resource="/", request_id="")
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
            )
            self.transport.close()


def s3_protocol(begin: Begin, watchdog: Watchdog) -> type[S3Protocol]:
    """The class to give to uvicorn as `http=`, bound to what serves a stream."""
    return type(
        "BoundS3Protocol",
        (S3Protocol,),
        {"begin": staticmethod(begin), "watchdog": watchdog},
    )
