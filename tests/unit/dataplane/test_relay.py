"""Both legs coupled: bodies, backpressure, and an end of either side in every phase."""

import asyncio

import pytest

from bucketroute_dataplane.core.checksums import BytesLike
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.messages import Deadlines, UpstreamRequest
from bucketroute_dataplane.core.upload import HashedUpload, UploadTransform
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_ports import ClientGoneError
from bucketroute_dataplane.shell.relay import MAX_EARLY_BYTES, Relay
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_testing.heads import head
from bucketroute_testing.transports import FakeConnection, FakeTransport, new_stream, settle

PUT = UpstreamRequest(b"PUT", b"/b/k", b"store", (), content_length=4)
GET = UpstreamRequest(b"GET", b"/b/k", b"store", ())
DEADLINES = Deadlines(60, 30)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Pair:
    def __init__(self, method: str = "GET") -> None:
        self.idle: list[UpstreamConnection] = []
        self.socket = FakeConnection()
        self.client: ClientStream = new_stream(self.socket, head(method, "/b/k"))
        self.backend = UpstreamConnection(Watchdog(), self.idle.append)
        self.transport = FakeTransport(self.backend)
        self.backend.connection_made(self.transport)
        self.relay = Relay(self.client, self.backend)

    def get(self) -> None:
        self.client.feed_end()
        self.relay.send(GET, b"", DEADLINES)

    def put(self, transform: UploadTransform | None = None) -> None:
        self.relay.send_streamed(PUT, transform, DEADLINES)

    def stored(self) -> bytes:
        return self.transport.sent.partition(b"\r\n\r\n")[2]

    async def pass_on(self, length: int) -> None:
        answer = await self.relay.head()
        self.client.start(answer.status, [], length=length)
        await self.relay.pass_on()
        self.client.finish()


@pytest.fixture
async def pair() -> Pair:
    return Pair()


@pytest.fixture
async def upload() -> Pair:
    return Pair("PUT")


# -- downloads -----------------------------------------------------------------------------------


async def test_a_body_that_came_with_its_head_is_passed_on_first(pair: Pair) -> None:
    pair.get()
    pair.backend.data_received(OK % 6 + b"abc")
    passing = asyncio.ensure_future(pair.pass_on(6))
    await settle()
    pair.backend.data_received(b"def")
    await passing
    assert pair.socket.sent.endswith(b"\r\n\r\nabcdef")
    assert pair.idle == [pair.backend]


async def test_a_slow_client_stops_the_backend_and_lets_it_go_on(pair: Pair) -> None:
    pair.get()
    pair.backend.data_received(OK % 9)
    passing = asyncio.ensure_future(pair.pass_on(9))
    await settle()
    pair.client.write_paused()
    pair.backend.data_received(b"abc")
    assert not pair.transport.is_reading()
    pair.client.write_resumed()
    assert pair.transport.is_reading()
    pair.backend.data_received(b"defghi")
    await passing


async def test_a_body_that_nobody_takes_yet_is_bounded(pair: Pair) -> None:
    pair.get()
    pair.backend.data_received(OK % (4 * MAX_EARLY_BYTES))
    pair.backend.data_received(b"x" * MAX_EARLY_BYTES)
    assert pair.transport.is_reading()
    pair.backend.data_received(b"x")
    assert not pair.transport.is_reading()
    passing = asyncio.ensure_future(pair.pass_on(4 * MAX_EARLY_BYTES))
    await settle()
    assert pair.transport.is_reading()
    pair.client.lost()
    with pytest.raises(ClientGoneError):
        await passing


async def test_a_client_that_drains_late_does_not_touch_a_connection_that_serves_another(
    pair: Pair,
) -> None:
    pair.get()
    pair.backend.data_received(OK % 1 + b"x")  # back in its pool, and taken again:
    other = Pair()
    other_relay = Relay(other.client, pair.backend)
    other_relay.send(GET, b"", DEADLINES)
    pair.backend.pause_response()
    pair.client.write_resumed()
    pair.client.lost()
    assert not pair.transport.is_reading()
    assert not pair.transport.is_closing()


async def test_a_document_is_collected_whole(pair: Pair) -> None:
    pair.get()
    pair.backend.data_received(OK % 6 + b"abc")
    await pair.relay.head()
    collecting = asyncio.ensure_future(pair.relay.collect(6))
    await settle()
    pair.backend.data_received(b"def")
    assert await collecting == b"abcdef"


@pytest.mark.parametrize("is_complete", [False, True])
async def test_a_document_beyond_its_limit_is_refused_also_when_it_came_at_once(
    pair: Pair, is_complete: bool
) -> None:
    pair.get()
    pair.backend.data_received(OK % (7 if is_complete else 100) + b"7 bytes")
    with pytest.raises(BackendError, match="larger than 6 bytes"):
        await pair.relay.collect(6)
    assert pair.transport.is_closing() is not is_complete


