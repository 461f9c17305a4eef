"""What `shell/bulk.py` leans on in both event loops' transports: who holds which bytes, and when.

One test a behaviour: an upgrade that changes it fails here and names it.
"""

import asyncio
import os
import select
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bucketroute_testing.tls import make_certificate
from bucketroute_testing.transports import settle, until


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.calls: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


class Connection:
    """A transport, and a bare socket at its far end."""

    def __init__(
        self, transport: asyncio.Transport, protocol: Recorder, far: socket.socket
    ) -> None:
        self.transport, self.protocol, self.far = transport, protocol, far


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    transport, protocol = await loop.create_connection(Recorder, sock=near)
    with far:
        far.setblocking(False)
        yield Connection(transport, protocol, far)
        transport.abort()
        await settle()


async def test_a_plain_transport_tells_its_descriptor_and_that_it_has_no_tls(
    connection: Connection,
) -> None:
    found = connection.transport.get_extra_info("socket")
    assert os.fstat(found.fileno())
    assert found.getpeername() == connection.far.getsockname()
    assert connection.transport.get_extra_info("ssl_object") is None


async def test_a_tls_transport_tells_that_it_has_tls(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=files.server_context()
    )
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile=str(files.ca))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object") is not None
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await settle(20)


async def test_what_the_kernel_has_not_taken_is_in_the_write_buffer(
    connection: Connection,
) -> None:
    assert connection.transport.get_write_buffer_size() == 0
    connection.transport.write(bytes(32 * 1024 * 1024))
    assert connection.transport.get_write_buffer_size() > 0
    await settle(20)
    assert connection.transport.get_write_buffer_size() > 0  # nobody reads


async def test_without_a_buffer_the_protocol_hears_when_all_is_with_the_kernel(
    connection: Connection,
) -> None:
    connection.transport.write(bytes(32 * 1024 * 1024))
    connection.transport.set_write_buffer_limits(high=0, low=0)
    await settle(5)
    assert connection.protocol.calls == ["pause"]
    loop, left = asyncio.get_running_loop(), 32 * 1024 * 1024
    while left:
        left -= len(await loop.sock_recv(connection.far, left))
    await until(lambda: connection.protocol.calls == ["pause", "resume"])
    assert connection.transport.get_write_buffer_size() == 0


async def test_a_paused_transport_leaves_what_comes_to_others(connection: Connection) -> None:
    connection.transport.pause_reading()
    connection.transport.pause_reading()
    descriptor = os.dup(connection.transport.get_extra_info("socket").fileno())
    connection.far.send(b"abcdef")
    await settle(20)
    assert connection.protocol.data == b""
    assert os.read(descriptor, 3) == b"abc"
    os.close(descriptor)
    connection.transport.resume_reading()
    connection.transport.resume_reading()
    await until(lambda: connection.protocol.data == b"def")


async def test_a_copy_of_the_socket_outlives_an_aborted_transport(connection: Connection) -> None:
    descriptor = os.dup(connection.transport.get_extra_info("socket").fileno())
    connection.transport.abort()
    await settle(20)
    os.write(descriptor, b"still")
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(connection.far, 5) == b"still"
    os.close(descriptor)


async def test_the_loop_watches_an_epoll_instance(connection: Connection) -> None:
    loop, calls = asyncio.get_running_loop(), []
    epoll = select.epoll()
    descriptor = connection.transport.get_extra_info("socket").fileno()
    connection.transport.pause_reading()
    loop.add_reader(epoll.fileno(), lambda: calls.append(epoll.poll(0)))
    epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)
    await settle(20)
    assert calls == []
    connection.far.send(b"a")
    await until(lambda: calls)
    assert calls[0] == [(descriptor, select.EPOLLIN)]
    loop.remove_reader(epoll.fileno())
    epoll.close()
