"""The client's side of one exchange: the response as it leaves.

The half of a `ClientStream` that writes. Framing is its own: a length, chunks, or the end of the
connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from bucketroute_dataplane.core.messages import Header, RequestHead
from bucketroute_dataplane.shell.client_ports import (
    WRITE_IDLE_SECONDS,
    BodyConsumer,
    ClientConnection,
    response_head,
)

_JOIN_BYTES = 64 * 1024
_BODILESS = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))


class ClientResponse:
    """What a response needs to know of its stream. The values up here are those of a new one: set
    in the class, since most of them never change for a request that goes well."""

    response_complete = False
    response_started = False
    disconnected = False
    body_complete = False
    is_running = False
    is_write_paused = False
    sent_bytes = 0
    _is_unwanted = False
    _pending_head: bytes | None = None
    _is_chunked = False
    _ends_with_connection = False

    def __init__(
        self,
        connection: ClientConnection,
        head: RequestHead,
        *,
        keep_alive: bool,
        expects_continue: bool,
        is_http10: bool,
    ) -> None:
        self.head = head
        self.keep_alive = keep_alive
        self._connection = connection
        self._loop = connection.loop
        self._is_http10 = is_http10
        self._consumer: BodyConsumer | None = None
        self._expects_continue = expects_continue and not is_http10

    # -- bodies that are moved by the kernel ---------------------------------------------------

    def plain_transport(self) -> asyncio.Transport | None:
        """The transport whose socket carries bodies as they are; None if there is no such."""
        return None if self._is_chunked else self._connection.plain_transport()

    def is_flushed(self) -> bool:
        """Whether all is with the kernel; the consumer hears of it later (`on_client_writable`)."""
        return self._connection.is_flushed()

    def set_usual_buffer(self) -> None:
        self._connection.set_usual_buffer()

    def expect_room(self) -> None:
        self._expect_within(WRITE_IDLE_SECONDS)

    def expect_nothing(self) -> None:
        self._expect_within(None)

    def abort(self) -> None:
        """Gives up a connection that is broken; whoever consumes hears of its loss."""
        self._connection.abort()

    def _expect_within(self, seconds: float | None) -> None:
        """When the client is to have moved on; None while it owes nothing."""
        if self.is_running:
            deadline = None if seconds is None else self._loop.time() + seconds
            self._connection.deadline = deadline

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
        self.keep_alive = self.keep_alive and self.is_in_step
        if not self.keep_alive:
            framing.append((b"connection", b"close"))
        self._pending_head = response_head(status, (*headers, *framing))

    @property
    def is_in_step(self) -> bool:
        """Whether the connection can serve another request after this one: none of its body is on
        the way, and the process is not leaving."""
        return self.body_complete and not self._expects_continue and not self._connection.is_leaving

    def begin(self, head: bytes) -> None:
        """Begins a response by a whole head, which gives the length of the body and keeps the
        connection."""
        self._pending_head = head

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
