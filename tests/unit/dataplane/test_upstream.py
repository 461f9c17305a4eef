"""One connection to a backend: framing, deadlines, and whether it may serve another request."""

import asyncio

import pytest

from bucketroute_dataplane.core.messages import UpstreamRequest
from bucketroute_dataplane.shell.upstream import MAX_HEAD_BYTES, UpstreamConnection
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_testing.transports import FakeTransport, Sink, settle

GET = UpstreamRequest(b"GET", b"/b/k", b"store", [(b"a", b"b")])
HEAD = GET._replace(method=b"HEAD")
OK = b"HTTP/1.1 200 OK\r\n"


def put(length: int) -> UpstreamRequest:
    return GET._replace(method=b"PUT", content_length=length)


class Leg:
    """An UpstreamConnection on a fake transport."""

    def __init__(self) -> None:
        self.idle: list[UpstreamConnection] = []
        self.watchdog = Watchdog()
        self.connection = UpstreamConnection(self.watchdog, self.idle.append)
        self.transport = FakeTransport(self.connection)
        self.connection.connection_made(self.transport)

    def start(self, request: UpstreamRequest = GET, body: bytes = b"") -> Sink:
        sink = Sink()
        self.connection.start(request, body, sink, first_byte_seconds=60, idle_seconds=30)
        return sink

    def receive(self, data: bytes) -> None:
        self.connection.data_received(data)

    def seconds_left(self) -> float | None:
        deadline = self.connection.deadline
        return None if deadline is None else deadline - asyncio.get_running_loop().time()

    def overdue(self) -> None:
        assert self.connection.deadline is not None
        self.watchdog.sweep(self.connection.deadline)

    def is_kept(self) -> bool:
        return self.idle == [self.connection] and not self.transport.is_closing()


@pytest.fixture
async def leg() -> Leg:
    return Leg()


# -- what goes out -------------------------------------------------------------------------------


async def test_head_and_body_go_out_as_they_are(leg: Leg) -> None:
    leg.start(put(4), b"ab")
    leg.connection.write(b"cd")
    assert leg.transport.sent == (
        b"PUT /b/k HTTP/1.1\r\nhost: store\r\na: b\r\ncontent-length: 4\r\n\r\nabcd"
    )


@pytest.mark.rule("3.2.17")
async def test_more_body_than_announced_never_goes_out(leg: Leg) -> None:
    leg.start(put(2), b"ab")
    with pytest.raises(AssertionError):
        leg.connection.write(b"c")
    assert leg.transport.sent.endswith(b"\r\n\r\nab")


# -- responses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_a_counted_response_is_whole_however_it_is_cut(leg: Leg, step: int) -> None:
    sink = leg.start()
    response = OK + b"Content-Length: 20\r\nETag: x\r\n\r\n" + b"0123456789" * 2
    for start in range(0, len(response), step):
        leg.receive(response[start : start + step])
    assert (sink.status, sink.length, sink.body) == (200, 20, b"0123456789" * 2)
    assert (b"etag", b"x") in sink.headers
    assert (sink.is_ended, leg.is_kept()) == (True, True)


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_a_chunked_response_is_whole_however_it_is_cut(leg: Leg, step: int) -> None:
    sink = leg.start()
    response = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    for start in range(0, len(response), step):
        leg.receive(response[start : start + step])
    assert (sink.length, sink.body, sink.is_ended) == (None, b"abcde", True)
    assert leg.is_kept()


async def test_a_response_without_a_length_ends_with_the_connection(leg: Leg) -> None:
    sink = leg.start()
    leg.receive(OK + b"\r\nabc")
    assert not sink.is_ended
    leg.connection.connection_lost(None)
    assert (sink.body, sink.is_ended, leg.idle) == (b"abc", True, [])


async def test_a_response_without_a_length_that_ends_in_a_reset_has_failed(leg: Leg) -> None:
    sink = leg.start()
    leg.receive(OK + b"\r\nabc")
    leg.connection.connection_lost(ConnectionResetError())
    assert sink.error is not None
    assert not sink.is_ended


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (HEAD, OK + b"Content-Length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, OK + b"Content-Length: 0\r\n\r\n"),
    ],
    ids=["HEAD", "304", "204", "empty"],
)
async def test_a_response_without_a_body_ends_with_its_head(
    leg: Leg, request_: UpstreamRequest, head: bytes
) -> None:
    sink = leg.start(request_)
    leg.receive(head)
    assert (sink.is_ended, sink.body, leg.is_kept()) == (True, b"", True)


