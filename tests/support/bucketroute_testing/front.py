"""The S3 front without a socket: what one request is answered, and its line in the access log."""

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.shell.access_log import AccessLog
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.front import S3Front
from bucketroute_dataplane.shell.services import Services
from bucketroute_testing.heads import head


class Connection:
    """Keeps what the client would get."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.loop = asyncio.get_running_loop()
        self.is_leaving = False
        self.sent = b""
        self.is_closed = False
        self.completed = 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def linger(self) -> None:
        self.is_closed = True

    def on_response_complete(self) -> None:
        self.completed += 1

    def plain_transport(self) -> None:
        """Bodies are copied: there is no socket."""

    def is_flushed(self) -> bool:
        return True

    def set_usual_buffer(self) -> None: ...

    def skip_body(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    record: dict[str, Any]
    connection: Connection

    @property
    def code(self) -> str | None:
        return xml.parse(self.body).findtext("Code")


async def ask(
    services: Services,
    method: str,
    target: str,
    *headers: Header,
    body: bytes | None = b"",
) -> Answer:
    """What is answered and logged; `body` None is one that has not come yet."""
    lines = io.StringIO()
    services.access_log = AccessLog(lines.write, now=lambda: 1_767_323_045.5)
    front, connection = S3Front(services), Connection()
    asked = head(method, target, *headers)
    stream = ClientStream(connection, asked, keep_alive=True, expects_continue=False)
    if body:
        stream.feed(body)
    if body is not None:
        stream.feed_end()
    if (work := front.begin(stream)) is not None:
        await work
    services.access_log.flush()
    raw_head, _, raw_body = connection.sent.partition(b"\r\n\r\n")
    status_line, *fields = raw_head.decode().split("\r\n")
    return Answer(
        status=int(status_line.split()[1]),
        headers=dict(field.split(": ", 1) for field in fields),
        body=raw_body,
        record=json.loads(lines.getvalue()),
        connection=connection,
    )
