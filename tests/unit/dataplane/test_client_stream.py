"""The client's side of one exchange: body, response, and the state of the connection after it."""

import asyncio

import pytest

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.shell.client import MAX_QUEUED_BYTES, ClientStream
from bucketroute_dataplane.shell.client_ports import ClientGoneError
from bucketroute_testing.heads import head
from bucketroute_testing.transports import FakeConnection, new_stream, settle


class Consumer:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_ended = False
        self.error: Exception | None = None
        self.writable_count = 0

    def on_client_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_client_end(self) -> None:
        self.is_ended = True

    def on_client_failed(self, error: Exception) -> None:
        self.error = error

    def on_client_writable(self) -> None:
        self.writable_count += 1


def put(connection: FakeConnection, **options: bool) -> ClientStream:
    return new_stream(connection, head("PUT", "/b/k"), **options)


def get(connection: FakeConnection, **options: bool) -> ClientStream:
    stream = new_stream(connection, head("GET", "/b/k"), **options)
    stream.feed_end()
    return stream


# -- the body ------------------------------------------------------------------------------------


async def test_pieces_that_came_before_the_consumer_reach_it_first_and_in_order() -> None:
    stream, consumer = put(FakeConnection()), Consumer()
    stream.feed(b"a")
    stream.feed(b"b")
    stream.pump_to(consumer)
    stream.feed(b"c")
    stream.feed_end()
    assert (consumer.pieces, consumer.is_ended) == ([b"a", b"b", b"c"], True)
    assert stream.received_bytes == 3


async def test_a_body_that_nobody_takes_stops_the_socket() -> None:
    connection = FakeConnection()
    stream = put(connection)
    stream.feed(b"x" * MAX_QUEUED_BYTES)
    assert connection.reads()
    stream.feed(b"x")
    assert not connection.reads()
    assert connection.deadline is None  # the client cannot send what is not read
    stream.pump_to(Consumer())
    assert connection.reads()


async def test_a_buffered_body_wakes_its_reader_once_it_is_whole() -> None:
    stream = put(FakeConnection())
    reading = asyncio.ensure_future(stream.read_body(10))
    for piece in (b"ab", b"cd"):
        await settle()
        stream.feed(piece)
    await settle()
    assert not reading.done()
    stream.feed_end()
    assert await reading == b"abcd"


@pytest.mark.rule("3.2.5")
async def test_a_buffered_body_is_bounded_whatever_was_declared() -> None:
    stream = put(FakeConnection())
    stream.feed(b"x" * 11)
    with pytest.raises(S3Error, match="EntityTooLarge"):
        await stream.read_body(10)


async def test_a_body_that_is_held_has_its_time_however_steadily_it_comes() -> None:
    connection = FakeConnection()
    stream = put(connection)
    loop = asyncio.get_running_loop()
    reading = asyncio.ensure_future(stream.read_body(1000, within_seconds=0.2))
    async with asyncio.timeout(10):
        while not reading.done():
            await asyncio.sleep(0.01)
            stream.feed(b"x")
            await settle()
            assert reading.done() or (connection.deadline or 0) <= loop.time() + 0.2
    with pytest.raises(S3Error, match="RequestTimeout"):
        await reading


@pytest.mark.rule("3.2.8")
async def test_a_client_that_leaves_ends_the_reading_of_its_body() -> None:
    stream = put(FakeConnection())
    reading = asyncio.ensure_future(stream.read_body(10))
    await settle()
    stream.lost()
    with pytest.raises(ClientGoneError):
        await reading


async def test_a_client_that_left_before_the_reading_is_noticed() -> None:
    stream, consumer = put(FakeConnection()), Consumer()
    stream.lost()
    with pytest.raises(ClientGoneError):
        await stream.read_body(10)
    stream.follow(consumer)
    assert isinstance(consumer.error, ClientGoneError)


async def test_a_silent_client_fails_whoever_waits_for_its_body() -> None:
    stream, consumer = put(FakeConnection()), Consumer()
    stream.pump_to(consumer)
    stream.fail(s3_error("RequestTimeout"))
    assert isinstance(consumer.error, S3Error)
    assert consumer.error.code == "RequestTimeout"


async def test_a_body_that_is_not_wanted_any_more_moves_no_deadline_and_is_not_kept() -> None:
    connection = FakeConnection()
    stream, consumer = put(connection), Consumer()
    stream.pump_to(consumer)
    stream.stop_body()
    stream.feed(b"late")
    assert (connection.reads(), connection.deadline) == (False, None)
    assert (consumer.pieces, stream.take_queued()) == ([], b"")


async def test_a_drained_backend_does_not_resume_a_body_that_was_stopped() -> None:
    connection = FakeConnection()
    stream = put(connection)
    stream.pump_to(Consumer())
    stream.stop_body()
    stream.resume_body()
    assert (connection.reads(), connection.deadline) == (False, None)


