"""The object store of the soak: makes and checks bodies, and fails as the key of a request says."""

import asyncio
import re
from collections import Counter
from contextlib import suppress

from bench.soak.bodies import PIECE_BYTES, BodyCheck, slice_of
from bench.soak.plan import Mishap

_ERROR = b"<Error><Code>AccessDenied</Code><Message>soak</Message></Error>"
_CREATED = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
_COMPLETED = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
_read_target = re.compile(rb"(\w+) /[^/]+/(\w+)/(\d+)/(\d+)/\d+(\?\S*)? HTTP/1.1\r\n").match
_read_length = re.compile(rb"\r\ncontent-length: (\d+)\r\n").search


class SoakBackend:
    """`problems` are objects that should not have been made; `counts` what was asked for."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.open_connections = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Lets go of whatever is stalled."""
        self._ending.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            with suppress(RuntimeError):
                writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection serves another request."""
        head = await reader.readuntil(b"\r\n\r\n")
        found, declared = _read_target(head), _read_length(head)
        assert found is not None, head
        method, mishap = found[1].decode(), Mishap(found[2].decode())
        size, seed = int(found[3]), int(found[4])
        length = int(declared[1]) if declared else 0
        self.counts[method] += 1
        if method == "POST":
            await reader.readexactly(length)
            return await _answer(writer, _CREATED if b"?uploads" in head else _COMPLETED)
        if method == "HEAD":
            return await _answer(writer, b"", length=size)
        if method == "GET":
            return await self._download(writer, mishap, size, seed)
        return await self._upload(reader, writer, mishap, length, seed)

    async def _download(
        self, writer: asyncio.StreamWriter, mishap: Mishap, size: int, seed: int
    ) -> bool:
        is_cut = mishap in (Mishap.BACKEND_RESETS, Mishap.BACKEND_STALLS)
        writer.write(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: %d\r\n\r\n" % size)
        sent, end = 0, size // 2 if is_cut else size
        while sent < end:
            piece = slice_of(seed, sent, min(PIECE_BYTES, end - sent))
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
        if mishap is Mishap.BACKEND_STALLS:
            await self._stall(writer)
        return not is_cut

    async def _upload(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        mishap: Mishap,
        length: int,
        seed: int,
    ) -> bool:
        if mishap is Mishap.BACKEND_REFUSES:
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (len(_ERROR), _ERROR)
            )
            await writer.drain()
            await reader.read(1)
            await asyncio.sleep(0.05)  # or the reset overtakes the answer
            return False
        is_cut = mishap in (Mishap.BACKEND_RESETS, Mishap.BACKEND_STALLS)
        check, end = BodyCheck(seed), length // 2 if is_cut else length
        while check.length < end:
            piece = await reader.read(min(PIECE_BYTES, end - check.length))
            if not piece:
                return False  # cut short: no object
            check.add(piece)
        if mishap is Mishap.BACKEND_STALLS:
            await self._stall(writer)
        if is_cut:
            return False
        if not check.is_right:
            self.problems.append(f"an object of {length} bytes holds other bytes than were sent")
        if mishap in (Mishap.CLIENT_LEAVES, Mishap.CLIENT_LIES):
            self.problems.append(f"{mishap.value}: an object of {length} bytes was made")
        self.counts["objects"] += 1
        return await _answer(writer, b"")

    async def _stall(self, writer: asyncio.StreamWriter) -> None:
        """Until the peer has had enough."""
        while not (writer.transport.is_closing() or self._ending.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._ending.wait()


async def _answer(writer: asyncio.StreamWriter, body: bytes, *, length: int | None = None) -> bool:
    size = len(body) if length is None else length
    writer.write(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: %d\r\n\r\n%s" % (size, body))
    await writer.drain()
    return True
