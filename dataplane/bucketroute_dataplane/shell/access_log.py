"""What is known of one request, and its one line in the access log.

Object keys are written (they are what an audit needs), query strings never: a presigned URL's
signature and session token stand there.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

_LOGGER = logging.getLogger("bucketroute.access")


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
        parts = [("total", self.started, now), *self._spans()]
        return ", ".join(
            f"{name};dur={(end - start) * 1000:.1f}" for name, start, end in parts if end
        ).encode()

    def _spans(self) -> list[tuple[str, float, float]]:
        ready = self.credentials_ready
        return [
            ("auth", self.started, self.authorized),
            ("body", self.authorized, self.body_read),
            ("credentials", self.body_read or self.authorized, ready),
            ("backend", self.backend_sent, self.first_byte),
        ]

    def line(self) -> str:
        """One JSON object; durations in milliseconds."""
        fields: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
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
        for name, start, end in self._spans():
            if end:
                fields[f"{name}Ms"] = round((end - start) * 1000, 1)
        optional = {
            "errorCode": self.error_code,
            "detail": self.detail,
            "backendRequestId": self.backend_request_id,
        }
        fields.update({name: value for name, value in optional.items() if value is not None})
        return json.dumps(fields, ensure_ascii=False)


def write_access_line(record: AccessRecord) -> None:
    if _LOGGER.isEnabledFor(logging.INFO):
        _LOGGER.info(record.line())
