"""Large bodies through a whole data plane on real sockets: moved, copied where they must be, and
the same to everybody in either case."""

import asyncio
import errno
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bucketroute_dataplane.core.messages import Deadlines, UpstreamRequest
from bucketroute_dataplane.core.shapes import Shapes
from bucketroute_dataplane.shell.bulk import MIN_MOVE_BYTES, BulkMover, Splice
from bucketroute_dataplane.shell.pipes import Pipe, Pipes
from bucketroute_dataplane.shell.pool import UpstreamPools
from bucketroute_dataplane.shell.relay import Relay
from bucketroute_dataplane.shell.server import DataplaneServer
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_testing.garbage import garbage_of_ours
from bucketroute_testing.heads import head
from bucketroute_testing.hot_plane import HotPlane, Reply, Request, hot_plane
from bucketroute_testing.tcp_sides import Side
from bucketroute_testing.transports import FakeConnection, new_stream, settle, until

MiB = 1024 * 1024
BODY = bytes(range(251)) * (4 * MiB // 251)
LENGTH = ("Content-Length", str(len(BODY)))
GET = Request()
PUT = Request(method="PUT", headers=[LENGTH], body=BODY)
HASHED = PUT.but(payload_hash=sha256(BODY).hexdigest())
OK = Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def with_body(body: bytes, *, sent: int | None = None, then: str = "keep") -> Reply:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: e\r\n\r\n" % len(body)
    return Reply(answer=head + body[: len(body) if sent is None else sent], then=then)


class Client:
    """One connection of a client that does as the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return head, await self.reader.readexactly(int(length[1]) if length else 0)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(20):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


class Served:
    """A data plane that listens; `copies` has the kernel refuse to move anything."""

    def __init__(self, plane: HotPlane, server: DataplaneServer) -> None:
        self.plane = plane
        self._server = server
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def moved(self) -> int:
        return self.plane.services.pools.moved_bytes

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection(*self._server.address)
        self._writers.append(writer)
        return Client(reader, writer)

    async def warm(self, *requests: Request) -> None:
        """A connection is idle, and shapes are known."""
        self.plane.backend.replies = [OK]
        for request in requests:
            for _ in range(2):
                client = await self.connect()
                await client.send(self.plane.raw(request) + request.body)
                await client.answer()
        await until(lambda: len(self.plane.records()) == 2 * len(requests))
        self.plane.forget()

    async def record(self, count: int = 1) -> dict[str, Any]:
        """The last of so many lines of the log."""
        await until(lambda: len(self.plane.records()) == count)
        return self.plane.records()[-1]

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


def refused(source: int, target: int, count: int, /, *, flags: int) -> int:
    raise OSError(errno.EPERM, "seccomp")


@asynccontextmanager
async def serving(splice: Splice | None = None) -> AsyncIterator[Served]:
    async with hot_plane() as plane:
        services = plane.services
        if splice is not None:
            services.pools.close()
            services.pools = UpstreamPools(services.watchdog, bulk=BulkMover(splice))
        server = DataplaneServer(services)
        await server.start()
        served = Served(plane, server)
        try:
            yield served
        finally:
            served.close()
            server.hurry()
            await server.stop()
            services.pools.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        await running.warm(GET, PUT)
        yield running


@pytest.fixture
async def copying() -> AsyncIterator[Served]:
    """Nothing has been refused yet."""
    async with serving(refused) as running:
        await running.warm(GET, PUT.but(headers=[("Content-Length", "1")], body=b"x"))
        yield running


def open_sockets() -> int:
    return sum(link.is_symlink() for link in Path("/proc/self/fd").iterdir())


# -- what is moved, what is copied ---------------------------------------------------------------


@pytest.mark.rule("3.2.9", "3.2.16")
@pytest.mark.parametrize("is_hot", [True, False], ids=["hot", "ordinary"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["moved", "refused"])
async def test_a_large_body_arrives_whole_in_both_directions(
    is_hot: bool, is_refused: bool
) -> None:
    async with serving(refused if is_refused else None) as running:
        await running.warm(GET, PUT)
        if not is_hot:
            running.plane.services.store.shapes = Shapes(max_shapes=0)
        running.plane.backend.replies = [OK, with_body(BODY)]
        before = running.moved
        client = await running.connect()
        await client.send(running.plane.raw(PUT) + BODY)
        await client.answer()
        await client.send(running.plane.raw(GET))
        assert (await client.answer())[1] == BODY
        assert running.plane.backend.exchanges[0].body == BODY
        record = await running.record(2)
        assert (record["status"], record["bytesOut"]) == (200, len(BODY))
        assert running.plane.records()[0]["bytesIn"] == len(BODY)
        assert (running.moved > before) is not is_refused
        assert running.plane.was_hot is is_hot


async def test_what_is_moved_is_all_but_the_beginning(served: Served) -> None:
    served.plane.backend.replies = [with_body(BODY)]
    before = served.moved
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    await client.answer()
    assert len(BODY) - MIN_MOVE_BYTES < served.moved - before < len(BODY)


@pytest.mark.rule("3.2.9")
async def test_a_hashed_upload_is_read_and_copied(served: Served) -> None:
    await served.warm(HASHED)
    before = served.moved
    client = await served.connect()
    await client.send(served.plane.raw(HASHED) + BODY)
    assert (await client.answer())[0].startswith(b"HTTP/1.1 200")
    assert served.moved == before
    assert served.plane.backend.exchanges[0].body == BODY


async def test_a_body_of_unknown_length_is_copied(served: Served) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    served.plane.backend.replies = [Reply(answer=head + chunk)]
    before = served.moved
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    await client.reader.readuntil(b"\r\n\r\n")
    received = b""
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        received += await client.reader.readexactly(size)
        await client.reader.readexactly(2)
    assert (received, served.moved) == (BODY, before)


# -- around a move -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "in the head"])
async def test_a_request_behind_a_moved_upload_is_read_as_one(served: Served, is_cut: bool) -> None:
    served.plane.backend.replies = [OK, with_body(b"next")]
    before = served.moved
    client = await served.connect()
    following = served.plane.raw(GET)
    await client.send(served.plane.raw(PUT) + BODY + following[: 20 if is_cut else None])
    assert (await client.answer())[1] == b""
    if is_cut:
        await client.send(following[20:])
    assert (await client.answer())[1] == b"next"
    assert served.moved > before
    assert served.plane.backend.exchanges[0].body == BODY
    assert (await served.record(2))["operation"] == "GetObject"


async def test_an_http_1_0_client_gets_a_large_body_and_the_end_of_its_connection(
    served: Served,
) -> None:
    served.plane.backend.replies = [with_body(BODY)]
    before = served.moved
    client = await served.connect()
    await client.send(served.plane.raw(GET).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    head, body = await client.answer()
    assert b"connection: close" in head
    assert body == BODY
    assert await client.is_closed()
    assert served.moved > before


async def test_an_early_answer_ends_a_move_and_reaches_the_client(served: Served) -> None:
    error = b"<Error><Code>AccessDenied</Code></Error>"
    denied = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(error), error)
    served.plane.backend.replies = [Reply(answer=denied, on_head=True, then="hang")]
    served.plane.backend.is_held = True
    client = await served.connect()
    before = served.moved
    await client.send(served.plane.raw(PUT) + BODY[: 2 * MiB])
    await until(lambda: served.moved > before)
    served.plane.backend.is_held = False
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 403")
    assert b"<Code>AccessDenied</Code>" in body
    record = await served.record()
    assert 0 < record["bytesIn"] <= 2 * MiB


async def test_what_follows_a_moved_answer_is_never_the_next_one(served: Served) -> None:
    answered = with_body(BODY).answer
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
    served.plane.backend.replies = [Reply(answer=answered + forged), with_body(b"good")]
    before = served.moved
    client = await served.connect()
    await client.send(served.plane.raw(GET) * 2)
    assert (await client.answer())[1] == BODY
    assert (await client.answer())[1] == b"good"
    assert served.moved > before


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "copied"])
async def test_a_client_that_leaves_before_the_answer_is_seen_to_leave(is_moved: bool) -> None:
    async with serving(None if is_moved else refused) as running:
        await running.warm(GET, PUT)
        running.plane.backend.replies = [Reply(answer=b"", then="hang")]
        client = await running.connect()
        await client.send(running.plane.raw(PUT) + BODY)
        await until(lambda: running.plane.backend.exchanges)
        await until(lambda: len(running.plane.backend.exchanges[0].body) == len(BODY))
        client.writer.transport.abort()
        assert (await running.record())["errorCode"] == "ClientGone"
        assert running.plane.services.metrics.in_flight == 0


@pytest.mark.rule("3.2.17")
@pytest.mark.parametrize("is_reset", [False, True], ids=["ends", "is reset"])
async def test_a_moved_upload_whose_client_leaves_is_no_object(
    served: Served, is_reset: bool
) -> None:
    client = await served.connect()
    before = served.moved
    await client.send(served.plane.raw(PUT) + BODY[: 2 * MiB])
    await until(lambda: served.moved > before)
    if is_reset:
        client.writer.transport.abort()
    else:
        client.writer.write_eof()
    record = await served.record()
    assert (record["errorCode"], record["status"]) == ("ClientGone", 499)
    await settle(20)
    (exchange,) = served.plane.backend.exchanges
    assert len(exchange.body) < len(BODY)
    assert record["bytesIn"] == 2 * MiB or is_reset


async def test_a_backend_that_leaves_behind_a_moved_upload_is_told_once(served: Served) -> None:
    served.plane.backend.replies = [Reply(answer=b"", then="close")]
    client = await served.connect()
    await client.send(served.plane.raw(PUT) + BODY)
    head, _ = await client.answer()
    assert head.startswith(b"HTTP/1.1 503")
    assert (await served.record())["bytesIn"] == len(BODY)


async def test_a_moved_download_that_breaks_off_breaks_the_client(served: Served) -> None:
    served.plane.backend.replies = [with_body(BODY, sent=3 * MiB, then="close")]
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    with pytest.raises(asyncio.IncompleteReadError):
        await client.answer()
    record = await served.record()
    assert (record["errorCode"], record["bytesOut"]) == ("ServiceUnavailable", 3 * MiB)


# -- deadlines -----------------------------------------------------------------------------------

BIG = 64 * MiB
BIG_PUT = PUT.but(headers=[("Content-Length", str(BIG))], body=b"")


async def upload_from_a_silent_client(served: Served) -> Client:
    client = await served.connect()
    before = served.moved
    await client.send(served.plane.raw(PUT) + BODY[: 2 * MiB])
    await until(lambda: served.moved > before)
    await until(lambda: served.plane.backend.exchanges)
    await until(lambda: len(served.plane.backend.exchanges[0].body) == 2 * MiB)
    return client


async def upload_to_a_silent_backend(served: Served) -> Client:
    served.plane.backend.replies = [Reply(then="stall")]
    client = await served.connect()
    client.writer.write(served.plane.raw(BIG_PUT) + bytes(BIG))
    await until_still(lambda: served.moved)
    return client


async def download_from_a_silent_backend(served: Served) -> Client:
    served.plane.backend.replies = [with_body(BODY, sent=3 * MiB, then="hang")]
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    async with asyncio.timeout(20):
        await client.reader.readexactly(3 * MiB)
    return client


async def download_by_a_silent_client(served: Served) -> Client:
    served.plane.backend.replies = [with_body(bytes(BIG))]
    client = await served.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport too
    await client.send(served.plane.raw(GET))
    await until_still(lambda: served.moved)
    return client


async def upload_behind_half_an_answer(served: Served) -> Client:
    half = Reply(answer=b"HTTP/1.1 200 O", on_head=True, then="hang")
    served.plane.backend.replies = [half]
    client = await served.connect()
    before = served.moved
    await client.send(served.plane.raw(PUT) + BODY[: 2 * MiB])
    await until(lambda: served.moved > before)
    await settle(20)  # the half is here, and the move goes on
    before = served.moved
    await client.send(BODY[2 * MiB : 3 * MiB])
    await until(lambda: served.moved == before + MiB)
    await client.send(BODY[3 * MiB :])
    await until(lambda: served.plane.backend.exchanges)
    await until(lambda: len(served.plane.backend.exchanges[0].body) == len(BODY))
    return client


async def upload_to_a_backend_that_is_busy(served: Served) -> Client:
    """It says so while it takes nothing, and then no more."""
    processing = b"HTTP/1.1 102 Processing\r\n\r\n"
    served.plane.backend.replies = [Reply(then="stall")]
    client = await served.connect()
    client.writer.write(served.plane.raw(BIG_PUT) + bytes(BIG))
    await until_still(lambda: served.moved)
    served.plane.backend.writers[-1].write(processing)
    await asyncio.sleep(0.05)
    return client


async def until_still(measure: Callable[[], int]) -> None:
    """Until it has been the same, and not 0, for a while."""
    last, looks = 0, 0
    async with asyncio.timeout(20):
        while looks < 200:
            value = measure()
            looks = looks + 1 if value == last != 0 else 0
            last = value
            await asyncio.sleep(0.001)


STALLS: dict[str, tuple[Callable[[Served], Awaitable[Client]], str]] = {
    "upload, client": (upload_from_a_silent_client, "RequestTimeout"),
    "upload, backend": (upload_to_a_silent_backend, "GatewayTimeout"),
    "upload, half an answer": (upload_behind_half_an_answer, "GatewayTimeout"),
    "upload, 102": (upload_to_a_backend_that_is_busy, "GatewayTimeout"),
    "download, backend": (download_from_a_silent_backend, "GatewayTimeout"),
    "download, client": (download_by_a_silent_client, "ClientGone"),
}


@pytest.mark.parametrize(("stall", "code"), STALLS.values(), ids=STALLS)
async def test_either_side_of_a_move_that_stalls_has_a_deadline(
    served: Served, stall: Callable[[Served], Awaitable[Client]], code: str
) -> None:
    before = open_sockets()
    client = await stall(served)
    served.plane.services.watchdog.sweep(float("inf"))
    assert (await served.record())["errorCode"] == code
    client.writer.transport.abort()
    await until(lambda: open_sockets() <= before)
    assert served.plane.services.metrics.in_flight == 0


# -- after a refusal -----------------------------------------------------------------------------


async def test_a_refused_upload_goes_on_at_the_backends_pace(copying: Served) -> None:
    client = await copying.connect()
    copying.plane.backend.is_held = True
    body = bytes(range(251)) * (BIG // 251)
    length = ("Content-Length", str(len(body)))
    await client.send(copying.plane.raw(PUT.but(headers=[length])))
    sending = asyncio.ensure_future(client.send(body))
    await until_still(client.writer.transport.get_write_buffer_size)
    copying.plane.backend.is_held = False
    await client.answer()
    await sending
    (exchange,) = copying.plane.backend.exchanges
    assert sha256(exchange.body).digest() == sha256(body).digest()


async def test_a_refused_download_goes_on_at_the_clients_pace(copying: Served) -> None:
    body = bytes(range(251)) * (BIG // 251)
    copying.plane.backend.replies = [with_body(body)]
    client = await copying.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport too
    await client.send(copying.plane.raw(GET))
    backend = copying.plane.backend.writers[-1].transport
    await until_still(backend.get_write_buffer_size)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await client.answer())[1] == body


async def test_a_refused_download_is_not_moved_at_a_later_piece(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def none_left(pipes: Pipes) -> Pipe:
        taken.append(pipes)
        raise OSError(errno.ENFILE, "no pipes")

    monkeypatch.setattr(Pipes, "take", none_left)
    served.plane.backend.replies = [with_body(BODY)]
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    assert (await client.answer())[1] == BODY
    assert len(taken) == 1


# -- what a connection leaves behind -------------------------------------------------------------


async def close_after_answers(served: Served) -> None:
    client = await served.connect()
    for request in (GET, PUT, GET.but(target="/closed/a")):
        await client.send(served.plane.raw(request) + request.body)
        await client.answer()
    client.writer.close()


async def leave_in_a_download(served: Served) -> None:
    served.plane.backend.replies = [with_body(bytes(BIG))]
    client = await served.connect()
    await client.send(served.plane.raw(GET))
    await client.reader.readexactly(MiB)
    client.writer.transport.abort()


async def leave_in_an_upload(served: Served) -> None:
    client = await served.connect()
    await client.send(served.plane.raw(PUT) + BODY[:MiB])
    client.writer.transport.abort()


async def say_nothing(served: Served) -> None:
    (await served.connect()).writer.close()


ENDS = (close_after_answers, leave_in_a_download, leave_in_an_upload, say_nothing)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_a_connection_leaves_nothing_for_the_garbage_collector(
    served: Served, end: Callable[[Served], Awaitable[None]]
) -> None:
    # With TLS each would keep 256 KiB of buffers until a collection, which is rare.
    before = open_sockets()
    await end(served)
    await until(lambda: served.plane.services.metrics.in_flight == 0)
    with garbage_of_ours() as ours:
        for _ in range(3):
            await end(served)
        served.close()
        await until(lambda: served.plane.services.metrics.in_flight == 0)
        served.plane.services.pools.close()
        await until(lambda: open_sockets() < before)
        await settle(20)
    assert ours == Counter()


# -- a relay alone -------------------------------------------------------------------------------


class PlainConnection(FakeConnection):
    """A client's connection whose body is on a real socket."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def plain_transport(self) -> asyncio.Transport:  # type: ignore[override]  # not None here
        return self._transport


class RelayAlone:
    """A streamed upload between two real connections."""

    def __init__(
        self, mover: BulkMover, source: Side, backend: UpstreamConnection, target: Side
    ) -> None:
        self.mover = mover
        self.source, self.backend, self.target = source, backend, target
        connection = PlainConnection(source.transport)
        source.transport.pause_reading()
        self.client = new_stream(connection, head("PUT", "/b/k"))
        self.relay = Relay(self.client, backend)

    def send(self, length: int, early: bytes = b"") -> None:
        request = UpstreamRequest(b"PUT", b"/b/k", b"store", (), content_length=length)
        if early:
            self.client.feed(early)
        self.relay.send_streamed(request, None, Deadlines(60, 30))


@pytest.fixture
async def alone() -> AsyncIterator[RelayAlone]:
    mover = BulkMover()
    backend = UpstreamConnection(Watchdog(), lambda _: None, mover)
    source, target = await Side.open(), await Side.open(backend)
    yield RelayAlone(mover, source, backend, target)
    mover.close()
    for side in (source, target):
        side.close()
    await settle(10)


def fill(side: Side) -> None:
    """Until the kernel takes no more."""
    descriptor = os.dup(side.transport.get_extra_info("socket").fileno())
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, bytes(64 * 1024))
    os.close(descriptor)


