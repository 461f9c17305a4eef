"""`bucketroute-dataplane`, the pod's process: its configuration, its probes, its end."""

import asyncio
import gzip
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from bucketroute_dataplane.shell.pod import SNAPSHOT_FILE
from bucketroute_snapshot import (
    AccessRule,
    Backend,
    ClassSettings,
    NetworkScope,
    Route,
    RouteState,
    Secret,
    ServiceAccountSubject,
    Snapshot,
    SnapshotSecrets,
    WebIdentityAuth,
    encode_snapshot,
)
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion, UpdateHeader, lines_digest
from bucketroute_testing.clients import s3_client, sts_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BACKEND_BUCKET, BUCKET, recording_backend
from bucketroute_testing.oidc import OidcIssuer, unverified_token
from bucketroute_testing.pods import Pod, running_pod
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend

SUBJECT = "system:serviceaccount:team-a:reporter"
SECRETS = SnapshotSecrets(sealing_keys=(Secret(b64encode(b"s" * 32).decode()),))


class GatewayPod(Pod):
    """A gateway, and what its clients do."""

    def log_in(self, token: str) -> AccessKey:
        with closing(sts_client(self.endpoint)) as client:
            answer = client.assume_role_with_web_identity(
                RoleArn="arn:aws:iam::000000000000:role/team-a.reporter",
                RoleSessionName="pod-1",
                WebIdentityToken=token,
            )
        found = answer["Credentials"]
        return AccessKey(
            access_key_id=found["AccessKeyId"],
            secret_access_key=found["SecretAccessKey"],
            session_token=found["SessionToken"],
        )

    def round_trip(self, token: str) -> bytes:
        """Log in, write, read."""
        with closing(s3_client(self.endpoint, self.log_in(token))) as s3:
            s3.put_object(Bucket=BUCKET, Key="k", Body=b"through the pod")
            body: bytes = s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
            return body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("state", "boot"):
        (tmp_path / name).mkdir()
    (tmp_path / "sts-token").write_text(unverified_token())
    return tmp_path


@pytest_asyncio.fixture
async def operator(tmp_path: Path) -> AsyncIterator[OperatorEnd]:
    directory = tmp_path / "operator"
    directory.mkdir()
    end = OperatorEnd(directory)
    async with end.listening():
        yield end


@contextmanager
def running_gateway_pod(
    folder: Path, *, operator_port: int, ca: Path, token: Path
) -> Iterator[GatewayPod]:
    with running_pod(
        folder,
        mode="gateway",
        config_url=f"https://localhost:{operator_port}",
        config_ca=str(ca),
        config_token_file=str(token),
        sts_token_file=str(folder / "sts-token"),
        state_dir=str(folder / "state"),
        boot_dir=str(folder / "boot"),
        pod_uid="pod-1",
    ) as pod:
        yield GatewayPod(process=pod.process, s3=pod.s3, probes=pod.probes)


def route_to(wire: WireBackend, issuer: OidcIssuer) -> Snapshot:
    backend = recording_backend(wire)
    with urllib.request.urlopen(f"{issuer.url}/openid/v1/jwks", timeout=5) as answer:
        keys = answer.read().decode()
    route = Route(
        namespace="team-a",
        name=BUCKET,
        bucket=BUCKET,
        uid="uid-1",
        generation=1,
        created_at="2026-01-01T00:00:00Z",
        state=RouteState.ACTIVE,
        exported=True,
        backend=Backend(
            endpoint=backend.endpoint,
            bucket=BACKEND_BUCKET,
            region="us-east-1",
            network_scope=NetworkScope.LOOPBACK,
            auth=WebIdentityAuth(
                role_arn=backend.role_arn,
                sts_endpoint=backend.endpoint,
                session_name="team-a.data",
                audience="sts.amazonaws.com",
            ),
        ),
        access=(
            AccessRule(
                subjects=(ServiceAccountSubject(namespace="team-a", name="reporter"),),
                actions=("s3:GetObject", "s3:PutObject"),
            ),
        ),
    )
    settings = ClassSettings(
        name="default", region="us-east-1", cluster_issuer=issuer.url, cluster_jwks=keys
    )
    return Snapshot(settings=settings, routes=(route,))