async def test_interim_responses_are_passed_over(leg: Leg) -> None:
    sink = leg.start()
    leg.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    assert sink.status == 0
    left = leg.seconds_left()
    assert left is not None
    assert left > 30  # still the first byte that is waited for
    leg.receive(OK + b"Content-Length: 1\r\n\r\nx")
    assert (sink.status, sink.headers) == (200, [(b"content-length", b"1")])


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        OK + b"x: " + b"y" * MAX_HEAD_BYTES,
    ],
    ids=["ssh", "lengths", "chunk", "101", "head"],
)
async def test_what_is_not_http_fails_the_exchange_and_closes(leg: Leg, response: bytes) -> None:
    sink = leg.start()
    leg.receive(response)
    assert sink.error is not None
    assert (sink.error.is_stale, sink.error.is_timeout) == (False, False)
    assert leg.transport.was_aborted


@pytest.mark.parametrize("line", [b"a: b\r\n", b"a"], ids=["many", "one"])
async def test_trailers_without_end_fail_the_exchange(leg: Leg, line: bytes) -> None:
    sink = leg.start()
    leg.receive(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    sent = 0
    while sink.error is None and sent <= MAX_HEAD_BYTES + 8192:
        leg.receive(line * 1024)
        sent += len(line) * 1024
    assert sink.error is not None
    assert leg.transport.was_aborted


async def test_chunks_of_any_number_are_no_trailer(leg: Leg) -> None:
    sink = leg.start()
    leg.receive(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        leg.receive(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    leg.receive(b"0\r\nx-checksum: c\r\n\r\n")
    assert (len(sink.body), sink.is_ended, leg.is_kept()) == (40 * 4096, True, True)
    assert [name for name, _ in sink.headers] == [b"transfer-encoding"]


# -- may it serve another request ----------------------------------------------------------------


async def test_a_connection_serves_one_request_after_the_other(leg: Leg) -> None:
    for body in (b"one", b"two"):
        sink = leg.start()
        leg.receive(OK + b"Content-Length: 3\r\n\r\n")
        leg.receive(body)
        assert (sink.body, sink.is_ended) == (body, True)
    assert leg.connection.is_reused


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n", OK + b"Connection: close\r\n"], ids=["1.0", "close"]
)
async def test_a_connection_that_the_backend_closes_is_not_kept(leg: Leg, head: bytes) -> None:
    sink = leg.start()
    leg.receive(head + b"Content-Length: 1\r\n\r\nx")
    assert (sink.is_ended, leg.is_kept()) == (True, False)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET, OK + b"Content-Length: 3\r\n\r\nabc"),
        (GET, OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (HEAD, OK + b"Content-Length: 3\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
    ids=["length", "chunks", "HEAD", "204"],
)
async def test_what_follows_an_answer_in_its_packet_ends_the_connection(
    leg: Leg, request_: UpstreamRequest, answer: bytes
) -> None:
    """The next request would get it, whosever that is."""
    sink = leg.start(request_)
    leg.receive(answer + b"HTTP/1.1 200 OK\r\nx-evil: 1\r\nz")
    assert sink.is_ended
    assert not leg.connection.is_usable


async def test_a_chunked_response_on_a_connection_that_closes_is_not_kept(leg: Leg) -> None:
    sink = leg.start()
    leg.receive(OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    leg.receive(b"0\r\n\r\n")
    assert (sink.body, sink.is_ended, leg.is_kept()) == (b"x", True, False)


async def test_an_early_answer_ends_the_connection_of_a_half_sent_upload(leg: Leg) -> None:
    sink = leg.start(put(10), b"abc")
    leg.receive(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert (sink.status, sink.body, sink.is_ended) == (403, b"no", True)
    assert (leg.transport.was_aborted, leg.idle) == (True, [])
    leg.connection.write(b"more")
    assert not leg.transport.sent.endswith(b"more")


@pytest.mark.parametrize("cut", [2, 5], ids=["in the first piece", "after counting"])
async def test_bytes_behind_a_counted_response_reach_nobody(leg: Leg, cut: int) -> None:
    # A client would take them for the head of its next response.
    sink = leg.start()
    leg.receive(OK + b"Content-Length: 8\r\n\r\n" + b"01234567"[:cut])
    if cut == 5:
        leg.receive(b"5")
    leg.receive(b"01234567"[cut + (cut == 5) :] + b"HTTP/1.1 200 OK\r\n\r\nevil")
    assert (sink.body, sink.is_ended) == (b"01234567", True)
    assert leg.transport.was_aborted


async def test_a_body_behind_head_reaches_nobody(leg: Leg) -> None:
    sink = leg.start(HEAD)
    leg.receive(OK + b"Content-Length: 4\r\n\r\nbody")
    assert (sink.body, sink.is_ended, leg.transport.was_aborted) == (b"", True, True)


async def test_bytes_that_nobody_asked_for_close_the_connection(leg: Leg) -> None:
    leg.receive(OK)
    assert leg.transport.was_aborted


async def test_a_response_that_was_paused_at_its_end_leaves_the_connection_reading(
    leg: Leg,
) -> None:
    leg.start()
    leg.receive(OK + b"Content-Length: 2\r\n\r\na")
    leg.connection.pause_response()
    leg.receive(b"b")
    assert (leg.transport.is_reading(), leg.is_kept()) == (True, True)


# -- the backend dies ----------------------------------------------------------------------------


async def test_a_kept_alive_connection_that_was_dead_is_told_apart(leg: Leg) -> None:
    leg.start()
    leg.receive(OK + b"Content-Length: 0\r\n\r\n")
    sink = leg.start()
    leg.connection.connection_lost(None)
    assert sink.error is not None
    assert sink.error.is_stale


@pytest.mark.parametrize("received", [b"", OK, OK + b"Content-Length: 5\r\n\r\nab"])
async def test_a_new_connection_that_closes_has_failed(leg: Leg, received: bytes) -> None:
    sink = leg.start()
    if received:
        leg.receive(received)
    leg.connection.connection_lost(None)
    assert sink.error is not None
    assert (sink.error.is_stale, sink.is_ended) == (False, False)


async def test_a_connection_that_closed_after_its_dial_fails_the_request_at_once(leg: Leg) -> None:
    leg.connection.connection_lost(None)
    sink = leg.start()
    assert sink.error is not None
    assert sink.error.is_stale
    assert leg.transport.sent == b""


async def test_an_idle_connection_tells_its_pool_that_it_closed(leg: Leg) -> None:
    leg.connection.connection_lost(None)
    assert leg.idle == [leg.connection]
    assert not leg.connection.is_usable


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_begun", [False, True])
async def test_a_backend_that_falls_silent_fails_the_exchange(leg: Leg, is_begun: bool) -> None:
    sink = leg.start()
    if is_begun:
        leg.receive(OK + b"Content-Length: 5\r\n\r\nab")
    leg.overdue()
    assert sink.error is not None
    assert (sink.error.is_timeout, leg.transport.was_aborted) == (True, True)


async def test_while_the_client_owes_body_the_backend_has_no_deadline(leg: Leg) -> None:
    leg.start(put(4), b"ab")
    assert leg.seconds_left() is None
    leg.connection.write(b"cd")
    left = leg.seconds_left()
    assert left is not None
    assert 30 < left <= 60


async def test_a_backend_that_does_not_read_the_upload_has_a_deadline(leg: Leg) -> None:
    sink = leg.start(put(4), b"ab")
    leg.connection.pause_writing()
    leg.connection.write(b"c")
    left = leg.seconds_left()
    assert left is not None
    assert left <= 30
    leg.connection.resume_writing()
    assert (leg.seconds_left(), sink.writable_count) == (None, 1)


async def test_a_response_that_the_client_does_not_read_has_no_deadline_of_the_backend(
    leg: Leg,
) -> None:
    leg.start()
    leg.receive(OK + b"Content-Length: 5\r\n\r\nab")
    leg.connection.pause_response()
    assert (leg.seconds_left(), leg.transport.is_reading()) == (None, False)
    leg.connection.resume_response()
    assert leg.seconds_left() is not None


async def test_a_finished_connection_is_not_watched_any_more(leg: Leg) -> None:
    leg.start()
    leg.connection.abort()
    await settle()
    leg.watchdog.sweep(float("inf"))
    assert leg.connection.transport is None
