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


class HeldReply:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.is_released = asyncio.Event()

    async def __call__(self, request: BackendRequest, writer: asyncio.StreamWriter) -> None:
        await self.is_released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")


class Served:
    def __init__(self, plane: InProcess, server: DataplaneServer) -> None:
        self.plane = plane
        self.server = server
        self.held = plane.backend.reply = HeldReply()
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.server.address)
        self._writers.append(writer)
        return reader, writer

    async def get(self) -> asyncio.StreamReader:
        """A download that the backend has yet to answer."""
        reader, writer = await self.connect()
        head = signed_head("GET", f"/{BUCKET}/k")
        lines = b"".join(b"%s: %s\r\n" % header for header in head.headers)
        writer.write(b"GET /%s/k HTTP/1.1\r\n%s\r\n" % (BUCKET.encode(), lines))
        known = len(self.plane.backend.requests)
        await until(lambda: len(self.plane.backend.requests) > known)
        return reader

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def serving(*, drain_seconds: float = 5.0) -> AsyncIterator[Served]:
    async with in_process(drain_seconds=drain_seconds) as plane:
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


async def test_nobody_new_is_let_in_and_idle_connections_close() -> None:
    async with serving() as served:
        fresh, _ = await served.connect()
        used, writer = await served.connect()
        writer.write(b"GET /nowhere/k HTTP/1.1\r\nHost: %s\r\n\r\n" % HOST.encode())
        assert (await used.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404 ")
        address = served.server.address
        await served.server.stop()
        assert await fresh.read() == b""
        assert (await used.read()).endswith(b"</Error>")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)


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
