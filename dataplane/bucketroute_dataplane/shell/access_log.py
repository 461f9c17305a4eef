"""What is known of one request, and its one line in the access log.

Object keys are written (they are what an audit needs), query strings never: a presigned URL's
signature and session token stand there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_is_plain = re.compile(r'[^"\\\x00-\x1f]*').fullmatch

FLUSH_SECONDS = 0.1
MAX_WAITING_LINES = 256

# Every request has six durations to write: formatting a float takes three times a look-up.
_TENTHS = tuple([f"{tenths / 10:.1f}" for tenths in range(2_000)])
_MILLISECONDS = tuple([f".{count:03d}Z" for count in range(1_000)])


def milliseconds(seconds: float) -> str:
    """A duration in milliseconds, with one digit behind the point."""
    tenths = int(seconds * 10_000 + 0.5)
    return _TENTHS[tenths] if 0 <= tenths < len(_TENTHS) else f"{seconds * 1000:.1f}"


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
        texts = [f"{name};dur={milliseconds(end - begin)}" for name, begin, end in spans]
        return ", ".join(texts).encode()

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

    def line(self, moment: str) -> str:
        """One JSON object; durations in milliseconds.

        Written by hand, as this is done for every request. What is free text is looked at all at
        once: it hardly ever holds a character that JSON escapes.
        """
        texts = (self.client_address, self.caller, self.route, self.method, self.bucket, self.key)
        record = self if _is_plain("".join(texts)) else self._escaped()
        return record._line(moment)

    def _line(self, moment: str) -> str:
        spans = "".join(
            [f',"{name}Ms":{milliseconds(end - begin)}' for name, begin, end in self._spans()]
        )
        status, bytes_in, bytes_out = str(self.status), str(self.bytes_in), str(self.bytes_out)
        return (
            f'{{"time":"{moment}","requestId":"{self.request_id}","client":"{self.client_address}"'
            f',"caller":"{self.caller}","route":"{self.route}","operation":"{self.operation}"'
            f',"method":"{self.method}","bucket":"{self.bucket}","key":"{self.key}"'
            f',"status":{status},"bytesIn":{bytes_in},"bytesOut":{bytes_out}'
            f',"durationMs":{milliseconds(self.ended - self.started)}{spans}{self._optional()}}}'
        )

    def _escaped(self) -> AccessRecord:
        """The same record with its free text as JSON wants it inside of quotes."""
        return replace(
            self,
            client_address=_quoted(self.client_address)[1:-1],
            caller=_quoted(self.caller)[1:-1],
            route=_quoted(self.route)[1:-1],
            method=_quoted(self.method)[1:-1],
            bucket=_quoted(self.bucket)[1:-1],
            key=_quoted(self.key)[1:-1],
        )

    def _optional(self) -> str:
        text = f',"errorCode":"{self.error_code}"' if self.error_code else ""
        if self.detail:
            text += f',"detail":{_quoted(self.detail)}'
        if self.backend_request_id:
            text += f',"backendRequestId":{_quoted(self.backend_request_id)}'
        return text


def _quoted(text: str) -> str:
    """A JSON string; most texts hold nothing that needs an escape."""
    return f'"{text}"' if _is_plain(text) else json.dumps(text, ensure_ascii=False)


class AccessLog:
    """One JSON object a line, made and written in batches: a write a request would cost as much as
    the request's own socket writes, and a line made alone twice what it costs among others. Not by
    `logging`, whose record alone costs more than the line.
    `output` takes whole lines and must not block; `now` is in epoch seconds."""

    def __init__(self, output: Callable[[str], object], *, now: Callable[[], float]) -> None:
        self._output = output
        self._now = now
        self._second = -1
        self._moment = ""
        self._waiting: list[tuple[float, AccessRecord]] = []
        self._flushing: asyncio.TimerHandle | None = None

    def write(self, record: AccessRecord) -> None:
        """Takes a request that is over; its line is given to the output within FLUSH_SECONDS."""
        self._waiting.append((self._now(), record))
        if len(self._waiting) >= MAX_WAITING_LINES:
            self.flush()
        elif self._flushing is None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            lines = [record.line(self._moment_of(seconds)) for seconds, record in waiting]
            self._output("\n".join(lines) + "\n")

    def _moment_of(self, seconds: float) -> str:
        whole = int(seconds)
        if whole != self._second:
            self._second = whole
            self._moment = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return self._moment + _MILLISECONDS[int((seconds - whole) * 1000)]
