"""One client connection, byte by byte: what is a request, what is refused, what comes after it."""

import logging
from collections.abc import Awaitable

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_pipeline import MAX_WAITING
from bucketroute_dataplane.shell.client_ports import LINGER_BYTES, MAX_HEAD_BYTES, ClientGoneError
from bucketroute_testing.transports import ClientLeg, settle


class ScriptedFront:
    """Answers nothing by itself: the test responds through `streams`."""

    def __init__(self) -> None:
        self.is_leaving = False
        self.streams: list[ClientStream] = []
        self.refused: list[tuple[str, str]] = []

    def begin(self, client: ClientStream) -> Awaitable[None] | None:
        self.streams.append(client)
        return None

    def refuse(self, error: S3Error, client_address: str) -> bytes:
        self.refused.append((error.code, client_address))
        return b"refused"


class EagerFront(ScriptedFront):
    """Answers at once, within the call that brought the head."""

    def begin(self, client: ClientStream) -> Awaitable[None] | None:
        client.respond(200, [], client.head.raw_path)
        return super().begin(client)


class Consumer:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def on_client_body(self, data: bytes) -> None: ...

    def on_client_end(self) -> None: ...

    def on_client_failed(self, error: Exception) -> None:
        self.error = error

    def on_client_writable(self) -> None: ...


GET = b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def front() -> ScriptedFront:
    return ScriptedFront()


@pytest.fixture
async def leg(front: ScriptedFront) -> ClientLeg:
    return ClientLeg(front)


def only(front: ScriptedFront) -> ClientStream:
    (stream,) = front.streams
    return stream


def failure_of(stream: ClientStream) -> Exception | None:
    consumer = Consumer()
    stream.follow(consumer)
    return consumer.error


# -- what is a request ---------------------------------------------------------------------------


async def test_a_head_that_comes_byte_by_byte_is_one_request(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    for byte in GET:
        leg.receive(bytes([byte]))
    head = only(front).head
    assert (head.method, head.raw_path, head.raw_query) == (b"GET", b"/b/k", b"")
    assert (head.get(b"host"), head.client_address) == (b"h", "192.0.2.1")
    assert only(front).body_complete


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://h/b/k?x=1", b"/b/k", b"x=1"),
        (b"HTTP://H/b/k", b"/b/k", b""),
        (b"https://h", b"/", b""),
        (b"http://h?x=1", b"/", b"x=1"),
        (b"http://other/b/k", b"http://other/b/k", b""),
        (b"*", b"*", b""),
    ],
)
async def test_absolute_form_is_accepted_where_it_names_the_host(
    leg: ClientLeg, front: ScriptedFront, target: bytes, path: bytes, query: bytes
) -> None:
    method = b"OPTIONS" if target == b"*" else b"GET"
    leg.receive(b"%s %s HTTP/1.1\r\nHost: h\r\n\r\n" % (method, target))
    assert (only(front).head.raw_path, only(front).head.raw_query) == (path, query)


async def test_a_trailer_is_no_header(leg: ClientLeg, front: ScriptedFront) -> None:
    # A signature covers the head alone; what follows the body must not reach the backend as if.
    leg.receive(CHUNKED + b"2\r\nab\r\n0\r\nx-amz-meta-late: 1\r\n\r\n")
    stream = only(front)
    assert [name for name, _ in stream.head.headers] == [b"host", b"transfer-encoding"]
    assert (await stream.read_body(10), stream.body_complete) == (b"ab", True)


