"""Memory does not grow with bodies: slow peers on both sides, and many buffered bodies at once."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.burst import BurstRequest, send_all
from bucketroute_testing.gateway import (
    BUCKET,
    Gateway,
    GatewayOptions,
    StartGateway,
    recording_backend,
)
from bucketroute_testing.processes import MemoryPeak
from bucketroute_testing.tls import CertificateFiles
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, Headers, KiB, MiB, ReadPlan

STREAMS = 64
DECLARED_BYTES = 256 * MiB
STALL_AT_BYTES = MiB
STALL_SECONDS = 5.0
DRAINED_BYTES = 32 * MiB
CEILING_BYTES = 150 * MiB
COMPLETES = 200
COMPLETE_BYTES = 4 * MiB
# What the kernel takes in while a peer does not read; small, so that the stall is felt at once.
RECEIVE_BUFFER_BYTES = 256 * KiB
TLS_WARM_UP, TLS_CONNECTIONS, TLS_BODY_BYTES = 50, 400, 256 * KiB
# They would keep 100 MiB.
TLS_CEILING_BYTES = 25 * MiB
# Enough for the form that is posted to STS.
KEPT_BYTES = 64 * KiB


@pytest.fixture
def slow_wire() -> Iterator[WireBackend]:
    """A backend that reads 1 MiB of an upload, stalls, reads to 32 MiB and resets."""
    with WireBackend(
        keep_body_bytes=KEPT_BYTES, receive_buffer_bytes=RECEIVE_BUFFER_BYTES
    ) as running:
        plan = ReadPlan(
            pause_at_bytes=STALL_AT_BYTES,
            pause_seconds=STALL_SECONDS,
            abort_at_bytes=DRAINED_BYTES,
        )
        running.script("PUT", "*/slow*", read=plan)
        running.script("GET", "*/slow*", Answer(generated_bytes=DECLARED_BYTES))
        yield running


async def test_64_slow_uploads_and_64_slow_downloads_stay_below_the_ceiling(
    slow_wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(slow_wire))
    await asyncio.to_thread(warm_up, gateway)
    with MemoryPeak(gateway.process) as peak:
        async with asyncio.TaskGroup() as group:
            for number in range(STREAMS):
                group.create_task(upload_until_reset(gateway, f"slow-{number}"))
                group.create_task(download_slowly(gateway, f"slow-{number}"))
    drained = [request.body_length for request in slow_wire.requests("PUT")]
    assert len(drained) == STREAMS
    assert min(drained) >= DRAINED_BYTES
    assert peak.peak_bytes < CEILING_BYTES, f"{peak.peak_bytes / MiB:.0f} MiB"


@pytest.mark.rule("3.2.5")
async def test_200_big_completes_at_once_share_one_budget(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(wire))
    wire.script("POST", "*uploadId=*", Answer(body=b"<CompleteMultipartUploadResult/>"))
    request = BurstRequest(
        method="POST", bucket=BUCKET, key="m", query="uploadId=u", body=complete_body()
    )
    with MemoryPeak(gateway.process) as peak:
        answers = await send_all(gateway.endpoint, gateway.signer, [request] * COMPLETES)
    # 0: refused and closed while the client was still sending, its answer lost in the reset.
    assert {answer.status for answer in answers} <= {200, 503, 0}
    assert any(answer.status == 200 for answer in answers)
    assert all(b"SlowDown" in answer.body for answer in answers if answer.status == 503)
    assert peak.peak_bytes < CEILING_BYTES, f"{peak.peak_bytes / MiB:.0f} MiB"


def warm_up(gateway: Gateway) -> None:
    """Have credentials exchanged: the STS answers from this process, which is about to be busy."""
    with closing(gateway.client()) as client, pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=BUCKET, Key="absent")


async def upload_until_reset(gateway: Gateway, key: str) -> None:
    """Send 256 MiB as fast as they are taken, until the gateway ends it."""
    length = ("Content-Length", str(DECLARED_BYTES))
    reader, writer = await connect(gateway, "PUT", key, (length,))
    piece = bytes(256 * KiB)
    with contextlib.suppress(ConnectionError):
        for _ in range(DECLARED_BYTES // len(piece)):
            if reader.at_eof():
                break
            writer.write(piece)
            await writer.drain()
    await leave(writer)


async def download_slowly(gateway: Gateway, key: str) -> None:
    """Read 1 MiB, stall, read to 32 MiB, leave."""
    reader, writer = await connect(gateway, "GET", key, ())
    await read_at_least(reader, STALL_AT_BYTES)
    await asyncio.sleep(STALL_SECONDS)
    await read_at_least(reader, DRAINED_BYTES - STALL_AT_BYTES)
    await leave(writer)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def connect(
    gateway: Gateway, method: str, key: str, headers: Headers
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    target = f"/{BUCKET}/{key}"
    parts = urlsplit(gateway.endpoint)
    signed = gateway.signer.sign(method, f"{gateway.endpoint}{target}")
    lines = [f"{name}: {value}" for name, value in (*signed.headers, *headers)]
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
    return reader, writer


async def read_at_least(reader: asyncio.StreamReader, count: int) -> None:
    left = count
    while left > 0:
        piece = await reader.read(256 * KiB)
        assert piece, f"the download ended {left} bytes early"
        left -= len(piece)


def complete_body() -> bytes:
    """A well-formed body of nearly the limit, most of it white space."""
    part = b"<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    inner = part + b" " * (COMPLETE_BYTES - KiB - len(part))
    return b"<CompleteMultipartUpload>" + inner + b"</CompleteMultipartUpload>"


def test_tls_connections_that_have_ended_hold_no_memory(
    wire: WireBackend, start_gateway: StartGateway, certificate: CertificateFiles
) -> None:
    """Each has 256 KiB of buffers, which only a collection would find if anything kept it."""
    gateway = start_gateway(recording_backend(wire), GatewayOptions(tls=certificate))
    wire.script("GET", "*", Answer(generated_bytes=TLS_BODY_BYTES))
    for _ in range(TLS_WARM_UP):
        get_and_leave(gateway)
    before = gateway.process.rss_bytes()
    for _ in range(TLS_CONNECTIONS):
        get_and_leave(gateway)
    grown = gateway.process.rss_bytes() - before
    assert grown < TLS_CEILING_BYTES, f"{grown / MiB:.0f} MiB"


def get_and_leave(gateway: Gateway) -> None:
    target = f"/{BUCKET}/k"
    signed = gateway.signer.sign("GET", f"{gateway.endpoint}{target}")
    with gateway.raw() as raw:
        raw.send_head("GET", target, signed.headers)
        assert len(raw.read_response("GET").body) == TLS_BODY_BYTES
