"""What stands around a client's stream: its connection below it, the taker of its body above it.

And the head of a response as it goes on the wire, which also answers to what never became a stream
begin with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.messages import Header

if TYPE_CHECKING:  # a stream is made of this module
    from bucketroute_dataplane.shell.client import ClientStream

# Between two bytes of a request body: less than the minute after which backends give up, for then
# the client hears of it in their words. And of a response that the client is slow to read.
BODY_IDLE_SECONDS = 50.0
# Of a head, or of anything else that is no body: trailers, the extensions of chunks.
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
# For a client that was promised a connection which lives on, while the process ends.
LAST_REQUEST_SECONDS = 1
WRITE_IDLE_SECONDS = 60.0
# An unread body after the answer: as much is thrown away, for as long, then the socket closes.
# Closing at once would reset the connection before the client has read the answer.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class ClientGoneError(Exception):
    """The client closed its connection before the exchange was over."""


class BodyConsumer(Protocol):
    """Takes a streamed request body piece by piece."""

    def on_client_body(self, data: bytes) -> None: ...

    def on_client_end(self) -> None: ...

    def on_client_failed(self, error: Exception) -> None:
        """The body will not come to its end: ClientGoneError, or the S3Error to answer with."""
        ...

    def on_client_writable(self) -> None: ...


class ClientConnection(Protocol):
    """What a stream needs of its protocol object."""

    deadline: float | None
    loop: asyncio.AbstractEventLoop

    @property
    def is_leaving(self) -> bool:
        """Whether no further request can be promised to be taken."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Once everything is flushed."""
        ...

    def abort(self) -> None:
        """At once, so that the client sees a broken connection."""
        ...

    def linger(self) -> None:
        """Throws away what still comes, within bounds, and closes."""
        ...

    def on_response_complete(self) -> None: ...

    def plain_transport(self) -> asyncio.Transport | None:
        """The transport, if its bytes are those of HTTP; None with TLS."""
        ...

    def is_flushed(self) -> bool:
        """Whether all is with the kernel; if not, the stream is told when it is."""
        ...

    def set_usual_buffer(self) -> None:
        """The limits of the write buffer, after `is_flushed` has taken them away."""
        ...

    def skip_body(self) -> None:
        """The rest of the body that arrives was read by somebody else."""
        ...


class Front(Protocol):
    """What a connection is served by. `is_leaving`: every answer shall be its connection's last."""

    is_leaving: bool

    def begin(self, client: ClientStream) -> Awaitable[None] | None:
        """Serves a request as far as nothing has to be waited for; returns the rest, if any."""
        ...

    def refuse(self, error: S3Error, client_address: str) -> bytes:
        """The whole answer to bytes that never became a request."""
        ...


def response_head(status: int, headers: Iterable[Header]) -> bytes:
    """Status line and header section, with the empty line behind them."""
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b""))]
    lines += [b"%s: %s\r\n" % header for header in headers]
    lines.append(b"\r\n")
    return b"".join(lines)


def origin_form(target: bytes, headers: list[Header]) -> bytes:
    """Path and query of a target in absolute form, which a server must accept (RFC 9112 §3.2.2).

    Only if it names the Host, which is what the client signed; it is refused as it is otherwise.
    """
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https"):
        return target
    ends = [end for end in (rest.find(b"/"), rest.find(b"?"), len(rest)) if end >= 0]
    authority, path = rest[: min(ends)], rest[min(ends) :]
    if authority.lower() != dict(headers).get(b"host", b"").lower():
        return target
    return path if path.startswith(b"/") else b"/" + path
