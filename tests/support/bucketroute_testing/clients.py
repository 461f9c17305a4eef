"""S3 clients for tests: boto3 as users configure it, and a raw one that sends exactly the bytes it
is given.
"""

import functools
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from bucketroute_testing.leaks import LeakCheck
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire_types import Headers

REGION = "us-east-1"
ChecksumMode = Literal["when_supported", "when_required"]
AddressingStyle = Literal["path", "virtual"]
_READ_BYTES = 256 * 1024


# boto3 has no types: Any is what its factories return.
@functools.cache
def _session() -> Any:
    """One for the run: each new one reads boto3's models again, which takes longer than a test."""
    return boto3.session.Session()


def s3_client(
    endpoint: str,
    key: AccessKey | None,
    *,
    ca: Path | None = None,
    checksums: ChecksumMode = "when_supported",
    addressing: AddressingStyle = "path",
    max_attempts: int = 1,
    leaks: LeakCheck | None = None,
) -> Any:
    """A boto3 S3 client; `key` None is anonymous. One attempt by default: a test must see the first
    answer.
    """
    client = _session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key.access_key_id if key else None,
        aws_secret_access_key=key.secret_access_key if key else None,
        aws_session_token=key.session_token if key else None,
        verify=str(ca) if ca else None,
        config=Config(
            # Headers are signed so anyway; by default botocore presigns with SigV2 in us-east-1.
            signature_version="s3v4" if key else UNSIGNED,
            s3={"addressing_style": addressing},
            retries={"total_max_attempts": max_attempts, "mode": "standard"},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=32,
            proxies={},
        ),
    )
    return client if leaks is None else leaks.watch(client)


def sts_client(endpoint: str, *, ca: Path | None = None) -> Any:
    """An unsigned boto3 STS client: AssumeRoleWithWebIdentity takes no signature."""
    return _session().client(
        "sts",
        endpoint_url=endpoint,
        region_name=REGION,
        verify=str(ca) if ca else None,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, proxies={}),
    )


def object_url(endpoint: str, bucket: str, key: str = "", query: str = "") -> str:
    """A path-style URL with the key encoded as S3 has it: everything but `A-Za-z0-9-._~/`."""
    path = f"/{bucket}" + (f"/{quote(key, safe='/~')}" if key else "")
    return f"{endpoint}{path}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """An answer as it arrived. `is_closed` says that the peer closed the connection after it."""

    status: int
    headers: Headers
    body: bytes
    interim_statuses: tuple[int, ...]

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ",".join(values) if values else None

    @property
    def error_code(self) -> str | None:
        """What stands in `<Code>` of S3's error document."""
        _, found, rest = self.body.partition(b"<Code>")
        return rest.partition(b"</Code>")[0].decode() if found else None


class RawClient:
    """One connection on which a test sends exact bytes; every read has a deadline."""

    def __init__(
        self,
        endpoint: str,
        *,
        ca: Path | None = None,
        timeout_seconds: float = 30.0,
        receive_buffer_bytes: int | None = None,
        leaks: LeakCheck | None = None,
    ) -> None:
        self._leaks = leaks
        parts = urlsplit(endpoint)
        self._socket = socket.socket()
        self._socket.settimeout(timeout_seconds)
        if receive_buffer_bytes is not None:
            # Before the connect, as it bounds the window: a reader that stops is felt early.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            self._socket.connect((parts.hostname, parts.port))
        except OSError:
            self._socket.close()
            raise
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
            self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
        self._timeout_seconds = timeout_seconds
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_head(self, method: str, target: str, headers: Headers) -> None:
        """The request line and headers, names and values as given."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def shut_down_sending(self) -> None:
        """Half-close: the peer reads end of file, answers can still come."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a TCP reset, as a client that crashed."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def read_response(self, method: str = "GET") -> RawResponse:
        """Read one answer to its end, interim ones before it.

        Raises:
            TimeoutError: it did not come in time.
            ConnectionError: the connection ended inside it.
        """
        interim: list[int] = []
        while True:
            status, headers = self._read_head()
            if status >= 200:
                break
            interim.append(status)
        fields = {name.lower(): value for name, value in headers}
        has_no_body = method == "HEAD" or status in (204, 304)
        body = b"" if has_no_body else self._read_body(fields)
        if self._leaks is not None:
            self._leaks.check(dict(headers), body)
        return RawResponse(
            status=status, headers=headers, body=body, interim_statuses=tuple(interim)
        )

    def read_some(self, limit: int = _READ_BYTES) -> bytes:
        """Whatever has arrived, at least a byte; b'' at the end of the connection."""
        if self._buffer:
            taken, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return taken
        return self._socket.recv(limit)

    def is_closed_by_peer(self, *, within_seconds: float = 5.0) -> bool:
        """Whether the peer ends the connection soon, with nothing more to read."""
        self._socket.settimeout(within_seconds)
        try:
            return self.read_some() == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(self._timeout_seconds)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_head(self) -> tuple[int, Headers]:
        lines = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines[1:] if line)
        return status, tuple((name, value.strip()) for name, _, value in pairs)

    def _read_body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        if "content-length" in fields:
            return self._read_exactly(int(fields["content-length"]))
        pieces: list[bytes] = []
        while piece := self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    def _read_chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            length = int(self._read_until(b"\r\n").split(b";")[0], 16)
            if length == 0:
                while self._read_until(b"\r\n") != b"\r\n":
                    pass
                return b"".join(pieces)
            pieces.append(self._read_exactly(length))
            self._read_exactly(2)

    def _read_until(self, mark: bytes) -> bytes:
        until = time.monotonic() + self._timeout_seconds
        while mark not in self._buffer:
            if time.monotonic() > until:
                raise TimeoutError(f"no {mark!r} within {self._timeout_seconds} s")
            self._buffer += self._receive()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def _read_exactly(self, length: int) -> bytes:
        pieces = [self._buffer[:length]]
        self._buffer = self._buffer[length:]
        left = length - len(pieces[0])
        while left:
            piece = self._receive(left)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _receive(self, limit: int = _READ_BYTES) -> bytes:
        piece = self._socket.recv(min(limit, _READ_BYTES))
        if not piece:
            raise ConnectionError(f"the peer closed inside an answer; so far {self._buffer!r}")
        return piece
