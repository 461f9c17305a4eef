"""Limits of a route: what is too much gets 503 SlowDown at once, with Retry-After."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.clients import RawResponse
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_NAME,
    BUCKET,
    Gateway,
    GatewayOptions,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.manifests import AccessRule, RouteBackend, bucket_route
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, KiB

RATE = 5
AT_ONCE = 3
BY_RATE, BY_CONCURRENCY = "by-rate", "by-concurrency"


@pytest.fixture(scope="module")
def gateway(
    shared_wire: WireBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    store = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix="limited/")
    writer = [AccessRule(access_keys=["writer"])]
    limits = {
        BY_RATE: {"requestsPerSecond": RATE},
        BY_CONCURRENCY: {"maxConcurrentRequests": AT_ONCE},
    }
    manifests = tuple(
        bucket_route(name, store, writer, extra={"limits": limit}) for name, limit in limits.items()
    )
    options = GatewayOptions(manifests=manifests)
    directory = tmp_path_factory.mktemp("limits")
    with running_gateway(directory, recording_backend(shared_wire), options) as running:
        yield running
    shared_wire.clear_scripts()


def get(gateway: Gateway, bucket: str, *, times: int) -> list[RawResponse]:
    target = f"/{bucket}/k"
    headers = gateway.signer.sign("GET", gateway.endpoint + target).headers
    answers = []
    with gateway.raw() as raw:
        for _ in range(times):
            raw.send_head("GET", target, headers)
            answers.append(raw.read_response())
    return answers


def get_often(client: Any, *, times: int) -> None:
    for _ in range(times):
        client.get_object(Bucket=BY_RATE, Key="k")


@pytest.mark.rule("3.13")
def test_requests_beyond_the_rate_are_told_to_slow_down(
    gateway: Gateway, shared_wire: WireBackend
) -> None:
    shared_wire.store.put(BACKEND_BUCKET, "limited/k", b"x")
    # An SDK's client takes longer to be made than a token, so it is made before they are used up.
    with closing(gateway.client()) as client:
        answers = get(gateway, BY_RATE, times=RATE * 4)
        with pytest.raises(ClientError, match="SlowDown"):
            get_often(client, times=RATE * 4)
    refused = [answer for answer in answers if answer.status != 200]
    assert [answer.status for answer in answers[:RATE]] == [200] * RATE
    assert {(answer.error_code, answer.header("retry-after")) for answer in refused} == {
        ("SlowDown", "1")
    }
    # The limit is the route's, not the gateway's; and it passes.
    shared_wire.store.put(BACKEND_BUCKET, "tenants/one/k", b"x")
    assert get(gateway, BUCKET, times=1)[0].status == 200
    wait_until(
        lambda: get(gateway, BY_RATE, times=1)[0].status == 200,
        deadline_seconds=3,
        what="the rate allows requests again",
    )


@pytest.mark.rule("3.13")
def test_requests_beyond_the_concurrency_are_told_to_slow_down(
    gateway: Gateway, shared_wire: WireBackend
) -> None:
    slow = Answer(generated_bytes=64 * KiB, dribble_bytes=KiB, dribble_seconds=0.02)
    shared_wire.script("GET", "*/limited/k", slow, times=AT_ONCE)
    before = len(shared_wire.server.heads)
    target = f"/{BY_CONCURRENCY}/k"
    headers = gateway.signer.sign("GET", gateway.endpoint + target).headers
    with ExitStack() as stack:
        running = [stack.enter_context(gateway.raw()) for _ in range(AT_ONCE)]
        for raw in running:
            raw.send_head("GET", target, headers)
        wait_until(
            lambda: len(shared_wire.server.heads) >= before + AT_ONCE,
            deadline_seconds=5,
            what="all of them are at the backend",
        )
        refused = get(gateway, BY_CONCURRENCY, times=1)[0]
        assert (refused.status, refused.error_code) == (503, "SlowDown")
        assert refused.header("retry-after") == "1"
        assert [raw.read_response().status for raw in running] == [200] * AT_ONCE
    shared_wire.store.put(BACKEND_BUCKET, "limited/k", b"x")
    assert get(gateway, BY_CONCURRENCY, times=1)[0].status == 200
