"""`python -m bench.control.requester`: one GET after the other with one session, and when and how
each was answered.

Standard input: one JSON object with `port`, `path`, `credentials` and `interval` (seconds). Ends
with its standard input; then prints one JSON list `[at, seconds, status]` a request, `at` by the
monotonic clock, which is the same in all processes. A process of its own, so that its measures are
not those of what else the benchmark does.
"""

import gc
import json
import select
import socket
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse

from bench.requests import Credentials, signed_head

# S3 signatures live for 15 minutes.
_SIGNED_EVERY_SECONDS = 60.0


class Requester:
    def __init__(self, port: int, path: str, credentials: Credentials) -> None:
        self._port = port
        self._path = path
        self._credentials = credentials
        self._signed_at = float("-inf")
        self._head = b""
        self._connection: socket.socket | None = None

    def get(self) -> int:
        """The status; 0 if there was no answer."""
        if time.monotonic() - self._signed_at > _SIGNED_EVERY_SECONDS:
            self._sign()
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.sendall(self._head)
            answer = HTTPResponse(self._connection)
            answer.begin()
            answer.read()
        except (OSError, HTTPException):
            self._close()
            return 0
        if answer.will_close:
            self._close()
        return answer.status

    def _sign(self) -> None:
        self._signed_at = time.monotonic()
        self._head = signed_head(
            "GET",
            self._path,
            port=self._port,
            size_bytes=0,
            by=self._credentials,
            now=datetime.now(UTC),
        )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def main() -> None:
    order = json.loads(sys.stdin.readline())
    requester = Requester(order["port"], order["path"], Credentials(**order["credentials"]))
    gc.disable()
    samples = []
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        began = time.monotonic()
        status = requester.get()
        ended = time.monotonic()
        samples.append((began, ended - began, status))
        due = max(due + order["interval"], ended)
    for sample in samples:
        print(json.dumps(sample))


if __name__ == "__main__":
    main()
