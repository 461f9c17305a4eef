"""SIGTERM: requests in flight finish, nobody new is let in, the program ends with 0."""

import hashlib
import os
import signal
import time

import pytest

from bucketroute_testing.clients import RawClient
from bucketroute_testing.gateway import BUCKET, Gateway, StartGateway, recording_backend
from bucketroute_testing.processes import accepts_connections, wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, MiB

SIZE = 256 * MiB
PIECE = bytes(range(256)) * 4096
ENDS_WITHIN_SECONDS = 10.0


@pytest.fixture
def gateway(wire: WireBackend, start_gateway: StartGateway) -> Gateway:
    wire.script("GET", "*/big", Answer(generated_bytes=SIZE))
    return start_gateway(recording_backend(wire))


def start_download(gateway: Gateway, raw: RawClient) -> int:
    """How many bytes of the body came with the head."""
    target = f"/{BUCKET}/big"
    raw.send_head("GET", target, gateway.signer.sign("GET", gateway.endpoint + target).headers)
    received = b""
    while b"\r\n\r\n" not in received:
        received += raw.read_some()
    return len(received.partition(b"\r\n\r\n")[2])


def drain(gateway: Gateway) -> None:
    """Ask the program to end, and wait until it takes no more connections."""
    os.kill(gateway.process.pid, signal.SIGTERM)
    wait_until(
        lambda: not accepts_connections(gateway.process.port),
        deadline_seconds=ENDS_WITHIN_SECONDS,
        what="new connections are refused",
    )


def assert_ends_well(gateway: Gateway) -> None:
    wait_until(
        lambda: gateway.process.exit_status is not None,
        deadline_seconds=ENDS_WITHIN_SECONDS,
        what="serve ends",
    )
    assert gateway.process.exit_status == 0


def test_a_download_in_flight_finishes(gateway: Gateway) -> None:
    with gateway.raw() as raw:
        received = start_download(gateway, raw)
        drain(gateway)
        assert gateway.process.exit_status is None
        while piece := raw.read_some():
            received += len(piece)
    assert received == SIZE
    assert_ends_well(gateway)


def test_an_upload_in_flight_finishes(gateway: Gateway, wire: WireBackend) -> None:
    expected = hashlib.sha256()
    signed = gateway.signer.sign("PUT", f"{gateway.endpoint}/{BUCKET}/up")
    with gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/up", (*signed.headers, ("Content-Length", str(SIZE))))
        for number in range(SIZE // MiB):
            if number == 16:
                drain(gateway)
                assert gateway.process.exit_status is None
            expected.update(PIECE)
            raw.send(PIECE)
        answer = raw.read_response("PUT")
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert raw.is_closed_by_peer()
    stored = wire.only_request("PUT")
    assert (stored.is_complete, stored.body_length) == (True, SIZE)
    assert stored.body_sha256 == expected.hexdigest()
    assert_ends_well(gateway)


def test_idle_connections_do_not_hold_the_end_up(gateway: Gateway) -> None:
    with gateway.raw() as fresh, gateway.raw() as used:
        target = f"/{BUCKET}?location="
        headers = gateway.signer.sign("GET", gateway.endpoint + target).headers
        used.send_head("GET", target, headers)
        assert used.read_response().status == 200
        started = time.monotonic()
        drain(gateway)
        assert used.is_closed_by_peer()
        assert fresh.is_closed_by_peer()
        assert_ends_well(gateway)
    assert time.monotonic() - started < ENDS_WITHIN_SECONDS
