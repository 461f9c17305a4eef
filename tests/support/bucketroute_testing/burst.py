"""Many raw S3 requests at once, each on a connection of its own, from one asyncio loop.

boto3 needs a thread a request; two hundred of them would measure the test and not the gateway.
"""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from bucketroute_testing.clients import object_url
from bucketroute_testing.signing import Signer
from bucketroute_testing.wire_types import Headers

_DEADLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRequest:
    """One request with its whole body; its payload hash is signed."""

    method: str
    bucket: str
    key: str = ""
    query: str = ""
    body: bytes = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstAnswer:
    """An answer and how long it took from the first byte sent; status 0 is none at all."""

    status: int
    head: bytes
    body: bytes
    took_seconds: float

    @property
    def has_retry_after(self) -> bool:
        return b"\r\nretry-after:" in self.head.lower()


def request_bytes(endpoint: str, signer: Signer, request: BurstRequest) -> tuple[bytes, bytes]:
    """Head and body as they go on the wire."""
    url = object_url(endpoint, request.bucket, request.key, request.query)
    signed = signer.sign(
        request.method,
        url,
        headers=request.headers,
        payload_hash=hashlib.sha256(request.body).hexdigest(),
    )
    lines = [f"{request.method} {url.removeprefix(endpoint)} HTTP/1.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in signed.headers]
    lines.append(f"Content-Length: {len(request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), request.body


async def send_one(endpoint: str, signer: Signer, request: BurstRequest) -> BurstAnswer:
    """Send a request and read its answer to the end of the connection."""
    head, body = request_bytes(endpoint, signer, request)
    parts = urlsplit(endpoint)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            started = loop.time()
            answer = await _exchange(reader, writer, head + body)
            took = loop.time() - started
        finally:
            writer.close()
    answer_head, _, answer_body = answer.partition(b"\r\n\r\n")
    status = int(answer_head.split(b" ", 2)[1]) if answer_head else 0
    return BurstAnswer(status=status, head=answer_head, body=answer_body, took_seconds=took)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> bytes:
    """What came back until the end of the connection; b'' when it was reset before an answer."""
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    try:
        return await reader.read(-1)
    except ConnectionError:
        return b""


async def send_all(
    endpoint: str, signer: Signer, requests: list[BurstRequest]
) -> list[BurstAnswer]:
    """Send all of them at the same time; answers in the order of the requests."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send_one(endpoint, signer, request)) for request in requests]
    return [task.result() for task in tasks]
