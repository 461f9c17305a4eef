"""The values of the recording backend: what a client sent, and what it is to be answered.

A `RecordedRequest` keeps the head as the bytes that arrived, because the rules under test are about
bytes: which headers, which framing, which target. Nothing here reads or writes a socket;
`wire_server` does.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from urllib.parse import parse_qsl, unquote_to_bytes

KiB = 1024
MiB = 1024 * KiB

Headers = tuple[tuple[str, str], ...]


class Framing(Enum):
    """How a request's body was delimited (RFC 9112 section 6.3)."""

    NONE = "none"
    CONTENT_LENGTH = "content-length"
    CHUNKED = "chunked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request's head as it arrived. Header names keep their case, values are stripped."""

    raw: bytes
    method: str
    target: str
    headers: Headers
    connection_id: int
    index: int
    at_seconds: float

    def header(self, name: str) -> str | None:
        """The value of a header, repeated ones joined with `,`; None when it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ",".join(values) if values else None

    @property
    def header_names(self) -> frozenset[str]:
        return frozenset(name.lower() for name, _ in self.headers)

    @property
    def path(self) -> str:
        """The raw, still percent-encoded path of the target."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; a flag such as `?uploads` has the value ''."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        """Bucket and key of a path-style target, decoded once."""
        bucket, _, key = self.path.removeprefix("/").partition("/")
        return unquote_to_bytes(bucket).decode(), unquote_to_bytes(key).decode()

    @property
    def signed_headers(self) -> frozenset[str]:
        """The names in the `SignedHeaders` of the Authorization header; empty when unsigned."""
        for part in (self.header("authorization") or "").split(","):
            name, _, value = part.strip().partition("=")
            if name == "SignedHeaders":
                return frozenset(value.split(";"))
        return frozenset()

    @property
    def framing(self) -> Framing:
        if self.header("transfer-encoding") is not None:
            return Framing.CHUNKED
        if self.header("content-length") is not None:
            return Framing.CONTENT_LENGTH
        return Framing.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request that came to its end: `is_complete` is False when the peer went away in its body.

    `body` is empty when the body was longer than the backend's `keep_body_bytes`; length and hash
    are always there.
    """

    head: RequestHead
    body: bytes
    body_length: int
    body_sha256: str
    is_complete: bool
    ended_at_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scripted request gets back.

    `generated_bytes` sends that many bytes of a repeating pattern instead of `body`.
    `length_promised` overrides the Content-Length, so that a body can end too early.
    `dribble_bytes` sends the body in pieces of that size with `dribble_seconds` between them.
    `close_after_bytes` drops the connection after that many bytes of the body.
    `raw` is sent instead of all that, then the connection closes: an answer that is no HTTP.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    generated_bytes: int | None = None
    length_promised: int | None = None
    delay_seconds: float = 0.0
    dribble_bytes: int | None = None
    dribble_seconds: float = 0.0
    close_after_bytes: int | None = None
    is_chunked: bool = False
    close: bool = False
    raw: bytes | None = None

    @property
    def body_length(self) -> int:
        return len(self.body) if self.generated_bytes is None else self.generated_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """How the server reads a request's body.

    `answer_first` sends the answer before a byte of the body is read and then closes.
    `pause_at_bytes` stops reading there for `pause_seconds`. `abort_at_bytes` resets the connection
    there, without an answer.
    """

    answer_first: bool = False
    pause_at_bytes: int | None = None
    pause_seconds: float = 0.0
    abort_at_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object and the headers that a GET of it repeats. `etag` is quoted."""

    body: bytes
    etag: str
    headers: Headers
    modified: datetime


@dataclass(slots=True)
class BodyDigest:
    """Grows with the body: hash and length always, the bytes only up to `keep_bytes`."""

    keep_bytes: int
    length: int = 0
    _kept: list[bytes] = field(default_factory=list)
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.length += len(piece)
        if self.length <= self.keep_bytes:
            self._kept.append(piece)
        else:
            self._kept.clear()

    def body(self) -> bytes:
        return b"".join(self._kept)

    def sha256(self) -> str:
        return self._hash.hexdigest()


def s3_error(status: int, code: str, message: str = "scripted", *, headers: Headers = ()) -> Answer:
    """An answer with S3's error document."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>"
        "<Resource>/backend-resource</Resource><RequestId>BACKENDREQUESTID</RequestId>"
        "<HostId>backend-host-id</HostId></Error>"
    )
    typed: Headers = (("Content-Type", "application/xml"), *headers)
    return Answer(status=status, headers=typed, body=body.encode())
