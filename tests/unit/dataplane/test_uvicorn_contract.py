"""What `shell/protocol.py` leans on inside uvicorn and httptools, private things among them.

One test a behaviour: an upgrade that changes it fails here and names it.
"""

import asyncio
import inspect
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bucketroute_testing.transports import FakeTransport, settle

GET = b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Recording(HttpToolsProtocol):
    """Keeps what uvicorn calls of itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[str] = []

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.calls.append("start")
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.calls.append("complete")
        super().on_response_complete()


def connected(kind: type[HttpToolsProtocol] = Recording) -> tuple[Any, FakeTransport]:
    config = uvicorn.Config(application, log_config=None, lifespan="off", ws="none", http=kind)
    config.load()
    protocol = kind(config=config, server_state=ServerState(), app_state={})
    transport = FakeTransport(protocol)
    protocol.connection_made(transport)
    return protocol, transport


class Callbacks:
    """The order of a parser's callbacks."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_message_begin(self) -> None:
        self.seen.append("begin")

    def on_url(self, url: bytes) -> None:
        self.seen.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.append((name, value))

    def on_headers_complete(self) -> None:
        self.seen.append("head")

    def on_body(self, body: bytes) -> None:
        self.seen.append(body)

    def on_message_complete(self) -> None:
        self.seen.append("end")


# -- uvicorn -------------------------------------------------------------------------------------


async def test_the_attributes_of_a_connection_are_there() -> None:
    protocol, transport = connected()
    assert (protocol.client, protocol.scheme) == (("192.0.2.1", 4000), "http")
    assert protocol.transport is transport
    assert protocol.cycle is None
    assert protocol.app_state == {}
    assert isinstance(protocol.flow, FlowControl)
    assert protocol in protocol.connections
    assert protocol.connections is protocol.server_state.connections
    assert protocol.timeout_keep_alive == protocol.config.timeout_keep_alive


async def test_flow_control_tells_whether_either_direction_is_paused() -> None:
    protocol, transport = connected()
    flow = protocol.flow
    flow.pause_reading()
    protocol.pause_writing()
    assert (flow.read_paused, flow.write_paused, transport.is_reading()) == (True, True, False)
    flow.resume_reading()
    protocol.resume_writing()
    assert (flow.read_paused, flow.write_paused, transport.is_reading()) == (False, False, True)


async def test_a_head_is_collected_by_on_url_and_on_header_in_lower_case() -> None:
    protocol, _ = connected()
    protocol.on_message_begin()
    protocol.on_url(b"/b")
    protocol.on_url(b"/k?x=1")
    protocol.on_header(b"Expect", b"100-Continue")
    assert protocol.url == b"/b/k?x=1"
    assert protocol.headers == [(b"expect", b"100-Continue")]
    assert protocol.expect_100_continue
    assert protocol.scope["headers"] is protocol.headers


async def test_requests_start_by_start_asgi_task_and_end_by_on_response_complete() -> None:
    protocol, transport = connected()
    protocol.data_received(GET + GET)
    assert protocol.calls == ["start"]
    assert len(protocol.pipeline) == 1
    await settle(10)
    assert protocol.calls == ["start", "complete", "start", "complete"]
    assert transport.sent.count(b"HTTP/1.1 200") == 2
    protocol._unset_keepalive_if_required()


async def test_the_pipeline_is_taken_from_its_right_end_as_pairs_of_cycle_and_app() -> None:
    protocol, _ = connected()
    protocol.data_received(GET + GET)
    cycle, app = protocol.pipeline.pop()
    assert isinstance(cycle, RequestResponseCycle)
    assert app is protocol.app
    await settle(10)


async def test_start_asgi_task_runs_run_asgi_of_whatever_stands_for_a_cycle() -> None:
    protocol, _ = connected()
    ran = []

    class Cycle:
        async def run_asgi(self, app: Any) -> None:
            ran.append(app)

    protocol._start_asgi_task(Cycle(), protocol.app)
    (task,) = protocol.tasks
    assert protocol.tasks is protocol.server_state.tasks
    await settle()
    assert (ran, task.done(), set(protocol.tasks)) == ([protocol.app], True, set())