async def test_an_upgrade_is_ignored_and_the_connection_closed_after_the_answer(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(b"GET /b/k HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    only(front).respond(200, [], b"x")
    assert b"connection: close\r\n" in leg.sent


async def test_the_body_of_a_request_that_asks_for_an_upgrade_arrives_whole(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    leg.receive(PUT.removesuffix(b"\r\n") + upgrade + b"ab")
    assert not only(front).body_complete
    leg.receive(b"cde")
    assert await only(front).read_body(10) == b"abcde"


async def test_connect_reaches_the_front_like_any_request(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(b"CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n")
    assert (only(front).head.method, only(front).keep_alive) == (b"CONNECT", False)


async def test_administrative_paths_go_to_the_application(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(b"GET /-/live HTTP/1.1\r\nHost: h\r\n\r\n")
    await settle()
    assert leg.sent.startswith(b"HTTP/1.1 204 ")
    assert front.streams == []
    leg.receive(GET)
    assert only(front).head.raw_path == b"/b/k"


# -- keep-alive and pipelining -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", False),
    ],
)
async def test_the_connection_is_kept_as_the_client_says(
    leg: ClientLeg, front: ScriptedFront, version: bytes, header: bytes, is_kept: bool
) -> None:
    leg.receive(b"GET /b/k HTTP/%s\r\nHost: h\r\n%s\r\n" % (version, header))
    only(front).respond(200, [], b"x")
    assert leg.transport.is_closing() is not is_kept
    assert (b"connection: close" in leg.sent) is not is_kept


async def test_pipelined_requests_are_answered_one_after_the_other_in_order(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET + GET.replace(b"/b/k", b"/b/second"))
    first = only(front)
    assert not leg.transport.is_reading()
    first.respond(200, [], b"1")
    await settle()
    front.streams[1].respond(200, [], b"2")
    assert front.streams[1].head.raw_path == b"/b/second"
    assert leg.sent.index(b"\r\n\r\n1") < leg.sent.index(b"\r\n\r\n2")
    assert leg.transport.is_reading()


async def test_thousands_of_pipelined_requests_do_not_nest() -> None:
    front = EagerFront()
    leg = ClientLeg(front)
    for _ in range(20):
        leg.receive(GET * 100)
        await settle(110)
    assert leg.sent.count(b"HTTP/1.1 200 OK") == 2000
    assert not leg.transport.is_closing()


async def test_nothing_is_read_while_a_request_waits(leg: ClientLeg, front: ScriptedFront) -> None:
    """Each takes more memory than its bytes."""
    leg.receive(GET * 3)
    for number in range(3):
        assert leg.transport.is_reading() is (number == 2)
        front.streams[number].respond(200, [], b"x")
        await settle()
    assert leg.transport.is_reading()


async def test_more_requests_than_may_wait_are_not_served_but_those_are(
    leg: ClientLeg, front: ScriptedFront, caplog: pytest.LogCaptureFixture
) -> None:
    leg.receive(GET * 10_000)
    for number in range(MAX_WAITING + 1):
        front.streams[number].respond(200, [], b"x")
        await settle()
    assert len(front.streams) == MAX_WAITING + 1
    assert leg.sent.count(b"HTTP/1.1 200 OK") == MAX_WAITING + 1
    assert leg.sent.endswith(b"connection: close\r\n\r\nx")
    assert leg.sent.count(b"connection: close") == 1
    assert leg.transport.is_closing()
    assert caplog.records == []


async def test_a_client_that_does_not_read_its_answers_is_not_served_on(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET + GET)
    leg.protocol.pause_writing()
    only(front).respond(200, [], b"x")
    await settle()
    assert len(front.streams) == 1
    leg.protocol.resume_writing()
    await settle()
    assert len(front.streams) == 2


async def test_a_client_that_never_reads_its_answer_is_given_up(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET)
    leg.protocol.pause_writing()
    only(front).respond(200, [], b"x")
    leg.overdue()
    assert leg.transport.was_aborted


async def test_a_request_that_follows_an_unread_answer_knows_of_the_full_socket(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET)
    only(front).respond(200, [], b"x")
    leg.protocol.pause_writing()
    leg.receive(GET)
    assert front.streams[1].is_write_paused


async def test_a_lost_connection_ends_its_request(leg: ClientLeg, front: ScriptedFront) -> None:
    leg.receive(PUT)
    leg.protocol.connection_lost(None)
    assert isinstance(failure_of(only(front)), ClientGoneError)
    assert leg.state.connections == set()


# -- what is refused -----------------------------------------------------------------------------


async def test_what_is_not_http_is_refused_and_the_socket_closes_lingering(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(b"\x16\x03\x01 TLS on a plain port\r\n\r\n")
    assert front.refused == [("InvalidRequest", "192.0.2.1")]
    assert (leg.sent, leg.transport.has_sent_eof) == (b"refused", True)
    assert not leg.transport.is_closing()
    leg.receive(b"more of it")
    assert len(front.refused) == 1
    leg.overdue()
    assert leg.transport.is_closing()


async def test_a_head_without_end_is_refused(leg: ClientLeg, front: ScriptedFront) -> None:
    leg.receive(b"GET /b/k HTTP/1.1\r\nx: ")
    while not front.refused:
        leg.receive(b"x" * 16384)
    assert front.refused == [("RequestHeaderSectionTooLarge", "192.0.2.1")]


async def test_trailers_without_end_fail_the_request(leg: ClientLeg, front: ScriptedFront) -> None:
    leg.receive(CHUNKED + b"0\r\nx: ")
    for _ in range(MAX_HEAD_BYTES // 16384 + 1):
        leg.receive(b"x" * 16384)
    error = failure_of(only(front))
    assert isinstance(error, S3Error)
    assert error.code == "RequestHeaderSectionTooLarge"


async def test_a_malformed_chunk_fails_the_request_that_it_belongs_to(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(CHUNKED + b"2\r\nab\r\n")
    leg.receive(b"zz\r\n")
    error = failure_of(only(front))
    assert isinstance(error, S3Error)
    assert (error.code, front.refused, leg.sent) == ("InvalidRequest", [], b"")


async def test_garbage_behind_a_request_does_not_spoil_its_answer(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET)
    leg.receive(b"\x00garbage\r\n\r\n")
    assert (leg.sent, failure_of(only(front))) == (b"", None)
    only(front).respond(200, [], b"x")
    assert leg.sent.endswith(b"connection: close\r\n\r\nx")
    assert leg.transport.is_closing()


async def test_garbage_behind_requests_that_wait_does_not_spoil_their_answers(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET * 3 + CHUNKED + b"zz\r\n")
    for number in range(3):
        front.streams[number].respond(200, [], b"x")
        await settle()
    assert leg.sent.count(b"HTTP/1.1 200 OK") == 3
    assert leg.sent.endswith(b"connection: close\r\n\r\nx")
    assert leg.transport.is_closing()
    assert len(front.streams) == 3


async def test_garbage_behind_a_request_that_is_answered_at_once_ends_the_connection() -> None:
    """Nobody is left whose answer could end it."""
    front = EagerFront()
    leg = ClientLeg(front)
    leg.receive(GET + CHUNKED + b"zz\r\n")
    assert leg.sent.count(b"HTTP/1.1 200 OK") == 1
    assert front.refused == [("InvalidRequest", "192.0.2.1")]
    leg.overdue()
    assert leg.transport.is_closing()


async def test_requests_of_the_probes_are_bounded_as_well(leg: ClientLeg) -> None:
    leg.receive(b"GET /-/live HTTP/1.1\r\nHost: h\r\n\r\n" * 10_000)
    assert len(leg.protocol.pipeline) == MAX_WAITING


async def test_garbage_in_the_same_packet_as_an_unread_upload_is_answered_once() -> None:
    front = EagerFront()
    leg = ClientLeg(front)
    leg.receive(CHUNKED + b"zz\r\n")
    assert (leg.sent.count(b"HTTP/1.1"), front.refused) == (1, [])


async def test_a_fault_of_ours_in_a_parser_callback_is_logged_and_fails_the_request(
    leg: ClientLeg, front: ScriptedFront, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Consumer):
        def on_client_body(self, data: bytes) -> None:
            raise ZeroDivisionError

    leg.receive(PUT)
    consumer = Broken()
    only(front).pump_to(consumer)
    with caplog.at_level(logging.ERROR):
        leg.receive(b"ab")
    assert isinstance(consumer.error, S3Error)
    assert "ZeroDivisionError" in caplog.text


# -- deadlines -----------------------------------------------------------------------------------


async def test_a_connection_that_sends_nothing_is_closed_without_a_word(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.overdue()
    assert (leg.transport.is_closing(), leg.sent, front.refused) == (True, b"", [])


@pytest.mark.rule("3.2.8")
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "kept-alive"])
async def test_half_a_head_is_refused_in_time(
    leg: ClientLeg, front: ScriptedFront, is_first: bool
) -> None:
    if not is_first:
        leg.receive(GET)
        only(front).respond(200, [], b"x")
    leg.receive(GET[:10])
    leg.overdue()
    assert front.refused == [("RequestTimeout", "192.0.2.1")]


async def test_an_idle_kept_alive_connection_is_closed(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET)
    only(front).respond(200, [], b"x")
    leg.overdue()
    assert (leg.transport.is_closing(), front.refused) == (True, [])


async def test_a_request_that_is_being_answered_has_no_deadline_of_the_client(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET)
    leg.watchdog.sweep(float("inf"))
    assert (leg.protocol.deadline, failure_of(only(front))) == (None, None)


@pytest.mark.rule("3.2.8")
async def test_a_client_that_stops_sending_fails_its_request_and_can_still_be_answered(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(PUT + b"ab")
    stream, consumer = only(front), Consumer()
    stream.pump_to(consumer)
    leg.overdue()
    assert isinstance(consumer.error, S3Error)
    assert consumer.error.code == "RequestTimeout"
    stream.respond(400, [], b"slow")
    assert leg.sent.endswith(b"connection: close\r\n\r\nslow")
    assert not leg.transport.was_aborted


async def test_a_slow_reader_is_cut_off(leg: ClientLeg, front: ScriptedFront) -> None:
    leg.receive(GET)
    only(front).start(200, [], length=100)
    only(front).write(b"x")
    leg.protocol.pause_writing()
    leg.overdue()
    assert leg.transport.was_aborted


async def test_a_closed_connection_that_never_drains_is_cut_off(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    leg.transport.holds_unsent = True
    only(front).respond(200, [], b"x")
    assert leg.transport.is_closing()
    leg.overdue()
    assert leg.transport.was_aborted


# -- an answer before the end of the upload ------------------------------------------------------


async def test_an_unread_upload_is_thrown_away_within_bounds(
    leg: ClientLeg, front: ScriptedFront
) -> None:
    leg.receive(PUT.replace(b"Content-Length: 5", b"Content-Length: 9999999"))
    only(front).respond(403, [], b"no")
    assert leg.transport.has_sent_eof
    leg.receive(b"x" * LINGER_BYTES)
    assert not leg.transport.is_closing()
    leg.receive(b"x")
    assert leg.transport.is_closing()
    await settle()
    leg.watchdog.sweep(float("inf"))


async def test_an_unread_upload_over_tls_lingers_without_a_half_close(
    front: ScriptedFront,
) -> None:
    leg = ClientLeg(front, is_tls=True)
    leg.receive(PUT)
    only(front).respond(403, [], b"no")
    assert not leg.transport.has_sent_eof
    leg.overdue()
    assert leg.transport.is_closing()
