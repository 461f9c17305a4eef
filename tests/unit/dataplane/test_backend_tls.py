"""TLS sessions of backends: which are offered again, for how long, and to whom."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bucketroute_dataplane.shell.backend_tls import (
    MAX_SESSIONS,
    SESSION_SECONDS,
    BackendContext,
)
from bucketroute_testing.tls import CertificateFiles, make_certificate
from bucketroute_testing.transports import settle

STORE, OTHER = "store.test", "other.test"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    directory = tmp_path_factory.mktemp("certificate")
    return make_certificate(directory, names=(STORE, OTHER, "*.many.test"))


class Client:
    """Connects, asks, is answered, and goes. `now` is in seconds."""

    def __init__(self, ca: Path, port: int) -> None:
        self.now = 0.0
        self.port = port
        self.context = BackendContext(ca.read_text(), clock=lambda: self.now)

    async def is_resumed(self, name: str = STORE) -> bool:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname=name
        )
        resumed: bool = writer.get_extra_info("ssl_object").session_reused
        self.context.dialled(name, writer.transport)
        writer.write(b"?")
        assert await reader.readexactly(1) == b"?"
        self.context.answered(name, writer.transport)
        writer.transport.abort()
        await settle()
        return resumed


@asynccontextmanager
async def serving(context: ssl.SSLContext, port: int = 0) -> AsyncIterator[int]:
    """Gives back what it gets; yields its port."""
    writers: list[asyncio.StreamWriter] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(await reader.read(1))

    server = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context, reuse_address=True)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await settle(10)


@asynccontextmanager
async def met(
    files: CertificateFiles, context: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    """A client that has had one answer of a server."""
    async with serving(context or files.server_context()) as port:
        client = Client(files.ca, port)
        assert not await client.is_resumed()
        yield client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_next_handshake_takes_up_the_session(
    files: CertificateFiles, version: ssl.TLSVersion
) -> None:
    context = files.server_context()
    context.maximum_version = version
    async with met(files, context) as client:
        assert await client.is_resumed()
        assert await client.is_resumed()


async def test_a_session_is_not_offered_for_another_name(files: CertificateFiles) -> None:
    async with met(files) as client:
        assert not await client.is_resumed(OTHER)
        assert await client.is_resumed()


async def test_a_name_that_the_certificate_lacks_is_refused(files: CertificateFiles) -> None:
    async with met(files) as client:
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.is_resumed("stranger.test")


async def test_a_certificate_is_looked_at_again_after_an_hour(files: CertificateFiles) -> None:
    async with met(files) as client:
        client.now = SESSION_SECONDS - 1
        assert await client.is_resumed()
        client.now = SESSION_SECONDS
        assert not await client.is_resumed()
        assert await client.is_resumed()


async def test_a_session_that_is_not_taken_up_makes_room_for_a_new_one(
    files: CertificateFiles,
) -> None:
    async with met(files) as client:
        kept = client
    async with serving(files.server_context(), kept.port):  # restarted: other ticket keys
        assert not await kept.is_resumed()
        assert await kept.is_resumed()


async def test_a_server_without_tickets_is_served_all_the_same(files: CertificateFiles) -> None:
    context = files.server_context()
    context.num_tickets = 0
    async with met(files, context) as client:
        assert not await client.is_resumed()


async def test_another_authority_s_context_offers_nothing(
    files: CertificateFiles, tmp_path: Path
) -> None:
    async with met(files) as client:
        stranger = Client(make_certificate(tmp_path).ca, client.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            await stranger.is_resumed()


async def test_sessions_are_bounded_and_the_oldest_goes_first(files: CertificateFiles) -> None:
    async with met(files) as client:
        for number in range(MAX_SESSIONS - 1):
            await client.is_resumed(f"b{number}.many.test")
        assert await client.is_resumed()
        await client.is_resumed("one-more.many.test")
        assert await client.is_resumed("one-more.many.test")
        assert not await client.is_resumed()