class StandIn:
    """The attributes of a cycle that uvicorn reads outside of run_asgi; ClientStream has them."""

    def __init__(self, *, response_complete: bool = False) -> None:
        self.response_complete = response_complete
        self.disconnected = False
        self.keep_alive = True
        self.message_event = self
        self.set_count = 0

    def set(self) -> None:
        self.set_count += 1


async def test_a_lost_connection_marks_its_cycle_and_leaves_the_servers_set() -> None:
    protocol, _ = connected()
    cycle = protocol.cycle = StandIn()
    protocol.connection_lost(None)
    assert (cycle.disconnected, cycle.set_count) == (True, 1)
    assert protocol not in protocol.connections


@pytest.mark.parametrize("is_complete", [False, True])
async def test_shutdown_closes_idle_connections_and_marks_the_cycle_of_others(
    is_complete: bool,
) -> None:
    protocol, transport = connected()
    cycle = protocol.cycle = StandIn(response_complete=is_complete)
    protocol.shutdown()
    assert (transport.is_closing(), cycle.keep_alive) == (is_complete, is_complete)


async def test_shutdown_closes_a_connection_that_has_not_asked_for_anything() -> None:
    protocol, transport = connected()
    protocol.shutdown()
    assert transport.is_closing()


async def test_without_websockets_no_request_is_taken_away_by_an_upgrade() -> None:
    protocol, transport = connected()
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    protocol.data_received(GET.removesuffix(b"\r\n") + upgrade)
    await settle(10)
    assert transport.sent.startswith(b"HTTP/1.1 200 ")
    protocol._unset_keepalive_if_required()


