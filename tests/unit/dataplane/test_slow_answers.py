"""A Complete or a copy that takes minutes: the backend's white space reaches the client."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.shell.front import S3Front
from bucketroute_testing.in_process import (
    BUCKET,
    BackendRequest,
    InProcess,
    in_process,
    signed_head,
)
from bucketroute_testing.transports import FakeConnection, new_stream, until

PARTS = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
    b"</CompleteMultipartUpload>"
)
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
RESULT = b"<CompleteMultipartUploadResult><ETag>e-1</ETag></CompleteMultipartUploadResult>"
ERROR = b"<Error><Code>InternalError</Code><Message>again</Message></Error>"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/xml\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class SlowReply:
    """Sends the beginnings one by one as the test says, then the end."""

    def __init__(self, *beginnings: bytes, end: bytes) -> None:
        self._beginnings = beginnings
        self._end = end
        self._steps = asyncio.Semaphore(0)
        self.is_broken_off = False

    def go_on(self) -> None:
        self._steps.release()

    async def __call__(self, request: BackendRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for beginning in self._beginnings:
            writer.write(chunk(beginning))
            await self._steps.acquire()
        if self.is_broken_off:
            writer.transport.abort()
            return
        writer.write(chunk(self._end) + b"0\r\n\r\n")


@pytest.fixture
async def plane() -> AsyncIterator[InProcess]:
    async with in_process() as running:
        yield running


def complete(plane: InProcess) -> tuple[FakeConnection, "asyncio.Future[None]"]:
    length = ("Content-Length", str(len(PARTS)))
    head = signed_head("POST", f"/{BUCKET}/k?uploadId=u", length)
    connection = FakeConnection()
    stream = new_stream(connection, head)
    work = S3Front(plane.services).begin(stream)
    assert work is not None
    stream.feed(PARTS)
    stream.feed_end()
    return connection, asyncio.ensure_future(work)


def unchunked(raw: bytes) -> bytes:
    body = raw.partition(b"\r\n\r\n")[2]
    document = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        document, body = document + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return document


@pytest.mark.parametrize("first", [b" ", DECLARATION], ids=["white space", "declaration"])
async def test_white_space_keeps_the_client_awake_and_the_document_stays_well_formed(
    plane: InProcess, first: bytes
) -> None:
    reply = plane.backend.reply = SlowReply(first, b" ", end=RESULT)
    connection, task = complete(plane)
    await until(lambda: connection.sent.endswith(chunk(DECLARATION)))
    reply.go_on()
    await until(lambda: connection.sent.endswith(chunk(b" ")))
    reply.go_on()
    await task
    assert connection.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert xml.parse(unchunked(connection.sent)).findtext("ETag") == "e-1"
    assert connection.ends == ["next"]


async def test_a_failure_after_the_200_reaches_the_client_as_an_error_document(
    plane: InProcess,
) -> None:
    reply = plane.backend.reply = SlowReply(b" ", end=ERROR)
    connection, task = complete(plane)
    await until(lambda: connection.sent)
    reply.go_on()
    await task
    document = xml.parse(unchunked(connection.sent))
    assert (document.tag, document.findtext("Code")) == ("Error", "InternalError")


async def test_an_answer_that_breaks_off_after_the_200_is_broken_off_for_the_client(
    plane: InProcess,
) -> None:
    reply = plane.backend.reply = SlowReply(b" ", end=RESULT)
    connection, task = complete(plane)
    await until(lambda: connection.sent)
    reply.is_broken_off = True
    reply.go_on()
    await task
    assert connection.ends == ["close"]
    assert not connection.sent.endswith(b"0\r\n\r\n")
    assert '"errorCode":"ServiceUnavailable"' in plane.logged()


async def test_an_answer_that_comes_at_once_has_a_length(plane: InProcess) -> None:
    plane.backend.reply = SlowReply(end=RESULT)
    connection, task = complete(plane)
    await task
    assert b"content-length: " in connection.sent
    assert b"transfer-encoding" not in connection.sent
