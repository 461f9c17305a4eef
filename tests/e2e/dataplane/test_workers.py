"""`bucketroute-dataplane --workers 2`: one pod to all outside, whatever becomes of a worker."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bucketroute_snapshot.update import ConfigVersion
from bucketroute_testing.clients import s3_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BUCKET, minio_backend
from bucketroute_testing.gateway_pods import (
    GatewayPod,
    applied,
)
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.pods import PROGRAM
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, MiB
from bucketroute_testing.worker_pods import (
    CONNECTIONS,
    SECONDS,
    Caller,
    WorkerStage,
    await_metric,
    metric,
    wait_gone,
    workers_of,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a pod has several workers on Linux only"
)
ROUTE = f"team-a/{BUCKET}"
# A put and a get before the test begins.
OF_STAGE = 2


async def test_a_grant_that_was_taken_away_is_refused_by_both_from_the_acknowledgement_on(
    stage: WorkerStage,
) -> None:
    """On connections of before and on new ones, with a session that one of them has given."""
    loop = asyncio.get_running_loop()
    (route,) = stage.granted.routes
    revoked = replace(stage.granted, routes=(replace(route, access=(), generation=2),))

    def publish() -> ConfigVersion:
        made = asyncio.run_coroutine_threadsafe(_called(partial(stage.publish, revoked)), loop)
        return made.result(SECONDS)

    def test(pod: GatewayPod, caller: Caller) -> None:
        with caller.many_connections() as clients, caller.connection_to(1) as first:
            os.kill(workers_of(pod)[2], signal.SIGSTOP)
            version = publish()
            wait_until(
                lambda: caller.get(first) == 403,
                deadline_seconds=SECONDS,
                what="the first worker has the change",
            )
            assert applied(stage.operator) != version
            os.kill(workers_of(pod)[2], signal.SIGCONT)
            wait_until(
                lambda: applied(stage.operator) == version,
                deadline_seconds=SECONDS,
                what="acknowledgement",
                poll_seconds=0.001,
            )
            assert {caller.get(client) for client in clients} == {403}
            assert {caller.get_anew() for _ in range(CONNECTIONS)} == {403}
        assert metric(pod, "snapshot_swaps_total") == 2

    await stage.run(test)
    polls = stage.operator.metrics.exposition().decode()
    assert "bucketroute_operator_config_nacks_total{" not in polls


async def _called(call: Callable[[], ConfigVersion]) -> ConfigVersion:
    return call()


async def test_a_worker_that_was_killed_is_replaced_while_the_other_serves(
    stage: WorkerStage,
) -> None:
    def test(pod: GatewayPod, caller: Caller) -> None:
        before = workers_of(pod)
        with caller.many_connections():  # so that either has counted some
            pass
        counted = OF_STAGE + CONNECTIONS
        await_metric(pod, counted, "requests_total", route=ROUTE)
        os.kill(before[1], signal.SIGKILL)
        wait_gone(before[1])
        # One after the other, also while the next one comes up and takes its share.
        statuses: list[int] = []

        def has_come() -> bool:
            statuses.append(caller.get_anew())
            return workers_of(pod)[1] != before[1]

        wait_until(has_come, deadline_seconds=SECONDS, what="another worker")
        assert pod.probe("ready") == 0
        assert set(statuses) == {200}
        assert workers_of(pod)[2] == before[2]
        assert metric(pod, "workers") == 2
        assert metric(pod, "worker_restarts_total") == 1
        await_metric(pod, counted + len(statuses), "requests_total", route=ROUTE)
        with caller.many_connections():  # to the new one, too
            pass
        assert "worker 1 ended with -9; next in 0.5 s" in pod.process.log_text()

    await stage.run(test)


async def test_metrics_are_the_sums_of_the_workers(stage: WorkerStage, wire: WireBackend) -> None:
    def test(pod: GatewayPod, caller: Caller) -> None:
        of_gets = {"route": ROUTE, "operation": "GetObject"}
        with caller.many_connections() as clients:
            wire.script("GET", "*/slow", Answer(delay_seconds=2.0))
            for client in clients:
                caller.begin_get(client, "slow")
            await_metric(pod, CONNECTIONS, "in_flight_requests")
            assert {client.read_response().status for client in clients} == {200}
        counted = 1 + 2 * CONNECTIONS
        await_metric(pod, counted, "requests_total", **of_gets)
        await_metric(pod, counted, "request_duration_seconds_count", **of_gets)
        await_metric(pod, 0, "in_flight_requests")
        assert metric(pod, "routes") == 1
        assert metric(pod, "workers") == 2

    await stage.run(test)


async def test_the_worst_of_what_workers_met_is_reported(
    stage: WorkerStage, wire: WireBackend
) -> None:
    """Each asks the STS for itself."""

    def test(pod: GatewayPod, caller: Caller) -> None:
        def told() -> str | None:
            state = stage.operator.channel.state_of("pod-1")
            found = None if state is None else state.credentials.get(ROUTE)
            return None if found is None else found.code

        wait_until(lambda: told() == "Exchanged", deadline_seconds=SECONDS, what="a report")
        assert len(wire.sts.calls) == 2

    await stage.run(test)


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_to_its_end(tmp_path, BUCKETROUTE_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "cannot serve: [Errno 98] Address already in use" in done.stderr


def test_a_pod_whose_workers_cannot_start_ends(tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("no certificate")
    done = run_to_its_end(
        tmp_path,
        BUCKETROUTE_TLS_CERTIFICATE=str(tmp_path / "tls.crt"),
        BUCKETROUTE_TLS_KEY=str(tmp_path / "tls.key"),
    )
    assert done.returncode == 1
    assert "cannot serve: a worker ended with 1 at its start" in done.stderr
    assert "NO_START_LINE" in done.stderr or "PEM" in done.stderr


def run_to_its_end(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "BUCKETROUTE_LISTEN": "127.0.0.1:0",
        "BUCKETROUTE_ADMIN_LISTEN": "127.0.0.1:0",
        "BUCKETROUTE_CONFIG_URL": "https://localhost:1",
        "BUCKETROUTE_CONFIG_CA": str(folder / "none"),
        "BUCKETROUTE_CONFIG_TOKEN_FILE": str(folder / "none"),
    }
    return subprocess.run(
        [PROGRAM, "--workers=2"],
        env=environment | variables,
        check=False,
        timeout=SECONDS,
        capture_output=True,
        text=True,
    )


@pytest.mark.minio
async def test_uploads_in_parts_and_listings_go_on_at_any_worker(
    operator: OperatorEnd, tmp_path: Path, minio: Minio, issuer: OidcIssuer
) -> None:
    """Each part and each page over a connection of its own, on a real object store."""
    stage = WorkerStage(operator, tmp_path, minio_backend(minio), issuer)
    parts = [bytes([number]) * (5 * MiB) for number in range(3)]

    def test(pod: GatewayPod, caller: Caller) -> None:
        def anew(operation: str, **parameters: Any) -> Any:
            with closing(s3_client(pod.endpoint, caller.session)) as s3:
                answer = getattr(s3, operation)(Bucket=BUCKET, **parameters)
                return answer["Body"].read() if "Body" in answer else answer

        for key in (f"listed/{number}" for number in range(12)):
            anew("put_object", Key=key, Body=key.encode())
        upload = anew("create_multipart_upload", Key="whole")["UploadId"]
        tags = [
            anew("upload_part", Key="whole", UploadId=upload, PartNumber=number, Body=body)["ETag"]
            for number, body in enumerate(parts, start=1)
        ]
        made = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
        anew(
            "complete_multipart_upload",
            Key="whole",
            UploadId=upload,
            MultipartUpload={"Parts": made},
        )
        assert anew("get_object", Key="whole") == b"".join(parts)
        keys: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = anew("list_objects_v2", Prefix="listed/", MaxKeys=1, **token)
            keys += [item["Key"] for item in page.get("Contents", [])]  # MinIO's last one has none
            if not page["IsTruncated"]:
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        assert keys == sorted(f"listed/{number}" for number in range(12))

    await stage.run(test)
