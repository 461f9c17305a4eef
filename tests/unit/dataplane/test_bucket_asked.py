"""The question itself, over real sockets: signed, bounded, and with nothing left behind."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_dataplane.shell.bucket_checks import MAX_ANSWER_BYTES, ask_for_bucket
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_snapshot import SnapshotSecrets
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.hot_plane import HotPlane, Reply, hot_plane


def answer(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


FOUND = Reply(answer=answer("200 OK", b"<ListBucketResult/>"))
MISSING = Reply(answer=answer("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>"))


@pytest.fixture
async def plane() -> AsyncIterator[HotPlane]:
    async with hot_plane() as running:
        yield running


def target(plane: HotPlane) -> BackendTarget:
    assert plane.services.store.index is not None
    found = plane.services.store.index.entries[0].target
    assert found is not None
    return found


async def test_the_question_is_signed_and_its_connection_kept(plane: HotPlane) -> None:
    plane.backend.replies = [MISSING, FOUND]
    states = [await ask_for_bucket(plane.services, target(plane)) for _ in range(2)]
    assert states == [BucketState.NOT_FOUND, BucketState.FOUND]
    first = plane.backend.exchanges[0].head
    assert re.match(rb"GET /[a-z0-9-]+\?list-type=2&max-keys=1(&prefix=\S+)? HTTP/1.1\r\n", first)
    assert re.search(rb"\r\nauthorization: AWS4-HMAC-SHA256 Credential=\S+/s3/aws4_request,", first)
    assert len(plane.backend.writers) == 1


async def test_without_credentials_nothing_is_asked(plane: HotPlane) -> None:
    plane.services.credentials.update_secrets(SnapshotSecrets())
    assert await ask_for_bucket(plane.services, target(plane)) is BucketState.UNKNOWN
    assert plane.backend.exchanges == []


async def test_a_connection_that_was_closed_meanwhile_costs_no_answer(plane: HotPlane) -> None:
    # The backend keeps the connection after the first answer, and resets it with the second.
    plane.backend.replies = [FOUND, replace(FOUND, answer=b"", then="reset"), MISSING]
    assert await ask_for_bucket(plane.services, target(plane)) is BucketState.FOUND
    assert await ask_for_bucket(plane.services, target(plane)) is BucketState.NOT_FOUND
    assert len(plane.backend.writers) == 2


async def test_an_answer_that_breaks_off_is_none(plane: HotPlane) -> None:
    plane.backend.replies = [
        Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", then="reset")
    ]
    with pytest.raises(BackendError):
        await ask_for_bucket(plane.services, target(plane))


async def test_a_long_answer_is_not_kept(plane: HotPlane) -> None:
    error = b"<Error><Code>NoSuchBucket</Code></Error>"
    plane.backend.replies = [
        Reply(answer=answer("404 Not Found", error + b" " * (4 * MAX_ANSWER_BYTES)))
    ]
    assert await ask_for_bucket(plane.services, target(plane)) is BucketState.NOT_FOUND


async def test_who_does_not_wait_for_the_answer_leaves_no_connection(plane: HotPlane) -> None:
    plane.backend.replies = [replace(FOUND, answer=b"", then="hang")]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask_for_bucket(plane.services, target(plane))
    (writer,) = plane.backend.writers
    async with asyncio.timeout(1):
        await writer.wait_closed()