async def test_collecting_tells_of_the_beginning_while_more_is_to_come(pair: Pair) -> None:
    seen: list[bytes] = []
    pair.get()
    pair.backend.data_received(OK % 4 + b" ")
    collecting = asyncio.ensure_future(pair.relay.collect(9, on_progress=seen.append))
    await settle()
    pair.backend.data_received(b" ")
    await settle()
    pair.backend.data_received(b"ab")
    assert (await collecting, seen) == (b"  ab", [b" ", b"  "])


# -- uploads -------------------------------------------------------------------------------------


async def test_an_upload_flows_through_piece_by_piece(upload: Pair) -> None:
    upload.client.feed(b"ab")
    upload.put()
    assert (upload.stored(), upload.relay.is_upload_complete) == (b"ab", False)
    upload.client.feed(b"cd")
    upload.client.feed_end()
    assert (upload.stored(), upload.relay.is_upload_complete) == (b"abcd", True)


async def test_a_slow_backend_stops_the_client_and_lets_it_go_on(upload: Pair) -> None:
    upload.put()
    upload.backend.pause_writing()
    upload.client.feed(b"ab")
    assert (upload.socket.reads(), upload.socket.expects()) == (False, False)
    upload.backend.resume_writing()
    assert (upload.socket.reads(), upload.socket.expects()) == (True, True)


@pytest.mark.rule("3.2.17")
async def test_a_body_that_fails_its_check_never_reaches_its_length(upload: Pair) -> None:
    upload.put(HashedUpload(b"0" * 64))
    upload.client.feed(b"ab")
    upload.client.feed(b"cd")
    upload.client.feed_end()
    with pytest.raises(S3Error, match="XAmzContentSHA256Mismatch"):
        await upload.relay.head()
    assert (upload.stored(), upload.transport.was_aborted) == (b"ab", True)


class Refusing:
    """A transform that finds the first piece wrong."""

    def feed(self, data: bytes) -> list[BytesLike]:
        raise s3_error("InvalidChunkSizeError")

    def finish(self) -> list[BytesLike]:
        return []


async def test_a_wrong_beginning_sends_nothing_to_the_backend(upload: Pair) -> None:
    upload.client.feed(b"ab")
    with pytest.raises(S3Error, match="InvalidChunkSizeError"):
        upload.put(Refusing())
    assert (upload.transport.sent, upload.transport.was_aborted) == (b"", True)


async def test_an_early_answer_stops_the_upload_and_reaches_the_client(upload: Pair) -> None:
    upload.put()
    upload.client.feed(b"ab")
    upload.backend.data_received(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    answer = await upload.relay.head()
    assert (answer.status, await upload.relay.collect(100)) == (403, b"no")
    upload.client.feed(b"cd")
    assert upload.stored() == b"ab"


# -- either side ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["before", "in the body", "before the head", "in the response"])
async def test_a_client_that_leaves_frees_the_backend_connection(upload: Pair, phase: str) -> None:
    if phase == "before":
        upload.client.lost()
    upload.put()
    if phase in ("before the head", "in the response"):
        upload.client.feed(b"abcd")
        upload.client.feed_end()
    if phase == "in the response":
        upload.backend.data_received(OK % 5 + b"ab")
        await upload.relay.head()
    upload.client.lost()
    with pytest.raises(ClientGoneError):
        await (upload.relay.collect(9) if phase == "in the response" else upload.relay.head())
    await settle()
    assert (upload.transport.was_aborted, upload.backend.transport) == (True, None)
    assert (upload.transport.sent == b"") is (phase == "before")


@pytest.mark.parametrize("phase", ["in the upload", "before the head", "in the response"])
async def test_a_backend_that_dies_fails_the_exchange(upload: Pair, phase: str) -> None:
    upload.put()
    upload.client.feed(b"ab")
    if phase != "in the upload":
        upload.client.feed(b"cd")
        upload.client.feed_end()
    if phase == "in the response":
        upload.backend.data_received(OK % 5 + b"ab")
    upload.backend.connection_lost(None)
    with pytest.raises(BackendError):
        await (upload.relay.collect(9) if phase == "in the response" else upload.relay.head())


@pytest.mark.parametrize("phase", ["head", "body"])
async def test_a_cancelled_exchange_closes_its_backend_connection(pair: Pair, phase: str) -> None:
    pair.get()
    if phase == "body":
        pair.backend.data_received(OK % 5 + b"ab")
    work = pair.relay.head() if phase == "head" else pair.relay.collect(9)
    waiting = asyncio.ensure_future(work)
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pair.transport.was_aborted


async def test_a_cancelled_exchange_leaves_a_connection_alone_that_it_gave_back(
    pair: Pair,
) -> None:
    pair.get()
    waiting = asyncio.ensure_future(pair.relay.head())
    await settle()
    pair.backend.data_received(OK % 0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not pair.transport.is_closing()
