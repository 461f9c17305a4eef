"""What the supervisor and one worker say to each other, over a pair of sockets in the kernel.

A frame is a kind, a number and a payload. A frame with a number is a request: its answer bears the
same number, and both ends may ask. Number 0 wants no answer. Whatever breaks these rules ends the
link, and a link that has ended does not come back: the worker is replaced.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, IntEnum
from itertools import count

# The counts of 1,000 routes and every operation take a third of it.
MAX_FRAME_BYTES = 32 * 1024 * 1024
# Nobody asks more than a handful of things at once.
MAX_UNANSWERED = 32
_HEAD = struct.Struct(">BII")
_NO_ANSWER = 0


class Taken(Enum):
    """What became of an update."""

    APPLIED = b"applied"
    REFUSED = b"refused"
    # It leads on from something else than what the worker holds.
    STALE = b"stale"


class Kind(IntEnum):
    """Of a frame."""

    ANSWER = 0
    FAILURE = 1
    # From the worker
    HELLO = 10
    FRESH = 11
    REPORT = 12
    # From the supervisor
    PIECE = 20
    UPDATE = 21
    LISTEN = 22
    COUNTS = 23
    PING = 24


Answerer = Callable[[Kind, bytes], Awaitable[bytes]]


class LinkError(Exception):
    """The other end is gone, broke the rules, or could not do what it was asked to."""


class WorkerLink:
    """One end. `run` until the link ends; meanwhile `ask` and `tell`.

    `answer` is given what the other end asks, several requests at a time, and may raise LinkError.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answerer
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._failure: BaseException | None = None

    @classmethod
    async def over(cls, end: socket.socket, answer: Answerer) -> WorkerLink:
        """Takes the socket over."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end)
        return cls(reader, writer, answer)

    async def run(self) -> None:
        """Returns when the other end has closed. Raises: LinkError if it broke the rules, and what
        `answer` raises beyond that."""
        try:
            while (frame := await self._next()) is not None:
                await self._take(*frame)
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure

    async def ask(self, kind: Kind, payload: bytes = b"", *, seconds: float) -> bytes:
        """The answer. Raises: LinkError; TimeoutError."""
        number = next(self._numbers)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(seconds):
                await self._send(kind, number, payload)
                return await future
        finally:
            del self._waiting[number]

    async def tell(self, kind: Kind, payload: bytes = b"") -> None:
        """Waits for room, not for an answer: to be called within a deadline. Raises: LinkError."""
        await self._send(kind, _NO_ANSWER, payload)

    def hint(self, kind: Kind) -> None:
        """Says so at once, if anybody is there to hear it."""
        if not self._is_over:
            self._writer.write(_HEAD.pack(kind, _NO_ANSWER, 0))

    def close(self) -> None:
        self._end()
        self._writer.close()

    async def _send(self, kind: Kind, number: int, payload: bytes) -> None:
        if self._is_over:
            raise LinkError("the link has ended")
        self._writer.write(_HEAD.pack(kind, number, len(payload)))
        self._writer.write(payload)
        try:
            await self._writer.drain()
        except ConnectionError as exc:
            raise LinkError("the link has ended") from exc

    async def _next(self) -> tuple[Kind, int, bytes] | None:
        """None at the end, which may come in the midst of a frame: the other end was killed."""
        try:
            kind, number, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if length > MAX_FRAME_BYTES:
                raise LinkError(f"a frame of {length} bytes")
            return Kind(kind), number, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except ValueError as exc:
            raise LinkError(str(exc)) from exc

    async def _take(self, kind: Kind, number: int, payload: bytes) -> None:
        if kind in (Kind.ANSWER, Kind.FAILURE):
            self._settle(kind, number, payload)
        elif number == _NO_ANSWER:
            await self._answer(kind, payload)
        elif len(self._answering) >= MAX_UNANSWERED:
            raise LinkError("too many requests at once")
        else:
            task = asyncio.create_task(self._reply(kind, number, payload))
            self._answering.add(task)
            task.add_done_callback(self._has_answered)

    def _has_answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self._writer.transport.abort()

    def _settle(self, kind: Kind, number: int, payload: bytes) -> None:
        """What nobody waits for any more is dropped: its time was up."""
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if kind is Kind.ANSWER:
            future.set_result(payload)
        else:
            future.set_exception(LinkError(payload.decode(errors="replace")))

    async def _reply(self, kind: Kind, number: int, payload: bytes) -> None:
        try:
            answer = Kind.ANSWER, await self._answer(kind, payload)
        except LinkError as exc:
            answer = Kind.FAILURE, str(exc).encode()
        with suppress(LinkError):  # nobody is there to hear it
            await self._send(answer[0], number, answer[1])

    def _end(self) -> None:
        self._is_over = True
        for task in self._answering:
            task.cancel()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkError("the link has ended"))
