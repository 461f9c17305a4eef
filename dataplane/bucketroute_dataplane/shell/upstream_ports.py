"""What stands around a backend's connection: its socket below it, the taker of a response above."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bucketroute_dataplane.core.messages import Header

# Above HIGH the other side is not read any more, below LOW it is again. Two streams of a busy proxy
# share little: 128 of them stay below 64 MiB.
WRITE_HIGH_BYTES = 256 * 1024
WRITE_LOW_BYTES = 64 * 1024


class BackendError(Exception):
    """The exchange with the backend failed. `is_stale`: on a kept-alive socket, before any byte."""

    def __init__(self, reason: str, *, is_stale: bool = False, is_timeout: bool = False) -> None:
        super().__init__(reason)
        self.is_stale = is_stale
        self.is_timeout = is_timeout


class ResponseSink(Protocol):
    """Receives one response. Nothing is called after `on_response_end` or `on_backend_error`."""

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None: ...

    def on_response_body(self, data: bytes) -> None: ...

    def on_response_end(self) -> None: ...

    def on_backend_error(self, error: BackendError) -> None: ...

    def on_backend_writable(self) -> None: ...


class BackendSocket(asyncio.Protocol):
    """The part of a connection that knows nothing of HTTP. `deadline` is the watchdog's."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.transport: asyncio.Transport | None = None
        self.is_write_paused = False
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = 0.0

    @property
    def is_usable(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def expect_more(self) -> None:
        """The backend is to send, or to take, something within the idle time."""
        self.deadline = self._loop.time() + self._idle_seconds

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def is_flushed(self) -> bool:
        """Whether all is with the kernel; if not, the sink hears of it (`on_backend_writable`)."""
        assert self.transport is not None
        self.transport.set_write_buffer_limits(high=0, low=0)
        return self.transport.get_write_buffer_size() == 0

    def set_usual_buffer(self) -> None:
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
