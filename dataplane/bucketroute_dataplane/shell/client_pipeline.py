"""The requests of one client connection that wait for the one before (RFC 9112 §9.3.2)."""

from __future__ import annotations

from typing import Any

from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_ports import WRITE_IDLE_SECONDS
from bucketroute_dataplane.shell.client_socket import ClientSocket

# One read may bring ten thousand, and each takes more memory than its bytes.
MAX_WAITING = 100


class FloodError(Exception):
    """More requests wait than may."""


class ClientPipeline(ClientSocket):
    """Keeps them in uvicorn's `pipeline`, and reads no request while one is in there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_next_deferred = False

    def make_room(self) -> None:
        """For one more that is to wait. Raises: FloodError."""
        self.flow.pause_reading()
        if len(self.pipeline) >= MAX_WAITING:
            raise FloodError

    def wait_in_line(self, stream: ClientStream) -> None:
        self.pipeline.appendleft((stream, self.app))  # type: ignore[arg-type]  # as its own cycles

    def on_response_complete(self) -> None:
        """The next request, unless the client has yet to read what it has been answered."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.is_discarding and not self.pipeline:
            self.close()
            return
        if self.flow.write_paused:
            self.is_next_deferred = True
            self.expect_within(WRITE_IDLE_SECONDS)
            self.flow.pause_reading()
            return
        if self.pipeline:
            # Not in this call: it may come out of a parser, of this connection or a backend's.
            self.loop.call_soon(self._begin_waiting)
        else:
            self.flow.resume_reading()
            self.expect_within(self.timeout_keep_alive)

    def end_line(self, running: Any, arriving: ClientStream | None) -> bool:
        """Nothing follows any more: what waits is answered, but for one whose body broke off.
        Returns whether anything is left to be answered."""
        if self.pipeline and arriving is not None and not arriving.body_complete:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else running
        if last is None or last.response_complete:
            return False
        last.keep_alive = False
        return True

    def _begin_waiting(self) -> None:
        """The next request of the pipeline."""
        if self.pipeline and not self.transport.is_closing():
            cycle, app = self.pipeline.pop()
            if not self.pipeline and not self.is_discarding:
                self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