async def test_a_request_that_waits_in_the_pipeline_leaves_the_deadline_alone() -> None:
    connection = FakeConnection()
    connection.deadline = 7.0
    stream = put(connection, is_running=False)
    stream.feed(b"x")
    stream.feed_end()
    assert connection.deadline == 7.0


# -- Expect: 100-continue ------------------------------------------------------------------------


async def test_100_continue_is_sent_once_and_before_the_body_is_awaited() -> None:
    connection = FakeConnection()
    stream = put(connection, expects_continue=True)
    assert connection.sent == b""
    stream.pump_to(Consumer())
    stream.send_continue()
    assert connection.sent == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_an_http_1_0_client_gets_no_100_continue() -> None:
    connection = FakeConnection()
    put(connection, expects_continue=True, is_http10=True).send_continue()
    assert connection.sent == b""


async def test_a_client_that_left_gets_no_100_continue() -> None:
    connection = FakeConnection()
    stream = put(connection, expects_continue=True)
    stream.lost()
    stream.send_continue()
    assert connection.sent == b""


# -- the response --------------------------------------------------------------------------------


async def test_a_response_of_known_length_keeps_the_connection() -> None:
    connection = FakeConnection()
    get(connection).respond(200, [(b"a", b"b")], b"body")
    assert connection.sent == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 4\r\n\r\nbody"
    assert connection.ends == ["next"]


async def test_a_response_of_unknown_length_is_chunked() -> None:
    connection = FakeConnection()
    stream = get(connection)
    stream.start(200, [], length=None)
    stream.write(b"ab")
    stream.write(b"")  # would be the end of a chunked body
    stream.write(b"c")
    stream.finish()
    head_, _, body = connection.sent.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head_
    assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


async def test_an_http_1_0_client_reads_an_unknown_length_to_the_end_of_the_connection() -> None:
    connection = FakeConnection()
    stream = get(connection, keep_alive=False, is_http10=True)
    stream.start(200, [], length=None)
    stream.write(b"ab")
    stream.finish()
    assert connection.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"
    assert connection.ends == ["close"]


async def test_a_response_that_ends_with_the_connection_is_broken_off_by_a_reset() -> None:
    connection = FakeConnection()
    stream = get(connection, keep_alive=False, is_http10=True)
    stream.start(200, [], length=None)
    stream.write(b"ab")
    stream.break_off()
    assert connection.ends == ["abort"]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("HEAD", 404), ("GET", 304), ("DELETE", 204)]
)
async def test_a_response_without_a_body_has_no_length_of_ours(method: str, status: int) -> None:
    connection = FakeConnection()
    stream = new_stream(connection, head(method, "/b/k"))
    stream.feed_end()
    stream.respond(status, [], b"never sent")
    assert connection.sent.endswith(b"\r\n\r\n")
    assert b"content-length" not in connection.sent
    assert b"transfer-encoding" not in connection.sent


async def test_an_answer_before_the_end_of_the_body_closes_the_connection_lingering() -> None:
    connection = FakeConnection()
    stream = put(connection)
    stream.feed(b"some")
    stream.respond(403, [], b"no")
    assert b"connection: close\r\n" in connection.sent
    assert connection.ends == ["linger"]
    assert stream.received_bytes == 4


async def test_an_answer_instead_of_the_100_closes_the_connection() -> None:
    # The client may send its body or not: what comes next can't be told from a request.
    connection = FakeConnection()
    stream = put(connection, expects_continue=True)
    stream.feed_end()
    stream.respond(403, [], b"no")
    assert b"connection: close\r\n" in connection.sent
    assert connection.ends == ["close"]


async def test_until_a_byte_is_sent_another_response_may_take_its_place() -> None:
    connection = FakeConnection()
    stream = get(connection)
    stream.start(200, [], length=5)
    assert not stream.response_started
    stream.respond(503, [], b"down")
    assert connection.sent == (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\ndown")


async def test_a_response_that_breaks_off_closes_the_connection() -> None:
    connection = FakeConnection()
    stream = get(connection)
    stream.start(200, [], length=5)
    stream.write(b"ab")
    stream.break_off()
    assert (connection.ends, stream.response_complete) == (["close"], True)


async def test_nothing_is_written_to_a_client_that_left() -> None:
    connection = FakeConnection()
    stream = get(connection)
    stream.lost()
    stream.respond(200, [], b"body")
    assert (connection.sent, connection.ends) == (b"", [])


async def test_a_slow_reader_has_a_deadline_until_it_reads_on() -> None:
    connection = FakeConnection()
    stream, consumer = get(connection), Consumer()
    stream.follow(consumer)
    stream.write_paused()
    assert connection.expects()
    stream.write_resumed()
    assert (connection.expects(), consumer.writable_count) == (False, 1)
