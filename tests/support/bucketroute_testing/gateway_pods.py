"""A gateway's pod under test: `bucketroute-dataplane` with an operator's end, and its clients."""

import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

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
)
from bucketroute_snapshot.update import ConfigVersion
from bucketroute_testing.clients import s3_client, sts_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BACKEND_BUCKET, BUCKET, BackendUnderTest
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.pods import Pod, running_pod
from bucketroute_testing.signing import AccessKey

SUBJECT = "system:serviceaccount:team-a:reporter"
SECRETS = SnapshotSecrets(sealing_keys=(Secret(b64encode(b"s" * 32).decode()),))


@dataclass(frozen=True, slots=True, kw_only=True)
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


def make_folders(folder: Path, backend: BackendUnderTest) -> Path:
    """What the pod has mounted."""
    for name in ("state", "boot"):
        (folder / name).mkdir()
    (folder / "sts-token").write_text(backend.token)
    return folder


@contextmanager
def running_gateway_pod(
    folder: Path,
    *,
    operator_port: int,
    ca: Path,
    token: Path,
    exit_status: int = 0,
    **more: str,
) -> Iterator[GatewayPod]:
    """In a folder of `make_folders`; `more` are further settings."""
    with running_pod(
        folder,
        exit_status=exit_status,
        mode="gateway",
        config_url=f"https://localhost:{operator_port}",
        config_ca=str(ca),
        config_token_file=str(token),
        sts_token_file=str(folder / "sts-token"),
        state_dir=str(folder / "state"),
        boot_dir=str(folder / "boot"),
        pod_uid="pod-1",
        **more,
    ) as pod:
        yield GatewayPod(process=pod.process, s3=pod.s3, probes=pod.probes)


def route_to(backend: BackendUnderTest, issuer: OidcIssuer) -> Snapshot:
    """For SUBJECT, whose tokens the issuer mints."""
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
            prefix="of-pods/",
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
                actions=("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
            ),
        ),
    )
    settings = ClassSettings(
        name="default", region="us-east-1", cluster_issuer=issuer.url, cluster_jwks=keys
    )
    return Snapshot(settings=settings, routes=(route,))


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def applied(operator: OperatorEnd) -> ConfigVersion | None:
    """The version that the pod has said to serve."""
    state = operator.channel.state_of("pod-1")
    return None if state is None else state.applied