@pytest.mark.parametrize(("tls", "scheme"), [(None, "http"), (object(), "https")])
async def test_the_scheme_is_https_exactly_where_the_transport_has_tls(
    tls: object, scheme: str
) -> None:
    # Bodies are moved where it says http.
    protocol, _ = connected()

    class Transport(FakeTransport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return tls if name in ("sslcontext", "ssl_object") else default

    protocol.connection_made(Transport(protocol))
    assert protocol.scheme == scheme


async def test_the_flow_counts_what_the_transport_says_of_its_write_buffer() -> None:
    protocol, transport = connected()
    assert protocol.flow._transport is transport
    protocol.pause_writing()
    assert protocol.flow.write_paused
    protocol.connection_lost(None)
    assert not protocol.flow.write_paused
    assert protocol.parser is None


async def test_uvicorn_sets_no_limit_of_its_own_on_concurrency() -> None:
    protocol, _ = connected()
    assert protocol.limit_concurrency is None


async def test_the_server_waits_for_connections_then_tasks_and_can_be_forced() -> None:
    source = inspect.getsource(uvicorn.Server._wait_tasks_to_complete)
    assert source.count("not self.force_exit") == 4
    server = uvicorn.Server(uvicorn.Config(application, log_config=None))
    assert (server.started, server.should_exit, server.force_exit) == (False, False, False)
    assert isinstance(server.server_state.tasks, set)
    with uvicorn.Server.capture_signals(server):
        pass


# -- httptools -----------------------------------------------------------------------------------


def request_parser() -> tuple[Any, Callbacks]:
    callbacks = Callbacks()
    return httptools.HttpRequestParser(callbacks), callbacks


def test_uvicorn_makes_its_parser_as_we_make_the_one_that_follows_a_moved_body() -> None:
    source = inspect.getsource(HttpToolsProtocol.__init__)
    assert "self.parser = httptools.HttpRequestParser(self)" in source
    assert source.count("set_dangerous_leniencies(lenient_data_after_close=True)") == 1
    assert source.count("self.parser") == 2


def test_a_parser_is_left_in_the_middle_of_a_body_and_another_goes_on() -> None:
    parser, callbacks = request_parser()
    parser.feed_data(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    del parser  # and says nothing of the six bytes that it misses
    assert callbacks.seen[-1] == b"abc"
    callbacks.seen.clear()
    httptools.HttpRequestParser(callbacks).feed_data(GET)
    assert callbacks.seen == ["begin", b"/b/k", (b"Host", b"h"), "head", "end"]


def test_what_follows_a_closing_request_is_an_error_unless_the_parser_is_lenient() -> None:
    closing = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    strict, _ = request_parser()
    with pytest.raises(httptools.HttpParserError):
        strict.feed_data(closing + GET)
    lenient, callbacks = request_parser()
    lenient.set_dangerous_leniencies(lenient_data_after_close=True)
    lenient.feed_data(closing + GET)
    assert callbacks.seen.count("end") == 1  # and drops it


def test_method_version_and_upgrade_are_known_inside_of_on_headers_complete() -> None:
    said = []

    class Asking(Callbacks):
        def on_headers_complete(self) -> None:
            said.append((parser.get_method(), parser.get_http_version(), parser.should_upgrade()))

    parser = httptools.HttpRequestParser(Asking())
    parser.feed_data(GET)
    assert said == [(b"GET", "1.1", False)]


def test_header_values_come_with_the_white_space_behind_them() -> None:
    # Whoever compares a value strips it first, or takes such a one for another.
    parser, callbacks = request_parser()
    parser.feed_data(b"GET / HTTP/1.1\r\na: \t b  c \t \r\n\r\n")
    assert callbacks.seen[2] == (b"a", b"b  c \t ")


def test_a_body_reaches_its_protocol_in_the_pieces_that_were_fed() -> None:
    parser, callbacks = request_parser()
    parser.feed_data(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
    for piece in (b"ab", b"cd" + GET):
        parser.feed_data(piece)
    assert callbacks.seen[3:8] == ["head", b"ab", b"cd", "end", "begin"]


def test_trailers_come_as_headers_after_the_head() -> None:
    parser, callbacks = request_parser()
    parser.feed_data(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.feed_data(b"1\r\na\r\n0\r\nx-late: 1\r\n\r\n")
    assert callbacks.seen[-4:] == ["head", b"a", (b"x-late", b"1"), "end"]


def test_an_upgrade_ends_the_message_without_its_body_and_tells_where_it_begins() -> None:
    parser, callbacks = request_parser()
    head = b"PUT / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as caught:
        parser.feed_data(head + b"ab")
    assert caught.value.args == (len(head),)
    assert parser.should_upgrade()
    assert callbacks.seen[-2:] == ["head", "end"]
    assert not issubclass(httptools.HttpParserUpgrade, httptools.HttpParserError)


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"a: b\r\n c\r\n",
        b"a : b\r\n",
        b"a: b\x00\r\n",
        b"a: b\rc\r\n",
    ],
)
def test_ambiguous_framing_and_broken_headers_are_refused(head: bytes) -> None:
    parser, _ = request_parser()
    with pytest.raises(httptools.HttpParserError):
        parser.feed_data(b"PUT / HTTP/1.1\r\n" + head + b"\r\n0\r\n\r\n")


def test_an_error_of_a_callback_is_wrapped_with_its_cause() -> None:
    class Failing(Callbacks):
        def on_url(self, url: bytes) -> None:
            raise ZeroDivisionError

    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        httptools.HttpRequestParser(Failing()).feed_data(GET)
    assert isinstance(caught.value.__context__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("version", "header", "keeps"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_keep_alive_is_known_when_the_head_is_complete(
    version: bytes, header: bytes, keeps: bool
) -> None:
    said = []

    class Asking(Callbacks):
        def on_headers_complete(self) -> None:
            said.append((parser.should_keep_alive(), parser.get_http_version()))

    parser = httptools.HttpRequestParser(Asking())
    parser.feed_data(b"GET / HTTP/%s\r\n%s\r\n" % (version, header))
    assert said == [(keeps, version.decode())]


def test_a_response_keeps_its_connection_before_its_counted_body_was_fed() -> None:
    # The body is counted beside the parser, which never sees the rest of it.
    parser = httptools.HttpResponseParser(Callbacks())
    parser.feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    assert parser.should_keep_alive()
    closing = httptools.HttpResponseParser(Callbacks())
    closing.feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nabc")
    assert not closing.should_keep_alive()


def test_interim_responses_are_messages_of_their_own() -> None:
    callbacks = Callbacks()
    parser = httptools.HttpResponseParser(callbacks)
    parser.feed_data(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert callbacks.seen.count("head") == 2
    assert parser.get_status_code() == 200


def test_the_event_loop_has_no_part_in_parsing() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    parser, callbacks = request_parser()
    parser.feed_data(GET)
    assert callbacks.seen == ["begin", b"/b/k", (b"Host", b"h"), "head", "end"]
