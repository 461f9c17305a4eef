"""What comes in and what goes out, as values: bytes on the wire, names in lower case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Header = tuple[bytes, bytes]
Headers = Sequence[Header]


class RequestHead:
    """The head of a client's request exactly as it came.

    `raw_path` is the undecoded path without the query; `raw_query` has no `?`. Header names are
    lower case; a header may repeat. `is_tls` says whether the client's leg is encrypted.
    """

    __slots__ = (
        "by_name",
        "client_address",
        "headers",
        "is_tls",
        "method",
        "raw_path",
        "raw_query",
    )

    def __init__(
        self,
        method: bytes,
        raw_path: bytes,
        raw_query: bytes,
        headers: Headers,
        is_tls: bool = False,
        client_address: str = "",
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.headers = headers
        self.is_tls = is_tls
        self.client_address = client_address
        # One dict for the many look-ups of the path; a repeated header keeps its last value
        # (the verifier and the allow-lists walk `headers`, so no value is lost there).
        self.by_name: dict[bytes, bytes] = dict(headers)

    def get(self, name: bytes) -> bytes | None:
        return self.by_name.get(name)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer made here (errors, lists, synthetic answers)."""

    status: int
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a backend may be silent in one exchange, in seconds."""

    first_byte: float
    idle: float


class UpstreamRequest(NamedTuple):
    """A request ready for a backend's socket: signed, with its exact length.

    `target` is sent as it is. `content_length` is None for a method that has no body.
    `is_retryable` allows one more try on a kept-alive socket that turned out to be dead.
    """

    method: bytes
    target: bytes
    host: bytes
    headers: Headers
    content_length: int | None = None
    is_retryable: bool = False

    def head(self) -> bytes:
        """The head as it goes on the wire."""
        lines = [b"%s %s HTTP/1.1\r\nhost: %s\r\n" % (self.method, self.target, self.host)]
        lines += [b"%s: %s\r\n" % header for header in self.headers]
        if self.content_length is not None:
            lines.append(b"content-length: %d\r\n" % self.content_length)
        lines.append(b"\r\n")
        return b"".join(lines)


class ReadyRequest:
    """A backend request whose head is made already."""

    __slots__ = ("content_length", "method", "text")

    def __init__(self, method: bytes, text: bytes, content_length: int | None) -> None:
        self.method = method
        self.text = text
        self.content_length = content_length

    def head(self) -> bytes:
        return self.text
