"""The socket of one client connection: its deadline, its backpressure, and ways to end it.

The part of the protocol class that knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bucketroute_dataplane.shell.client_ports import (
    LINGER_BYTES,
    LINGER_SECONDS,
    WRITE_IDLE_SECONDS,
)
from bucketroute_dataplane.shell.upstream_ports import WRITE_HIGH_BYTES, WRITE_LOW_BYTES


class ClientSocket(HttpToolsProtocol):
    """Implements `ClientConnection` but for `on_response_complete`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadline: float | None = None
        self.address = ""
        self.is_discarding = False
        self.is_framed = True  # the parser knows where a body ends
        self._discarded_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        self.address = self.client[0] if self.client else ""
        self.set_usual_buffer()

    def set_usual_buffer(self) -> None:
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)

    def is_flushed(self) -> bool:
        self.transport.set_write_buffer_limits(high=0, low=0)
        return self.transport.get_write_buffer_size() == 0

    def plain_transport(self) -> asyncio.Transport | None:
        return self.transport if self.scheme == "http" and self.is_framed else None

    def skip_body(self) -> None:
        # The old parser waits for a body that it will never see.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def expect_within(self, seconds: float) -> None:
        """When the client is to have moved on."""
        self.deadline = self.loop.time() + seconds

    def pause_reading(self) -> None:
        if not self.transport.is_closing():
            self.flow.pause_reading()

    def resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        """Once everything is flushed; a client that does not read is given up."""
        self.expect_within(WRITE_IDLE_SECONDS)
        self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def linger(self) -> None:
        """Throws away what still comes, within bounds, and closes (RFC 9112 §9.6)."""
        self.is_discarding = True
        if self.transport.is_closing():
            return
        self.expect_within(LINGER_SECONDS)
        if self.transport.can_write_eof():  # who reads to the end need not wait for the close
            self.transport.write_eof()
        self.flow.resume_reading()

    def discard(self, data: bytes) -> None:
        """Takes what nobody reads any more."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self.close()
