"""uvicorn's HTTP protocol with the S3 front built in.

Everything but `/-/…`, which goes to the Starlette application, becomes a ClientStream and is served
without ASGI. What this leans on inside uvicorn and httptools is listed in
`tests/unit/dataplane/test_uvicorn_contract.py`, so that an upgrade which changes it fails there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httptools

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_pipeline import ClientPipeline, FloodError
from bucketroute_dataplane.shell.client_ports import (
    HEAD_SECONDS,
    LAST_REQUEST_SECONDS,
    MAX_HEAD_BYTES,
    WRITE_IDLE_SECONDS,
    Front,
    origin_form,
)
from bucketroute_dataplane.shell.watchdog import Watchdog

ADMIN_PREFIX = b"/-/"

_LOGGER = logging.getLogger("bucketroute.dataplane")


class S3Protocol(ClientPipeline):
    """One client connection. `front` and `watchdog` come from `s3_protocol()`."""

    def __init__(self, front: Front, watchdog: Watchdog, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.front, self.watchdog = front, watchdog
        self._is_in_head = True
        self._unparsed_bytes = 0  # since the parser last made something of them
        # Of a body that the parser leaves out, since the head asks for another protocol too.
        self._raw_body_bytes = 0
        # Of S3 requests: the one whose body arrives, and the one that is answered; two of them
        # while pipelined requests wait. None where ASGI has the request.
        self._arriving: ClientStream | None = None
        self._running: ClientStream | None = None
        self._asgi: Any = None
        # A request whose head is in, to be begun when the rest of what came with it is.
        self._next: ClientStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.expect_within(HEAD_SECONDS)
        self.watchdog.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = None
        self.watchdog.discard(self)
        self.pipeline.clear()
        super().connection_lost(exc)
        streams = {self._running, self._arriving}
        # A circle would keep 256 KiB of TLS buffers until the garbage collector comes by.
        self.cycle = self._running = self._arriving = self._next = None  # type: ignore[assignment]
        self._asgi = None
        for stream in streams:
            if stream is not None and not stream.response_complete:
                stream.lost()

    @property
    def is_leaving(self) -> bool:
        return self.front.is_leaving

    def shutdown(self) -> None:
        """As uvicorn's, but an answer ends as its head says: a client that was not told of the
        end may be sending its next request already."""
        if self._running is not None and self._is_serving():
            self.timeout_keep_alive = LAST_REQUEST_SECONDS
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self.is_discarding:
            self.discard(data)
            return
        if self._raw_body_bytes:
            self._feed_raw(data)
            return
        error = self._parse(data)
        stream, self._next = self._next, None
        if stream is not None and not self.transport.is_closing():
            self._begin(stream)
        if error is not None and not self.is_discarding:
            self._end_parsing(error)

    def _parse(self, data: bytes) -> S3Error | None:
        """What is wrong with the bytes, if anything; nothing can be read after them then."""
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Answered in HTTP/1.1 all the same (RFC 9110 §7.8 lets a server ignore it).
            self._feed_raw(data[upgrade.args[0] :])
        except httptools.HttpParserError as exc:
            is_ours = isinstance(exc, httptools.HttpParserCallbackError)
            if is_ours and not isinstance(exc.__context__, FloodError):
                _LOGGER.error("reading a request failed", exc_info=exc)
            return s3_error("InvalidRequest")
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            return s3_error("RequestHeaderSectionTooLarge")
        return None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._running is not None:
            self._running.write_paused()
        else:
            self.expect_within(WRITE_IDLE_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_next_deferred:
            self.is_next_deferred = False
            self.on_response_complete()
        elif self._running is None:
            self.deadline = None
        elif not self._running.response_complete:
            self._running.write_resumed()

    def on_deadline(self) -> None:
        """The client was silent, or did not read, for too long."""
        self.deadline = None
        stream = self._running
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif stream is not None and not stream.response_complete:
            if stream.response_started:
                self.transport.abort()
            else:
                stream.fail(s3_error("RequestTimeout"))
        elif self._unparsed_bytes and not self.is_discarding:
            self._end_parsing(s3_error("RequestTimeout"))
        else:
            self.close()

    def on_message_begin(self) -> None:
        # Not yet a scope: most requests never need one.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_in_head = True
        if not self._is_serving():
            self.expect_within(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # a trailer, which no signature covers
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._unparsed_bytes = 0
        if not self._is_serving():
            self.deadline = None
        if not self.url.startswith(b"/"):
            self.url = origin_form(self.url, self.headers)
        is_serving = self._is_serving()
        if is_serving:
            self.make_room()
        path, _, query = self.url.partition(b"?")
        if path.startswith(ADMIN_PREFIX):
            self._hand_to_asgi()
            return
        stream = self._stream(path, query)
        if is_serving:
            self.wait_in_line(stream)
        else:
            self._next = stream
        self._arriving = stream
        self.cycle = stream  # type: ignore[assignment]  # stands in for uvicorn's own class

    def _stream(self, path: bytes, query: bytes) -> ClientStream:
        is_upgrade = self.parser.should_upgrade()
        is_http10 = self.parser.get_http_version() == "1.0"
        head = RequestHead(
            method=self.parser.get_method(),
            raw_path=path,
            raw_query=query,
            headers=self.headers,
            is_tls=self.scheme == "https",
            client_address=self.address,
        )
        if is_upgrade:
            self.is_framed = False
            self._raw_body_bytes = int(head.get(b"content-length") or 0)
        return ClientStream(
            self,
            head,
            keep_alive=self.parser.should_keep_alive() and not is_http10 and not is_upgrade,
            expects_continue=self.expect_100_continue,
            is_http10=is_http10,
        )

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        if self._arriving is not None:
            self._arriving.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        if self._arriving is None:
            super().on_message_complete()
        elif not self._raw_body_bytes:
            self._arriving.feed_end()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """uvicorn comes here for its own cycles, and for any that waited in the pipeline."""
        if isinstance(cycle, ClientStream):
            self._begin(cycle)
        else:
            self.deadline = None
            self._running, self._asgi = None, cycle
            super()._start_asgi_task(cycle, app)

    def _begin(self, stream: ClientStream) -> None:
        self.deadline = None
        self._running = stream
        stream.is_running = True
        stream.is_write_paused = self.flow.write_paused
        stream.work = self.front.begin(stream)
        if stream.work is not None:
            super()._start_asgi_task(stream, self.app)  # type: ignore[arg-type]  # as on_headers

    def _hand_to_asgi(self) -> None:
        self._arriving = None
        url, headers, expects_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects_continue
        self.scope["headers"] = self.headers = headers
        super().on_headers_complete()

    def _feed_raw(self, data: bytes) -> None:
        """The body of a request that also asks for an upgrade; nothing may follow it."""
        body = data[: self._raw_body_bytes]
        self._raw_body_bytes -= len(body)
        if body and self._arriving is not None:
            self._arriving.feed(body)
            if not self._raw_body_bytes:
                self._arriving.feed_end()

    def _end_parsing(self, error: S3Error) -> None:
        """Nothing more can be read; what was read before is still answered."""
        self.is_discarding = True
        running = self._running
        if not self._is_serving():
            self.transport.write(self.front.refuse(error, self.address))
            self.linger()
        elif running is not None and running is self._arriving and not running.body_complete:
            running.fail(error)
        elif not self.end_line(running or self._asgi, self._arriving):
            self.transport.write(self.front.refuse(error, self.address))
            self.linger()

    def _is_serving(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete


def s3_protocol(front: Front, watchdog: Watchdog) -> Callable[..., S3Protocol]:
    """What to give to uvicorn as `http=`, bound to what serves a connection."""
    return partial(S3Protocol, front, watchdog)
