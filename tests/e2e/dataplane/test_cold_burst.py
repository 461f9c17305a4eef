"""A cold credential cache under a burst: one exchange, no failure, and bodies read before it."""

import asyncio
import time

import pytest

from bucketroute_testing.burst import (
    BurstAnswer,
    BurstRequest,
    request_bytes,
    send_all,
    send_one,
)
from bucketroute_testing.gateway import BUCKET, Gateway, StartGateway, recording_backend
from bucketroute_testing.sts import StsBehaviour
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_store_xml import document
from bucketroute_testing.wire_types import Answer

WRITERS = 200
STS_DELAY_SECONDS = 2.0
# Waiters give up after 5 s (DESIGN of the credential cache); the rest is the machine's.
WAIT_DEADLINE_SECONDS = 5.0
MARGIN_SECONDS = 4.0
RECOVERY_SECONDS = 20.0

DELETE_BODY = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>"
COMPLETE_BODY = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    b"</CompleteMultipartUpload>"
)
KINDS = (
    BurstRequest(method="POST", bucket=BUCKET, key="multi", query="uploads="),
    BurstRequest(
        method="PUT",
        bucket=BUCKET,
        key="multi",
        query="partNumber=1&uploadId=some-upload",
        body=b"p" * 4096,
    ),
    BurstRequest(
        method="POST",
        bucket=BUCKET,
        key="multi",
        query="uploadId=some-upload",
        body=COMPLETE_BODY,
    ),
    BurstRequest(method="POST", bucket=BUCKET, query="delete=", body=DELETE_BODY),
    BurstRequest(method="PUT", bucket=BUCKET, key="single", body=b"s" * 4096),
)


@pytest.fixture
def cold(wire: WireBackend, start_gateway: StartGateway) -> Gateway:
    """A gateway that has no credential yet, before an STS that takes its time."""
    completed = document("CompleteMultipartUploadResult", "<ETag>x</ETag>")
    wire.script("POST", "*multi?uploadId=*", completed)
    wire.script("PUT", "*multi?partNumber=*", Answer(headers=(("ETag", '"part"'),)))
    gateway = start_gateway(recording_backend(wire))
    wire.sts.behaviour = StsBehaviour(delay_seconds=STS_DELAY_SECONDS)
    return gateway


@pytest.mark.rule("3.11.14")
async def test_a_cold_burst_costs_one_exchange_and_no_failure(
    cold: Gateway, wire: WireBackend
) -> None:
    answers = await send_all(cold.endpoint, cold.signer, burst())
    assert failures(answers) == []
    assert len(wire.sts.calls) == 1


@pytest.mark.rule("3.11.14")
async def test_the_first_callers_departure_cancels_nobody_else(
    cold: Gateway, wire: WireBackend
) -> None:
    first = cold.raw()
    head, body = request_bytes(cold.endpoint, cold.signer, KINDS[-1])
    first.send(head + body)
    await asyncio.to_thread(
        wire.journal.wait_for_count, 1, source="sts", kind="call", deadline_seconds=10
    )
    first.reset()
    answers = await send_all(cold.endpoint, cold.signer, burst())
    assert failures(answers) == []
    assert len(wire.sts.calls) == 1


@pytest.mark.rule("3.2.3", "3.1.2")
@pytest.mark.parametrize("kind", [KINDS[2], KINDS[3]], ids=["Complete", "DeleteObjects"])
def test_a_buffered_body_is_on_hand_before_sts_is_asked(
    cold: Gateway, wire: WireBackend, kind: BurstRequest
) -> None:
    head, body = request_bytes(cold.endpoint, cold.signer, kind)
    with cold.raw() as raw:
        raw.send(head + body[:20])
        time.sleep(1.0)
        assert wire.journal.events(source="sts") == ()
        raw.send(body[20:])
        assert raw.read_response("POST").status == 200
    assert len(wire.sts.calls) == 1


@pytest.mark.rule("3.11.16")
@pytest.mark.parametrize(
    "broken",
    [
        StsBehaviour(hangs=True),
        StsBehaviour(status=500, body=b"not XML at all"),
        StsBehaviour(status=503, error_code="ServiceUnavailable"),
        StsBehaviour(status=400, error_code="Throttling"),
    ],
    ids=["silent", "garbage", "unavailable", "throttling"],
)
async def test_without_sts_every_caller_has_its_503_in_time_and_recovery_needs_no_restart(
    cold: Gateway, wire: WireBackend, broken: StsBehaviour
) -> None:
    wire.sts.behaviour = broken
    answers = await send_all(cold.endpoint, cold.signer, burst())
    assert {answer.status for answer in answers} == {503}
    assert all(answer.has_retry_after for answer in answers)
    slowest = max(answer.took_seconds for answer in answers)
    assert slowest < WAIT_DEADLINE_SECONDS + MARGIN_SECONDS
    assert wire.requests() == ()
    wire.sts.behaviour = StsBehaviour()
    assert await seconds_to_recovery(cold) < RECOVERY_SECONDS


async def test_a_refused_exchange_is_not_asked_again_for_every_caller(
    cold: Gateway, wire: WireBackend
) -> None:
    wire.sts.behaviour = StsBehaviour(status=403, error_code="AccessDenied")
    for _ in range(2):
        answers = await send_all(cold.endpoint, cold.signer, burst()[:20])
        assert {answer.status for answer in answers} == {403}
    assert len(wire.sts.calls) == 1


async def test_a_warm_cache_asks_sts_no_more(cold: Gateway, wire: WireBackend) -> None:
    for _ in range(3):
        answers = await send_all(cold.endpoint, cold.signer, burst()[:10])
        assert failures(answers) == []
    assert len(wire.sts.calls) == 1


def burst() -> list[BurstRequest]:
    return [KINDS[number % len(KINDS)] for number in range(WRITERS)]


def failures(answers: list[BurstAnswer]) -> list[tuple[int, bytes]]:
    return [(answer.status, answer.body) for answer in answers if answer.status >= 300]


async def seconds_to_recovery(gateway: Gateway) -> float:
    started = time.monotonic()
    while time.monotonic() - started < RECOVERY_SECONDS:
        answer = await send_one(gateway.endpoint, gateway.signer, KINDS[-1])
        if answer.status == 200:
            break
        await asyncio.sleep(0.5)
    return time.monotonic() - started
