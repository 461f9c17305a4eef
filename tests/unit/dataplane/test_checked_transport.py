"""Where the requests to an STS and to an issuer really go: sockets on loopback, scripted names."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.shell.addresses import Resolver
from bucketroute_dataplane.shell.checked_transport import CheckedTransport
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.jwks import JwksClient, JwksUnavailableError
from bucketroute_dataplane.shell.sts_client import StsClient, StsUnreachableError
from bucketroute_snapshot import NetworkScope
from bucketroute_testing.names import ScriptedNames, silent_address
from bucketroute_testing.tls import make_certificate
from bucketroute_testing.transports import settle

LOOPBACK, PUBLIC = NetworkScope.LOOPBACK, NetworkScope.PUBLIC
HERE, ELSEWHERE, METADATA = ["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Server:
    """Answers `answer` to each request; keeps their heads, one list a connection."""

    port: int = 0
    answer: bytes = OK
    heads: list[list[bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads: list[bytes] = []
        self.heads.append(heads)
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def serving(
    address: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, address, port, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    await settle(10)


@asynccontextmanager
async def client(
    names: ScriptedNames, *, scope: NetworkScope = LOOPBACK, trust: ssl.SSLContext | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    context = trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = CheckedTransport(context, scope, resolver=Resolver(names))
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as made:
        yield made
    await settle(10)


async def test_the_host_header_has_the_name_and_the_connection_goes_to_the_address() -> None:
    names = ScriptedNames(sts_test=[HERE])
    async with serving() as server, client(names) as http:
        response = await http.get(f"http://sts.test:{server.port}/x")
        assert (response.status_code, response.text) == (200, "hi")
        ((head,),) = server.heads
        assert f"host: sts.test:{server.port}\r\n".encode() in head.lower()


async def test_tls_is_with_the_name(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, names=("sts.test",))
    asked: list[str | None] = []
    tls = files.server_context()
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    names = ScriptedNames(sts_test=[HERE], other_test=[HERE])
    trust = files.client_context()
    async with serving(tls=tls) as server, client(names, trust=trust) as http:
        assert (await http.get(f"https://sts.test:{server.port}/")).text == "hi"
        assert asked == ["sts.test"]
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await http.get(f"https://other.test:{server.port}/")


async def test_a_name_that_is_rebound_to_a_forbidden_address_is_not_followed() -> None:
    """The first answer passes the check and is what is dialled; nobody asks a second time."""
    names = ScriptedNames(rebind_test=[HERE, METADATA])
    async with serving() as server, client(names) as http:
        url = f"http://rebind.test:{server.port}/"
        assert (await http.get(url, headers={"connection": "close"})).text == "hi"
        assert names.asked == ["rebind.test"]
        with pytest.raises(httpx.ConnectError, match=r"169\.254\.169\.254 is not an allowed"):
            await http.get(url)
        assert len(server.heads) == 1


async def test_a_name_that_is_rebound_between_two_allowed_addresses_reaches_the_checked_one() -> (
    None
):
    names = ScriptedNames(rebind_test=[HERE, ELSEWHERE])
    async with (
        serving() as first,
        serving("127.0.0.2", first.port) as second,
        client(names) as http,
    ):
        await http.get(f"http://rebind.test:{first.port}/")
        assert (len(first.heads), len(second.heads), len(names.asked)) == (1, 0, 1)


async def test_a_connection_made_for_one_name_never_serves_another() -> None:
    """Behind one address a load balancer may have sorted it to a tenant's pods, by its SNI."""
    names = ScriptedNames(sts_test=[HERE], evil_test=[HERE])
    async with serving() as server, client(names) as http:
        for name in ("evil.test", "sts.test", "evil.test", "sts.test"):
            await http.get(f"http://{name}:{server.port}/")
        assert [len(heads) for heads in server.heads] == [2, 2]


async def test_an_address_that_is_silent_leaves_time_for_the_next() -> None:
    names = ScriptedNames(sts_test=[[*HERE, *ELSEWHERE]])
    with silent_address() as port:
        async with serving("127.0.0.2", port) as server, client(names) as http:
            timeout = httpx.Timeout(10, connect=0.4)
            assert (await http.get(f"http://sts.test:{port}/", timeout=timeout)).text == "hi"
            assert len(server.heads) == 1


@contextmanager
def _raises(error: type[httpx.HTTPError], words: str | None = None) -> Iterator[None]:
    with pytest.raises(error, match=words) as caught:
        yield
    assert type(caught.value) is error


async def test_failures_are_httpxs_own() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    names = ScriptedNames(sts_test=[HERE], nowhere_test=[[]])
    async with serving() as server, client(names) as http:
        with _raises(httpx.ConnectError, "absent.test does not resolve"):
            await http.get("http://absent.test/")
        with _raises(httpx.ConnectError, "nowhere.test has no address"):
            await http.get("http://nowhere.test/")
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"
        with _raises(httpx.ReadTimeout):
            await http.get(f"http://sts.test:{server.port}/", timeout=0.05)
        server.answer = b"garbage\r\n\r\n"
        with _raises(httpx.RemoteProtocolError):
            await http.get(f"http://sts.test:{server.port}/")
    transport = CheckedTransport(
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), PUBLIC, resolver=Resolver(hang)
    )
    async with httpx.AsyncClient(transport=transport, timeout=0.05) as http:
        with _raises(httpx.ConnectTimeout, "slow.test was not resolved in time"):
            await http.get("http://slow.test/")


# -- the two clients of it -----------------------------------------------------------------------


async def test_no_token_is_sent_to_an_sts_at_an_address_that_the_class_does_not_allow() -> None:
    transports = partial(CheckedTransport, resolver=Resolver(ScriptedNames(sts_test=[HERE])))
    sts = StsClient(clock=SystemClock(), transport_factory=transports)
    async with serving() as server:
        endpoint = f"http://sts.test:{server.port}"
        with pytest.raises(StsUnreachableError, match="not an allowed Public address"):
            await sts.post(endpoint, b"WebIdentityToken=x", ca_bundle=None)
        assert server.heads == []
        sts.network_scope = LOOPBACK
        assert (await sts.post(endpoint, b"WebIdentityToken=x", ca_bundle=None)).body == b"hi"
        # What was connected under the wider scope serves nobody in the narrower.
        sts.network_scope = PUBLIC
        with pytest.raises(StsUnreachableError, match="not an allowed Public address"):
            await sts.post(endpoint, b"WebIdentityToken=x", ca_bundle=None)
        await sts.close()


async def test_an_issuer_is_not_asked_at_an_address_that_the_class_does_not_allow() -> None:
    transports = partial(CheckedTransport, resolver=Resolver(ScriptedNames(id_test=[METADATA])))
    issuers = JwksClient(clock=SystemClock(), transport_factory=transports)
    for scope in NetworkScope:
        issuers.network_scope = scope
        with pytest.raises(JwksUnavailableError, match="is not an allowed"):
            await issuers.fetch("https://id.test")
    await issuers.close()
