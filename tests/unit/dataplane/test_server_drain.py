"""The listener on a real socket: what SIGTERM does to requests and connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bucketroute_dataplane.shell.server import DataplaneServer
from bucketroute_testing.in_process import (
    BUCKET,
    HOST,
    BackendRequest,
    InProcess,
    in_process,
    signed_head,
)
from bucketroute_testing.transports import settle, until

# Is answered without a backend, and its body ends in </Error>.
UNKNOWN = b"GET /nowhere/k HTTP/1.1\r\nHost: %s\r\n\r\n" % HOST.encode()


class HeldReply:
    """Answers when the test says so; its head comes at once where `early` is that."""

    def __init__(self, early: bytes = b"") -> None:
        self.is_released = asyncio.Event()
        self._early = early

    async def __call__(self, request: BackendRequest, writer: asyncio.StreamWriter) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
        writer.write(self._early)
        await self.is_released.wait()
        writer.write(answer.removeprefix(self._early))


class Served:
    def __init__(self, plane: InProcess, server: DataplaneServer) -> None:
        self.plane = plane
        self.server = server
        self.address = server.address
        self.held = HeldReply()
        plane.backend.reply = self.held
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self._writers.append(writer)
        return reader, writer

    async def get(self) -> asyncio.StreamReader:
        """A download that the backend has yet to answer."""
        reader, _ = await self.begin_get()
        return reader

    async def no_longer_accepts(self) -> None:
        while True:
            try:
                await self.connect()
            except ConnectionRefusedError:
                return
            await asyncio.sleep(0.01)

    async def begin_get(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.connect()
        head = signed_head("GET", f"/{BUCKET}/k")
        lines = b"".join(b"%s: %s\r\n" % header for header in head.headers)
        writer.write(b"GET /%s/k HTTP/1.1\r\n%s\r\n" % (BUCKET.encode(), lines))
        known = len(self.plane.backend.requests)
        await until(lambda: len(self.plane.backend.requests) > known)
        return reader, writer

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def serving(
    *, lame_duck_seconds: float = 0.0, drain_seconds: float = 5.0
) -> AsyncIterator[Served]:
    async with in_process(
        lame_duck_seconds=lame_duck_seconds, drain_seconds=drain_seconds
    ) as plane:
        server = DataplaneServer(plane.services)
        await server.start()
        served = Served(plane, server)
        try:
            yield served
        finally:
            served.held.is_released.set()
            await server.stop()
            served.close()
            await settle(20)


async def test_a_request_in_flight_finishes_and_is_told_that_the_connection_closes() -> None:
    async with serving() as served:
        reader = await served.get()
        stopping = asyncio.ensure_future(served.server.stop())
        await until(lambda: not served.server.is_ready())
        await asyncio.sleep(0.15)  # uvicorn looks every 0.1 s whether it is to end
        served.held.is_released.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"body")
        await stopping


async def test_a_lame_duck_takes_requests_and_lets_go_of_each_connection() -> None:
    async with serving(lame_duck_seconds=3600) as served:
        kept, writer = await served.connect()
        writer.write(UNKNOWN)
        assert b"connection: close" not in await kept.readuntil(b"</Error>")
        stopping = asyncio.ensure_future(served.server.stop())
        await until(lambda: not served.server.is_ready())
        writer.write(UNKNOWN)
        fresh, another = await served.connect()
        another.write(UNKNOWN)
        for reader in (kept, fresh):
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 404 ")
            assert b"connection: close\r\n" in answer
            assert answer.endswith(b"</Error>")
        served.server.hurry()
        async with asyncio.timeout(2):
            await stopping


async def test_an_answer_that_began_before_the_drain_may_be_followed_by_a_last_request() -> None:
    async with serving() as served:
        held = HeldReply(early=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nb")
        served.plane.backend.reply = held
        reader, writer = await served.begin_get()
        assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.ensure_future(served.server.stop())
        await served.no_longer_accepts()
        held.is_released.set()
        assert await reader.readexactly(4) == b"body"
        writer.write(UNKNOWN)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"connection: close\r\n" in answer
        await stopping


async def test_nobody_new_is_let_in_and_idle_connections_close() -> None:
    async with serving() as served:
        fresh, _ = await served.connect()
        used, writer = await served.connect()
        writer.write(UNKNOWN)
        assert (await used.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404 ")
        await served.server.stop()
        assert await fresh.read() == b""
        assert (await used.read()).endswith(b"</Error>")
        with pytest.raises(ConnectionRefusedError):
            await served.connect()


async def test_what_takes_longer_than_the_limit_is_cut_off_and_logged() -> None:
    async with serving(drain_seconds=0) as served:
        reader = await served.get()
        await served.server.stop()
        assert await reader.read() == b""
        assert '"status":499' in served.plane.logged()


async def test_hurrying_ends_a_drain_at_once() -> None:
    async with serving(drain_seconds=3600) as served:
        reader = await served.get()
        stopping = asyncio.ensure_future(served.server.stop())
        await until(lambda: not served.server.is_ready())
        served.server.hurry()
        async with asyncio.timeout(2):
            await stopping
        assert await reader.read() == b""


async def test_the_probes_say_ready_until_the_drain_begins() -> None:
    async with serving() as served:
        assert served.server.is_ready()
        reader, writer = await served.connect()
        writer.write(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await served.server.stop()
        assert not served.server.is_ready()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/-/live", 200), ("GET", "/-/nothing", 404), ("POST", "/-/live", 405)],
)
async def test_administrative_answers_have_a_request_id_too(
    method: str, path: str, status: int
) -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
        assert int(answer.split()[1]) == status
        assert b"\r\nx-amz-request-id: " in answer


async def test_what_is_not_http_is_answered_logged_and_counted() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"\x16\x03\x01\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        for header in (b"date: ", b"x-amz-request-id: ", b"connection: close", b"server: "):
            assert b"\r\n" + header in answer
        logged = served.plane.logged()
        assert '"errorCode":"InvalidRequest"' in logged
        assert '"client":"127.0.0.1"' in logged
        counted = served.plane.services.metrics.exposition()
        assert b'requests_total{code="400",operation="-",route="-"} 1.0' in counted