async def test_a_backend_that_takes_not_even_the_beginning_has_a_deadline(
    alone: RelayAlone,
) -> None:
    fill(alone.target)
    alone.send(BIG, early=b"a beginning")
    assert not alone.backend.is_flushed()
    assert alone.backend.deadline is not None


async def test_a_backend_that_takes_no_more_may_have_said_why(alone: RelayAlone) -> None:
    """It answers and closes, and the move is the first to meet the reset."""
    alone.send(BIG)
    await alone.source.send(BODY[:MiB])
    await until(lambda: alone.mover.moved_bytes == MiB)

    def after_the_reset(source: int, target: int, count: int, /, *, flags: int) -> int:
        if alone.target.far.fileno() >= 0:
            alone.target.far.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            alone.target.far.close()  # with what was never read
        return os.splice(source, target, count, flags=flags)

    alone.mover.splice = after_the_reset
    await alone.source.send(BODY[:MiB])
    async with asyncio.timeout(10):
        assert (await alone.relay.head()).status == 403
    assert alone.client.received_bytes == MiB


async def test_an_exchange_that_is_cancelled_takes_its_move_along(alone: RelayAlone) -> None:
    alone.send(BIG)
    await until(lambda: alone.backend.is_flushed())
    waiting = asyncio.ensure_future(alone.relay.head())
    await alone.source.send(BODY[:MiB])
    await alone.target.receive(MiB)
    before = open_sockets()
    waiting.cancel()
    await settle(20)
    assert waiting.cancelled()
    moved = alone.client.received_bytes
    await alone.source.send(BODY[:MiB])
    await settle(50)
    assert alone.client.received_bytes == moved
    assert open_sockets() < before - 1  # the pipe and both copies; the connection, too
