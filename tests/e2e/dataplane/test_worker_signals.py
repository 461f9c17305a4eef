"""`bucketroute-dataplane --workers 2` and signals: every worker drains, and none is left behind."""

import os
import signal
import sys
import threading

import pytest

from bucketroute_testing.gateway_pods import GatewayPod
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, MiB
from bucketroute_testing.worker_pods import (
    CONNECTIONS,
    SECONDS,
    Caller,
    WorkerStage,
    await_metric,
    is_refused,
    wait_gone,
    workers_of,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a pod has several workers on Linux only"
)


async def test_downloads_of_both_workers_finish_after_sigterm(
    stage: WorkerStage, wire: WireBackend
) -> None:
    size = 8 * MiB
    wire.script("GET", "*/big", Answer(generated_bytes=size))

    def test(pod: GatewayPod, caller: Caller) -> None:
        with caller.many_connections() as clients:
            for client in clients:
                caller.begin_get(client, "big")
            await_metric(pod, CONNECTIONS, "in_flight_requests")
            os.kill(pod.process.pid, signal.SIGTERM)
            wait_until(lambda: is_refused(pod), deadline_seconds=SECONDS, what="no more clients")
            assert pod.process.exit_status is None
            answers = [client.read_response() for client in clients]
        assert {answer.status for answer in answers} == {200}
        assert {len(answer.body) for answer in answers} == {size}
        wait_until(
            lambda: pod.process.exit_status is not None,
            deadline_seconds=SECONDS,
            what="the end of the pod",
        )

    await stage.run(test, drain_seconds="15")


async def test_no_request_fails_while_a_lame_pod_hands_its_clients_over(stage: WorkerStage) -> None:
    """By a client that never retries, and leaves when it is told to."""

    def test(pod: GatewayPod, caller: Caller) -> None:
        has_ended = threading.Event()
        outcomes: list[int] = []

        def use() -> None:
            while not has_ended.is_set():
                with caller.connect() as client:
                    for _ in range(20):
                        caller.begin_get(client, "k")
                        answer = client.read_response()
                        outcomes.append(answer.status)
                        if answer.header("connection") == "close":
                            break

        users = [threading.Thread(target=use) for _ in range(4)]
        for user in users:
            user.start()
        os.kill(pod.process.pid, signal.SIGTERM)
        wait_until(lambda: pod.probe("ready") == 1, deadline_seconds=SECONDS, what="unready")
        seen = len(outcomes)
        wait_until(lambda: len(outcomes) > seen + 40, deadline_seconds=SECONDS, what="requests")
        has_ended.set()  # every balancer has heard of it
        for user in users:
            user.join(SECONDS)
        assert set(outcomes) == {200}

    await stage.run(test, lame_duck_seconds="4")


async def test_workers_end_when_their_supervisor_was_killed(
    stage: WorkerStage,
) -> None:
    def test(pod: GatewayPod, caller: Caller) -> None:
        workers = workers_of(pod).values()
        os.kill(pod.process.pid, signal.SIGKILL)
        wait_gone(*workers)
        assert is_refused(pod)

    await stage.run(test, exit_status=-signal.SIGKILL)


async def test_a_terminal_s_interrupt_drains_like_sigterm(
    stage: WorkerStage, wire: WireBackend
) -> None:
    """Which goes to all processes of a group: the workers must not take it for the second one."""

    def test(pod: GatewayPod, caller: Caller) -> None:
        workers = workers_of(pod).values()
        assert {os.getpgid(pid) for pid in workers} & {os.getpgid(pod.process.pid)} == set()
        wire.script("GET", "*/slow", Answer(delay_seconds=2.0))
        with caller.connect() as client:
            caller.begin_get(client, "slow")
            await_metric(pod, 1, "in_flight_requests")
            os.kill(pod.process.pid, signal.SIGINT)
            assert client.read_response().status == 200
        wait_gone(*workers)

    await stage.run(test, drain_seconds="15")


async def test_the_second_signal_ends_all_at_once(stage: WorkerStage) -> None:
    def test(pod: GatewayPod, caller: Caller) -> None:
        workers = workers_of(pod).values()
        for _ in range(2):
            os.kill(pod.process.pid, signal.SIGTERM)
            wait_until(lambda: pod.probe("ready") == 1, deadline_seconds=SECONDS, what="unready")
        wait_gone(*workers)

    await stage.run(test, lame_duck_seconds="600")
