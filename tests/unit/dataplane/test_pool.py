"""Connections to backends: kept for a while, dialled with a deadline and an address check."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bucketroute_dataplane.core.messages import UpstreamRequest
from bucketroute_dataplane.core.resolve import Endpoint
from bucketroute_dataplane.shell.addresses import Resolver
from bucketroute_dataplane.shell.pool import MAX_IDLE_PER_ENDPOINT, UpstreamPools
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_snapshot import NetworkScope
from bucketroute_testing.names import ScriptedNames, silent_address
from bucketroute_testing.tls import CertificateFiles, make_certificate
from bucketroute_testing.transports import Sink, settle, until

HOST = "127.0.0.1"
GET = UpstreamRequest(b"GET", b"/b/k", b"store", ())
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Store:
    """Answers every request on a loopback socket; `accepted` counts connections."""

    def __init__(self, port: int) -> None:
        self.endpoint = Endpoint(
            host=HOST,
            port=port,
            is_tls=False,
            network_scope=NetworkScope.LOOPBACK,
            ca_bundle=None,
            connect_seconds=5.0,
        )
        self.accepted = 0


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Store]:
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store.accepted += 1
        writers.append(writer)
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, **options)
    store = Store(server.sockets[0].getsockname()[1])
    try:
        yield store
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await settle(10)


@pytest.fixture
async def pools() -> AsyncIterator[UpstreamPools]:
    pools = UpstreamPools(Watchdog())
    yield pools
    pools.close()
    await settle(10)


async def exchange(connection: UpstreamConnection) -> Sink:
    sink = Sink()
    connection.start(GET, b"", sink, first_byte_seconds=5, idle_seconds=5)
    await until(lambda: sink.is_ended or sink.error)
    return sink


async def test_a_connection_serves_the_next_request_too(pools: UpstreamPools) -> None:
    async with serving() as store:
        assert pools.take(store.endpoint) is None
        connection = await pools.dial(store.endpoint)
        for _ in range(3):
            assert (await exchange(connection)).body == b"hi"
            assert pools.take(store.endpoint) is connection
        assert pools.take(store.endpoint) is None
        assert store.accepted == 1
        connection.abort()


async def test_the_most_recently_used_connection_is_taken_first(pools: UpstreamPools) -> None:
    async with serving() as store:
        first, second = await pools.dial(store.endpoint), await pools.dial(store.endpoint)
        await exchange(first)
        await exchange(second)
        assert pools.take(store.endpoint) is second
        assert pools.take(store.endpoint) is first
        first.abort()
        second.abort()


async def test_pools_are_apart_by_everything_that_makes_an_endpoint(pools: UpstreamPools) -> None:
    async with serving() as store:
        await exchange(await pools.dial(store.endpoint))
        for other in (
            replace(store.endpoint, network_scope=NetworkScope.PRIVATE),
            replace(store.endpoint, is_tls=True),
            replace(store.endpoint, ca_bundle="corporate"),
        ):
            assert pools.take(other) is None


async def test_a_connection_that_was_idle_for_too_long_is_not_taken(pools: UpstreamPools) -> None:
    async with serving() as store:
        connection = await pools.dial(store.endpoint)
        await exchange(connection)
        connection.idle_since -= 10
        assert pools.take(store.endpoint) is None
        assert not connection.is_usable


async def test_idle_connections_are_closed_in_time(pools: UpstreamPools) -> None:
    async with serving() as store:
        old, fresh = await pools.dial(store.endpoint), await pools.dial(store.endpoint)
        await exchange(old)
        await exchange(fresh)
        old.idle_since -= 10
        pools.on_deadline()
        assert (old.is_usable, fresh.is_usable) == (False, True)


async def test_a_connection_that_the_backend_closes_while_idle_is_forgotten(
    pools: UpstreamPools,
) -> None:
    async with serving() as store:
        connection = await pools.dial(store.endpoint)
        await exchange(connection)
    await until(lambda: not connection.is_usable)
    assert pools.take(store.endpoint) is None


async def test_more_idle_connections_than_the_bound_are_closed(pools: UpstreamPools) -> None:
    async with serving() as store:
        connections = [await pools.dial(store.endpoint) for _ in range(MAX_IDLE_PER_ENDPOINT + 2)]
        for connection in connections:
            await exchange(connection)
        assert sum(connection.is_usable for connection in connections) == MAX_IDLE_PER_ENDPOINT


async def test_closing_closes_what_is_idle(pools: UpstreamPools) -> None:
    async with serving() as store:
        connection = await pools.dial(store.endpoint)
        await exchange(connection)
        pools.close()
        assert not connection.is_usable


# -- dialling ------------------------------------------------------------------------------------


async def test_a_forbidden_address_is_not_dialled(pools: UpstreamPools) -> None:
    async with serving() as store:
        with pytest.raises(BackendError, match="not an allowed Public address"):
            await pools.dial(replace(store.endpoint, network_scope=NetworkScope.PUBLIC))
        assert store.accepted == 0


async def test_a_name_that_cannot_be_resolved_for_its_form_is_a_backends_failure(
    pools: UpstreamPools,
) -> None:
    async with serving() as store:
        with pytest.raises(BackendError, match="cannot connect: UnicodeError"):
            await pools.dial(replace(store.endpoint, host="a" * 64 + ".example.com"))


async def test_a_name_that_is_rebound_after_the_check_is_dialled_where_it_was_checked() -> None:
    names = ScriptedNames(store_test=[["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]])
    pools = UpstreamPools(Watchdog(), Resolver(names))
    async with serving() as store:
        endpoint = replace(store.endpoint, host="store.test")
        connection = await pools.dial(endpoint)
        assert (await exchange(connection)).body == b"hi"
        assert names.asked == ["store.test"]
        with pytest.raises(BackendError, match=r"169\.254\.169\.254 is not an allowed"):
            await pools.dial(endpoint)
        assert store.accepted == 1
    pools.close()
    await settle(10)


async def test_an_address_that_is_silent_does_not_use_up_the_deadline() -> None:
    pools = UpstreamPools(Watchdog(), Resolver(ScriptedNames(store_test=[["127.0.0.2", HOST]])))
    async with serving() as store:
        with silent_address("127.0.0.2", store.endpoint.port):
            connection = await pools.dial(replace(store.endpoint, host="store.test"))
        assert (await exchange(connection)).body == b"hi"
    pools.close()
    await settle(10)


async def test_a_refused_connection_is_no_timeout(pools: UpstreamPools) -> None:
    async with serving() as store:
        pass
    with pytest.raises(BackendError, match="cannot connect: ConnectionRefusedError") as caught:
        await pools.dial(store.endpoint)
    assert not caught.value.is_timeout


async def test_a_backend_that_never_accepts_is_a_timeout(pools: UpstreamPools) -> None:
    with silent_socket() as port:
        endpoint = replace(Store(port).endpoint, is_tls=True, connect_seconds=0.02)
        with pytest.raises(BackendError, match="took too long") as caught:
            await pools.dial(endpoint)
    assert caught.value.is_timeout


@contextmanager
def silent_socket() -> Iterator[int]:
    """Takes connections and says nothing, so a TLS handshake never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def tls(store: Store, **fields: Any) -> Endpoint:
    return replace(store.endpoint, is_tls=True, **fields)


