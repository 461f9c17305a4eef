"""Sockets for unit tests of the data plane's two legs: what would go out is kept, nothing waits."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_ports import Front
from bucketroute_dataplane.shell.protocol import S3Protocol, s3_protocol
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_dataplane.shell.watchdog import Watchdog


class FakeTransport(asyncio.Transport):
    """Behaves as asyncio's: `abort` and `close` end in `connection_lost`, one loop pass later."""

    def __init__(self, protocol: Any, *, can_half_close: bool = True) -> None:
        super().__init__()
        self.sent = b""
        self.was_aborted = False
        self.has_sent_eof = False
        self.holds_unsent = False
        self._can_half_close = can_half_close
        self._is_reading = True
        self._is_closing = False
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.2", 9000)}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: Any) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return self._can_half_close

    def write_eof(self) -> None:
        self.has_sent_eof = True

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True

    def is_reading(self) -> bool:
        return self._is_reading

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self.holds_unsent:
                self._lose()

    def abort(self) -> None:
        if not self.was_aborted:
            self.was_aborted = self._is_closing = True
            self._lose()

    def _lose(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class FakeConnection:
    """The `ClientConnection` of a stream that is tested alone."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.loop = asyncio.get_running_loop()
        self.is_leaving = False
        self.sent = b""
        self.ends: list[str] = []
        self._is_reading = True

    def reads(self) -> bool:
        return self._is_reading

    def expects(self) -> bool:
        """Whether a deadline is set."""
        return self.deadline is not None

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def linger(self) -> None:
        self.ends.append("linger")

    def on_response_complete(self) -> None:
        self.ends.append("next")

    def plain_transport(self) -> None:
        """Bodies are copied: there is no socket."""

    def is_flushed(self) -> bool:
        return True

    def set_usual_buffer(self) -> None: ...

    def skip_body(self) -> None: ...


class Sink:
    """Keeps what a backend's connection delivers."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.length: int | None = -1
        self.body = b""
        self.is_ended = False
        self.error: BackendError | None = None
        self.writable_count = 0

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None:
        self.status, self.headers, self.length = status, headers, length

    def on_response_body(self, data: bytes) -> None:
        self.body += data

    def on_response_end(self) -> None:
        self.is_ended = True

    def on_backend_error(self, error: BackendError) -> None:
        self.error = error

    def on_backend_writable(self) -> None:
        self.writable_count += 1


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class ClientLeg:
    """An S3Protocol on a fake transport."""

    def __init__(
        self, front: Front, *, app: Callable[..., Any] = _no_application, is_tls: bool = False
    ) -> None:
        self.watchdog = Watchdog()
        self.state = ServerState()
        config = Config(app, log_config=None, lifespan="off", ws="none", http=S3Protocol)
        config.load()
        self.protocol: S3Protocol = s3_protocol(front, self.watchdog)(
            config=config, server_state=self.state, app_state={}
        )
        self.transport = FakeTransport(self.protocol, can_half_close=not is_tls)
        self.protocol.connection_made(self.transport)

    @property
    def sent(self) -> bytes:
        return self.transport.sent

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def overdue(self) -> None:
        """Lets whatever is awaited of the client come too late."""
        assert self.protocol.deadline is not None
        self.watchdog.sweep(self.protocol.deadline + 0.001)


def new_stream(
    connection: FakeConnection, head: Any, *, is_running: bool = True, **options: bool
) -> ClientStream:
    given = {"keep_alive": True, "expects_continue": False, **options}
    stream = ClientStream(connection, head, **given)
    stream.is_running = is_running
    return stream


async def settle(passes: int = 5) -> None:
    """Lets callbacks run that wait for nothing."""
    for _ in range(passes):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that real sockets bring about."""
    async with asyncio.timeout(5):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)
