"""`bucketroute-dataplane`, the pod's process: its configuration, its probes, its end."""

import asyncio
import gzip
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from bucketroute_dataplane.shell.pod_config import SNAPSHOT_FILE
from bucketroute_snapshot import (
    Snapshot,
    encode_snapshot,
)
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion, UpdateHeader, lines_digest
from bucketroute_testing.clients import s3_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BUCKET, recording_backend
from bucketroute_testing.gateway_pods import (
    SECRETS,
    SUBJECT,
    GatewayPod,
    applied,
    make_folders,
    route_to,
    running_gateway_pod,
    status_of,
)
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.wire import WireBackend

RunPod = Callable[..., AbstractContextManager[GatewayPod]]
SECONDS = 20


@pytest.fixture
def folder(tmp_path: Path, wire: WireBackend) -> Path:
    return make_folders(tmp_path, recording_backend(wire))


@pytest.fixture(params=[{}, {"workers": "2"}], ids=["one process", "two workers"])
def run_pod(folder: Path, request: pytest.FixtureRequest) -> RunPod:
    """Whatever the number of its processes, a pod is one data plane."""
    return partial(running_gateway_pod, folder, **request.param)


def write_boot(folder: Path, snapshot: Snapshot) -> None:
    """As kubelet mounts the operator's boot ConfigMap: no secrets in it."""
    lines = encode_snapshot(snapshot).splitlines(keepends=True)
    header = UpdateHeader(version=ConfigVersion(epoch=1, counter=1), digest=lines_digest(lines))
    content = gzip.compress(b"".join([header.encode(), NO_SECRETS, *lines]))
    (folder / "boot" / SNAPSHOT_FILE).write_bytes(content)


async def test_a_pod_serves_what_the_operator_sends_and_after_a_restart_what_it_kept(
    operator: OperatorEnd, run_pod: RunPod, wire: WireBackend, issuer: OidcIssuer
) -> None:
    token = issuer.mint(SUBJECT, "bucketroute")
    operator.publish("1.1", route_to(recording_backend(wire), issuer), SECRETS)
    address = operator.address()

    def serve(port: int) -> None:
        ca = operator.ca_file
        with run_pod(operator_port=port, ca=ca, token=address.token_file) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=SECONDS, what="readiness")
            assert pod.probe("live") == 0
            assert pod.round_trip(token) == b"through the pod"

    await asyncio.to_thread(serve, operator.port)
    assert operator.words > 0, "the pod has acknowledged nothing"
    await asyncio.to_thread(serve, free_port())


async def test_a_pod_loads_no_cipher_before_somebody_logs_in(
    operator: OperatorEnd, folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    operator.publish("1.1", route_to(recording_backend(wire), issuer), SECRETS)
    address = operator.address()

    def loaded(pod: GatewayPod) -> bool:
        return "/cryptography/" in Path(f"/proc/{pod.process.pid}/maps").read_text()

    def serve() -> None:
        with running_gateway_pod(
            folder, operator_port=operator.port, ca=operator.ca_file, token=address.token_file
        ) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=SECONDS, what="readiness")
            assert not loaded(pod)
            pod.log_in(issuer.mint(SUBJECT, "bucketroute"))
            assert loaded(pod)

    await asyncio.to_thread(serve)


async def test_a_grant_that_was_taken_away_is_refused_from_the_acknowledgement_on(
    operator: OperatorEnd, run_pod: RunPod, wire: WireBackend, issuer: OidcIssuer
) -> None:
    """On an open session, without a new login."""
    granted = route_to(recording_backend(wire), issuer)
    (route,) = granted.routes
    operator.publish("1.1", granted, SECRETS)
    token = operator.address().token_file
    with run_pod(operator_port=operator.port, ca=operator.ca_file, token=token) as pod:
        is_ready = partial(wait_until, lambda: pod.probe("ready") == 0, what="readiness")
        await asyncio.to_thread(is_ready, deadline_seconds=SECONDS)
        session = await asyncio.to_thread(pod.log_in, issuer.mint(SUBJECT, "bucketroute"))
        with closing(s3_client(pod.endpoint, session)) as s3:
            write = partial(s3.put_object, Bucket=BUCKET, Key="k", Body=b"through the pod")
            await asyncio.to_thread(write)
            revoked = replace(route, access=(), generation=2)
            operator.publish("1.2", replace(granted, routes=(revoked,)), SECRETS)
            has_acknowledged = partial(
                wait_until,
                lambda: applied(operator) == ConfigVersion(epoch=1, counter=2),
                what="acknowledgement",
            )
            await asyncio.to_thread(has_acknowledged, deadline_seconds=SECONDS)
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(write)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert len(wire.requests("PUT")) == 1


@pytest.mark.rule("3.12.24")
async def test_a_token_with_a_new_key_waits_for_the_operator_to_send_it(
    operator: OperatorEnd, run_pod: RunPod, wire: WireBackend, issuer: OidcIssuer
) -> None:
    token = issuer.mint(SUBJECT, "bucketroute")
    rotated = route_to(recording_backend(wire), issuer)
    before = replace(rotated.settings, cluster_jwks='{"keys": []}')
    operator.publish("1.1", replace(rotated, settings=before), SECRETS)
    address, ca = operator.address(), operator.ca_file

    def log_in() -> bytes:
        with run_pod(operator_port=operator.port, ca=ca, token=address.token_file) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=SECONDS, what="readiness")
            return pod.round_trip(token)

    logging_in = asyncio.create_task(asyncio.to_thread(log_in))
    is_asked = partial(wait_until, lambda: operator.fresh > 0, what="the pod asks")
    await asyncio.to_thread(is_asked, deadline_seconds=20)
    operator.publish("1.2", rotated, SECRETS)
    assert await logging_in == b"through the pod"
    assert operator.fresh == 1


async def test_a_pod_that_boots_without_the_operator_waits_for_secrets(
    folder: Path, run_pod: RunPod, wire: WireBackend, issuer: OidcIssuer
) -> None:
    write_boot(folder, route_to(recording_backend(wire), issuer))
    token = issuer.mint(SUBJECT, "bucketroute")
    with run_pod(operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token") as pod:
        wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=SECONDS, what="readiness")
        with pytest.raises(ClientError) as caught:
            pod.log_in(token)
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_pod_without_any_configuration_lives_and_is_not_ready(
    folder: Path, run_pod: RunPod
) -> None:
    with run_pod(operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token") as pod:
        assert pod.probe("live") == 0
        assert pod.probe("ready") == 1
        assert status_of(f"{pod.endpoint}/{BUCKET}/k") == 503


def test_metrics_are_not_for_clients(folder: Path, run_pod: RunPod) -> None:
    with run_pod(operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token") as pod:
        with urllib.request.urlopen(f"http://{pod.probes}/metrics", timeout=5) as answer:
            exposed = answer.read().decode()
        assert 'bucketroute_dataplane_config_source{source="none"} 1.0' in exposed
        assert "bucketroute_dataplane_config_last_answer_timestamp_seconds 0.0" in exposed
        assert status_of(f"{pod.endpoint}/-/metrics") == 404
        assert status_of(f"{pod.endpoint}/-/live") == 200
