"""What is known of one request, and its one line in the access log.

Object keys are written (they are what an audit needs), query strings never: a presigned URL's
signature and session token stand there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

FLUSH_SECONDS = 0.1
MAX_WAITING_LINES = 256


@dataclass(slots=True)
class AccessRecord:
    """Filled in as the request goes on; times in seconds of the loop's clock, 0 if not reached."""

    request_id: str
    method: str
    client_address: str
    started: float
    bucket: str = ""
    key: str = ""
    operation: str = "-"
    route: str = "-"
    caller: str = "-"
    status: int = 0
    error_code: str | None = None
    detail: str | None = None
    backend_request_id: str | None = None
    authorized: float = 0.0
    body_read: float = 0.0
    credentials_ready: float = 0.0
    backend_sent: float = 0.0
    first_byte: float = 0.0
    ended: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    def server_timing(self, now: float) -> bytes:
        """`total;dur=…, auth;dur=…, credentials;dur=…, backend;dur=…` in milliseconds.

        Source: W3C Server Timing.
        """
        spans = [("total", self.started, now), *self._spans()]
        return b", ".join([b"%s;dur=%.1f" % (s[0].encode(), (s[2] - s[1]) * 1000) for s in spans])

    def _spans(self) -> list[tuple[str, float, float]]:
        """Name, begin and end of the phases that the request went through."""
        spans = []
        if self.authorized:
            spans.append(("auth", self.started, self.authorized))
        if self.body_read:
            spans.append(("body", self.authorized, self.body_read))
        if self.credentials_ready:
            begin = self.body_read or self.authorized
            spans.append(("credentials", begin, self.credentials_ready))
        if self.first_byte:
            spans.append(("backend", self.backend_sent, self.first_byte))
        return spans

    def fields(self) -> dict[str, object]:
        """What the line says; durations in milliseconds."""
        fields: dict[str, object] = {
            "requestId": self.request_id,
            "client": self.client_address,
            "caller": self.caller,
            "route": self.route,
            "operation": self.operation,
            "method": self.method,
            "bucket": self.bucket,
            "key": self.key,
            "status": self.status,
            "bytesIn": self.bytes_in,
            "bytesOut": self.bytes_out,
            "durationMs": round((self.ended - self.started) * 1000, 1),
        }
        for name, begin, end in self._spans():
            fields[name + "Ms"] = round((end - begin) * 1000, 1)
        if self.error_code is not None:
            fields["errorCode"] = self.error_code
        if self.detail is not None:
            fields["detail"] = self.detail
        if self.backend_request_id is not None:
            fields["backendRequestId"] = self.backend_request_id
        return fields


class AccessLog:
    """One JSON object a line, written in batches: a write a request would cost as much as the
    request's own socket writes. Not by `logging`, whose record alone costs more than the line."""

    def __init__(self, stream: TextIO, *, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._now = now
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        self._lines: list[str] = []
        self._flushing: asyncio.TimerHandle | None = None

    def write(self, record: AccessRecord) -> None:
        """Adds the line; it is on the stream within FLUSH_SECONDS."""
        moment = self._now().isoformat(timespec="milliseconds")
        self._lines.append(self._encode({"time": moment, **record.fields()}))
        if len(self._lines) >= MAX_WAITING_LINES:
            self.flush()
        elif self._flushing is None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