def write_boot(folder: Path, snapshot: Snapshot) -> None:
    """As kubelet mounts the operator's boot ConfigMap: no secrets in it."""
    lines = encode_snapshot(snapshot).splitlines(keepends=True)
    header = UpdateHeader(version=ConfigVersion(epoch=1, counter=1), digest=lines_digest(lines))
    content = gzip.compress(b"".join([header.encode(), NO_SECRETS, *lines]))
    (folder / "boot" / SNAPSHOT_FILE).write_bytes(content)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_a_pod_serves_what_the_operator_sends_and_after_a_restart_what_it_kept(
    operator: OperatorEnd, folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    token = issuer.mint(SUBJECT, "bucketroute")
    operator.publish("1.1", route_to(wire, issuer), SECRETS)
    address = operator.address()

    def serve(port: int) -> None:
        ca = operator.ca_file
        with running_gateway_pod(
            folder, operator_port=port, ca=ca, token=address.token_file
        ) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=10, what="readiness")
            assert pod.probe("live") == 0
            assert pod.round_trip(token) == b"through the pod"

    await asyncio.to_thread(serve, operator.port)
    assert operator.words > 0, "the pod has acknowledged nothing"
    await asyncio.to_thread(serve, free_port())


async def test_a_pod_loads_no_cipher_before_somebody_logs_in(
    operator: OperatorEnd, folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    operator.publish("1.1", route_to(wire, issuer), SECRETS)
    address = operator.address()

    def loaded(pod: Pod) -> bool:
        return "/cryptography/" in Path(f"/proc/{pod.process.pid}/maps").read_text()

    def serve() -> None:
        with running_gateway_pod(
            folder, operator_port=operator.port, ca=operator.ca_file, token=address.token_file
        ) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=10, what="readiness")
            assert not loaded(pod)
            pod.log_in(issuer.mint(SUBJECT, "bucketroute"))
            assert loaded(pod)

    await asyncio.to_thread(serve)


async def test_a_grant_that_was_taken_away_is_refused_from_the_acknowledgement_on(
    operator: OperatorEnd, folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    """On an open session, without a new login."""
    granted = route_to(wire, issuer)
    (route,) = granted.routes
    operator.publish("1.1", granted, SECRETS)
    token = operator.address().token_file
    with running_gateway_pod(
        folder, operator_port=operator.port, ca=operator.ca_file, token=token
    ) as pod:
        is_ready = partial(wait_until, lambda: pod.probe("ready") == 0, what="readiness")
        await asyncio.to_thread(is_ready, deadline_seconds=10)
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
            await asyncio.to_thread(has_acknowledged, deadline_seconds=10)
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(write)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert len(wire.requests("PUT")) == 1


def applied(operator: OperatorEnd) -> ConfigVersion | None:
    """The version that the pod has said to serve."""
    state = operator.channel.state_of("pod-1")
    return None if state is None else state.applied


@pytest.mark.rule("3.12.24")
async def test_a_token_with_a_new_key_waits_for_the_operator_to_send_it(
    operator: OperatorEnd, folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    token = issuer.mint(SUBJECT, "bucketroute")
    rotated = route_to(wire, issuer)
    before = replace(rotated.settings, cluster_jwks='{"keys": []}')
    operator.publish("1.1", replace(rotated, settings=before), SECRETS)
    address, ca = operator.address(), operator.ca_file

    def log_in() -> bytes:
        with running_gateway_pod(
            folder, operator_port=operator.port, ca=ca, token=address.token_file
        ) as pod:
            wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=10, what="readiness")
            return pod.round_trip(token)

    logging_in = asyncio.create_task(asyncio.to_thread(log_in))
    is_asked = partial(wait_until, lambda: operator.fresh > 0, what="the pod asks")
    await asyncio.to_thread(is_asked, deadline_seconds=20)
    operator.publish("1.2", rotated, SECRETS)
    assert await logging_in == b"through the pod"
    assert operator.fresh == 1


async def test_a_pod_that_boots_without_the_operator_waits_for_secrets(
    folder: Path, wire: WireBackend, issuer: OidcIssuer
) -> None:
    write_boot(folder, route_to(wire, issuer))
    token = issuer.mint(SUBJECT, "bucketroute")
    with running_gateway_pod(
        folder, operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token"
    ) as pod:
        wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=10, what="readiness")
        with pytest.raises(ClientError) as caught:
            pod.log_in(token)
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_pod_without_any_configuration_lives_and_is_not_ready(folder: Path) -> None:
    with running_gateway_pod(
        folder, operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token"
    ) as pod:
        assert pod.probe("live") == 0
        assert pod.probe("ready") == 1
        assert status_of(f"{pod.endpoint}/{BUCKET}/k") == 503


def test_metrics_are_not_for_clients(folder: Path) -> None:
    with running_gateway_pod(
        folder, operator_port=free_port(), ca=folder / "no-ca", token=folder / "no-token"
    ) as pod:
        with urllib.request.urlopen(f"http://{pod.probes}/metrics", timeout=5) as answer:
            exposed = answer.read().decode()
        assert 'bucketroute_dataplane_config_source{source="none"} 1.0' in exposed
        assert "bucketroute_dataplane_config_last_answer_timestamp_seconds 0.0" in exposed
        assert status_of(f"{pod.endpoint}/-/metrics") == 404
        assert status_of(f"{pod.endpoint}/-/live") == 200
