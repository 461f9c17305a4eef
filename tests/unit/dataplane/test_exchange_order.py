"""The three rules of the body path, seen in the order of events of single exchanges."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5

import pytest

from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.front import S3Front
from bucketroute_dataplane.shell.limits import BufferBudget
from bucketroute_testing.in_process import (
    BUCKET,
    InProcess,
    TracedCredentials,
    in_process,
    signed_head,
)
from bucketroute_testing.transports import FakeConnection, new_stream, settle, until

MIB = 1024 * 1024
DELETE = b"<Delete><Object><Key>a</Key></Object></Delete>"
COMPLETE = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
    b"</CompleteMultipartUpload>"
)
BUFFERED = {
    "CreateMultipartUpload": ("POST", f"/{BUCKET}/k?uploads=", b"ignored"),
    "CompleteMultipartUpload": ("POST", f"/{BUCKET}/k?uploadId=u", COMPLETE),
    "AbortMultipartUpload": ("DELETE", f"/{BUCKET}/k?uploadId=u", b"ignored"),
    "DeleteObjects": ("POST", f"/{BUCKET}?delete=", DELETE),
}


@pytest.fixture
async def plane() -> AsyncIterator[InProcess]:
    async with in_process() as running:
        own = running.services.credentials
        running.services.credentials = TracedCredentials(running.trace)
        yield running
        running.services.credentials = own


class Exchange:
    """One request whose body the test sends by hand."""

    def __init__(self, plane: InProcess, head: RequestHead) -> None:
        self.connection = FakeConnection()
        self.stream: ClientStream = new_stream(self.connection, head)
        work = S3Front(plane.services).begin(self.stream)
        # None: answered already.
        self.task: asyncio.Future[None] = asyncio.ensure_future(work or asyncio.sleep(0))

    def status(self) -> int:
        return int(self.connection.sent.split()[1])


def with_length(method: str, target: str, body: bytes) -> RequestHead:
    digest = b64encode(md5(body).digest()).decode()
    return signed_head(method, target, ("Content-Length", str(len(body))), ("Content-MD5", digest))


@pytest.mark.rule("3.2.1", "3.2.3")
@pytest.mark.parametrize(("method", "target", "body"), BUFFERED.values(), ids=BUFFERED)
async def test_a_buffered_body_is_whole_before_credentials_are_asked_for(
    plane: InProcess, method: str, target: str, body: bytes
) -> None:
    exchange = Exchange(plane, with_length(method, target, body))
    for piece in (body[:3], body[3:-1]):
        await settle(20)
        exchange.stream.feed(piece)
    await settle(20)
    assert plane.trace == []
    exchange.stream.feed(body[-1:])
    exchange.stream.feed_end()
    await exchange.task
    assert plane.trace == ["credentials", "forward"]


@pytest.mark.rule("3.2.3")
async def test_the_body_is_read_and_the_credentials_asked_for_in_the_requests_own_task(
    plane: InProcess,
) -> None:
    credentials = plane.services.credentials
    assert isinstance(credentials, TracedCredentials)
    exchanges = [
        Exchange(plane, with_length("POST", f"/{BUCKET}/{n}?uploadId=u", COMPLETE))
        for n in range(3)
    ]
    for exchange in reversed(exchanges):
        exchange.stream.feed(COMPLETE)
        exchange.stream.feed_end()
        await settle(20)
    await asyncio.gather(*[exchange.task for exchange in exchanges])
    assert credentials.tasks == [exchange.task for exchange in reversed(exchanges)]
    assert [r.head.split()[1] for r in plane.backend.requests] == [
        f"/acme-backend/{n}?uploadId=u" for n in (2, 1, 0)
    ]


@pytest.mark.rule("3.2.4")
async def test_a_body_declared_too_large_is_refused_before_a_byte_of_it(plane: InProcess) -> None:
    head = signed_head("POST", f"/{BUCKET}?delete=", ("Content-Length", str(1 << 40)))
    exchange = Exchange(plane, head)
    await exchange.task
    assert (exchange.status(), plane.trace) == (400, [])
    assert b"EntityTooLarge" in exchange.connection.sent


@pytest.mark.rule("3.2.8")
async def test_a_client_that_leaves_inside_a_buffered_body_costs_no_credentials(
    plane: InProcess,
) -> None:
    exchange = Exchange(plane, with_length("POST", f"/{BUCKET}?delete=", DELETE))
    exchange.stream.feed(DELETE[:5])
    await settle(20)
    exchange.stream.lost()
    await exchange.task
    assert (plane.trace, exchange.connection.sent) == ([], b"")
    assert '"status":499' in plane.logged()


@pytest.mark.rule("3.2.9", "3.2.16")
async def test_a_streamed_body_moves_once_the_backend_is_ready_with_its_exact_length(
    plane: InProcess,
) -> None:
    exchange = Exchange(plane, with_length("PUT", f"/{BUCKET}/k", b"abcdef"))
    await until(lambda: plane.backend.requests)
    assert plane.trace == ["credentials", "forward"]
    (request,) = plane.backend.requests
    assert "content-length: 6\r\n" in request.head
    assert "transfer-encoding" not in request.head
    exchange.stream.feed(b"abc")
    await until(lambda: request.body == b"abc")  # and not only when the rest is here
    exchange.stream.feed(b"def")
    exchange.stream.feed_end()
    await exchange.task
    assert (exchange.status(), request.body) == (200, b"abcdef")


@pytest.mark.rule("3.2.17")
async def test_an_upload_that_its_client_leaves_never_becomes_an_object(plane: InProcess) -> None:
    exchange = Exchange(plane, with_length("PUT", f"/{BUCKET}/k", b"abcdef"))
    await until(lambda: plane.backend.requests)
    exchange.stream.feed(b"abc")
    await until(lambda: plane.backend.requests[0].body == b"abc")
    exchange.stream.lost()
    await exchange.task
    await settle(20)
    assert not plane.backend.requests[0].is_complete


@pytest.mark.rule("3.1.3")
async def test_who_is_not_allowed_costs_no_credentials(plane: InProcess) -> None:
    exchange = Exchange(plane, with_length("PUT", "/nowhere/k", b"abc"))
    await exchange.task
    assert (exchange.status(), plane.trace) == (404, [])


async def test_what_chunks_are_said_to_hold_is_not_what_may_come(plane: InProcess) -> None:
    """Room is taken for as much as would be read."""
    plane.services.buffer_budget = BufferBudget(MIB)
    lying = signed_head(
        "POST",
        f"/{BUCKET}/k?uploadId=u",
        ("Transfer-Encoding", "chunked"),
        ("x-amz-decoded-content-length", "1"),
        payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    )
    exchange = Exchange(plane, lying)
    await exchange.task
    assert exchange.status() == 503
