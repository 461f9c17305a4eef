"""Real TCP connections for unit tests: a transport at one end, a bare socket at the other."""

import asyncio
import socket


class Arriving(asyncio.Protocol):
    """What comes on a connection that is not paused."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


class Side:
    """A TCP connection: the transport at this end, a bare socket at the far one."""

    def __init__(self, transport: asyncio.Transport, near: Arriving, far: socket.socket) -> None:
        self.transport = transport
        self.near = near
        self.far = far
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, protocol: asyncio.Protocol | None = None) -> "Side":
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            far = socket.create_connection(listening.getsockname())
            near, _ = listening.accept()
        far.setblocking(False)
        near.setblocking(False)
        arriving = Arriving()
        transport, _ = await loop.create_connection(lambda: protocol or arriving, sock=near)
        return cls(transport, arriving, far)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.far, data)

    async def receive(self, count: int) -> bytes:
        found = bytearray()
        async with asyncio.timeout(10):
            while len(found) < count:
                piece = await self._loop.sock_recv(self.far, count - len(found))
                assert piece, "ended early"
                found += piece
        return bytes(found)

    def reset(self) -> None:
        linger = (1).to_bytes(4, "little") + bytes(4)
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.far.close()

    def close(self) -> None:
        self.transport.abort()
        self.far.close()
