"""The two directions of one exchange of the recording backend: reading as planned, answering as
scripted.

Framing is read and written here by hand (RFC 9112 sections 6 and 7), because a library would repair
exactly the mistakes that the tests provoke. What to read and what to answer are decided elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

from bucketroute_testing.wire_types import (
    Answer,
    BodyDigest,
    Framing,
    KiB,
    ReadPlan,
    RequestHead,
)

_READ_BYTES = 256 * KiB
_PATTERN = bytes(range(256)) * 256


class AbortedError(Exception):
    """The plan said to reset the connection at this byte of the request."""


class ClosedEarlyError(Exception):
    """The script said to close the connection at this byte of the answer."""


async def read_planned(
    reader: asyncio.StreamReader, head: RequestHead, plan: ReadPlan, digest: BodyDigest
) -> None:
    is_paused = False
    async for piece in _body(reader, head):
        digest.add(piece)
        if plan.abort_at_bytes is not None and digest.length >= plan.abort_at_bytes:
            raise AbortedError
        has_reached = plan.pause_at_bytes is not None and digest.length >= plan.pause_at_bytes
        if has_reached and not is_paused:
            is_paused = True
            await asyncio.sleep(plan.pause_seconds)


async def _body(reader: asyncio.StreamReader, head: RequestHead) -> AsyncIterator[bytes]:
    if head.framing is Framing.CHUNKED:
        while True:
            line = await reader.readuntil(b"\r\n")
            left = int(line.split(b";")[0], 16)
            if left == 0:
                break
            async for piece in _exactly(reader, left):
                yield piece
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif head.framing is Framing.CONTENT_LENGTH:
        async for piece in _exactly(reader, int(head.header("content-length") or "0")):
            yield piece


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    left = length
    while left:
        piece = await reader.read(min(_READ_BYTES, left))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


async def send(
    writer: asyncio.StreamWriter, answer: Answer, method: str, *, must_close: bool
) -> None:
    if answer.raw is not None:
        writer.write(answer.raw)
        await writer.drain()
        raise ClosedEarlyError
    has_body = method != "HEAD" and answer.status not in (204, 304)
    lines = [f"HTTP/1.1 {answer.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    names = {name.lower() for name, _ in answer.headers}
    length = answer.body_length if answer.length_promised is None else answer.length_promised
    if answer.is_chunked:
        lines.append("Transfer-Encoding: chunked")
    elif "content-length" not in names and answer.status != 204:
        lines.append(f"Content-Length: {length}")
    if must_close:
        lines.append("Connection: close")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if has_body:
        await _send_body(writer, answer)
    await writer.drain()


async def _send_body(writer: asyncio.StreamWriter, answer: Answer) -> None:
    sent = 0
    for piece in _pieces(answer):
        if answer.close_after_bytes is not None and sent + len(piece) > answer.close_after_bytes:
            writer.write(piece[: answer.close_after_bytes - sent])
            await writer.drain()
            raise ClosedEarlyError
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.is_chunked else piece)
        sent += len(piece)
        await writer.drain()
        if answer.dribble_seconds:
            await asyncio.sleep(answer.dribble_seconds)
    if answer.is_chunked:
        writer.write(b"0\r\n\r\n")


def _pieces(answer: Answer) -> Iterator[bytes]:
    if answer.generated_bytes is None:
        size = answer.dribble_bytes or max(len(answer.body), 1)
        for start in range(0, len(answer.body), size):
            yield answer.body[start : start + size]
        return
    left = answer.generated_bytes
    size = min(answer.dribble_bytes or len(_PATTERN), len(_PATTERN))
    while left:
        piece = _PATTERN[: min(left, size)]
        left -= len(piece)
        yield piece