async def test_a_backend_is_trusted_by_the_bundle_that_its_endpoint_names(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    pools.set_ca_bundles({"own": certificate.ca.read_text()})
    async with serving(ssl=certificate.server_context()) as store:
        connection = await pools.dial(tls(store, ca_bundle="own"))
        assert (await exchange(connection)).body == b"hi"


def is_resumed(connection: UpstreamConnection) -> bool:
    assert connection.transport is not None
    return bool(connection.transport.get_extra_info("ssl_object").session_reused)


async def test_the_next_dial_takes_up_the_tls_session_until_the_bundle_changes(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    pem = certificate.ca.read_text()
    pools.set_ca_bundles({"own": pem})
    async with serving(ssl=certificate.server_context()) as store:
        endpoint = tls(store, ca_bundle="own")

        async def resumes() -> bool:
            connection = await pools.dial(endpoint)
            await exchange(connection)
            return is_resumed(connection)

        assert [await resumes(), await resumes(), await resumes()] == [False, True, True]
        pools.set_ca_bundles({"own": f"{pem}\n"})
        assert [await resumes(), await resumes()] == [False, True]


async def test_a_tls_session_that_a_backend_has_forgotten_is_replaced(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    pools.set_ca_bundles({"own": certificate.ca.read_text()})
    resumed = []
    for _ in range(2):  # a second server of the same certificate: as if the first had restarted
        async with serving(ssl=certificate.server_context()) as store:
            for _ in range(2):
                connection = await pools.dial(tls(store, ca_bundle="own"))
                await exchange(connection)
                resumed.append(is_resumed(connection))
    assert resumed == [False, True, False, True]


async def test_a_backend_that_nobody_vouches_for_is_refused(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    async with serving(ssl=certificate.server_context()) as store:
        with pytest.raises(BackendError, match="cannot connect: SSLCertVerificationError"):
            await pools.dial(tls(store))


async def test_a_certificate_for_another_name_is_refused(
    pools: UpstreamPools, tmp_path: Path
) -> None:
    # The certificate names 127.0.0.1, which is where "localhost" leads, but not that name.
    files = make_certificate(tmp_path, names=("elsewhere",))
    pools.set_ca_bundles({"own": files.ca.read_text()})
    async with serving(ssl=files.server_context()) as store:
        with pytest.raises(BackendError, match=r"SSLCertVerificationError.*localhost"):
            await pools.dial(tls(store, ca_bundle="own", host="localhost"))


async def test_a_bundle_that_the_snapshot_lacks_refuses_the_dial(pools: UpstreamPools) -> None:
    async with serving() as store:
        with pytest.raises(BackendError, match="the CA bundle own is not in the snapshot"):
            await pools.dial(tls(store, ca_bundle="own"))


async def test_a_withdrawn_bundle_is_not_trusted_any_more(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    pools.set_ca_bundles({"own": certificate.ca.read_text()})
    async with serving(ssl=certificate.server_context()) as store:
        endpoint = tls(store, ca_bundle="own")
        idle, busy = await pools.dial(endpoint), await pools.dial(endpoint)
        await exchange(idle)
        pools.set_ca_bundles({})
        assert not idle.is_usable
        await exchange(busy)
        assert pools.take(endpoint) is None
        with pytest.raises(BackendError, match="not in the snapshot"):
            await pools.dial(endpoint)


async def test_a_bundle_that_did_not_change_keeps_its_connections(
    pools: UpstreamPools, certificate: CertificateFiles
) -> None:
    pools.set_ca_bundles({"own": certificate.ca.read_text()})
    async with serving(ssl=certificate.server_context()) as store:
        endpoint = tls(store, ca_bundle="own")
        connection = await pools.dial(endpoint)
        await exchange(connection)
        pools.set_ca_bundles({"own": certificate.ca.read_text(), "other": "PEM"})
        assert pools.take(endpoint) is connection
        connection.abort()
