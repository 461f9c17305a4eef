"""The operator's real config server, and pods with a real sidecar that it knows."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import ClientError

from bucketroute_snapshot import (
    AccessRule,
    Backend,
    BackendProfile,
    ClassSettings,
    NetworkScope,
    Route,
    RouteState,
    ServiceAccountSubject,
    Snapshot,
    WebIdentityAuth,
)
from bucketroute_snapshot.model import BackendAuth
from bucketroute_testing.clients import s3_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.minio import AUDIENCE
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.operator_objects import review_of
from bucketroute_testing.pods import Pod, SidecarFiles
from bucketroute_testing.processes import wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend

T = TypeVar("T")
SUBJECT = "system:serviceaccount:team-a:app"
BACKEND_BUCKET = "acme-workloads"
READY_SECONDS = 20.0


class SidecarBench:
    """`operator` publishes; `new_pod` gives the volumes of a pod of SUBJECT, with tokens that
    operator and backend accept.
    """

    def __init__(self, root: Path, issuer: OidcIssuer) -> None:
        self._root = root
        self._issuer = issuer
        (root / "operator").mkdir()
        self.operator = OperatorEnd(root / "operator")

    def new_pod(self, name: str = "pod") -> SidecarFiles:
        config_token = self._issuer.mint(SUBJECT, "bucketroute-config")
        self.operator.kube.reviews[config_token] = review_of("team-a", "app", pod_uid="pod-9")
        files = SidecarFiles(folder=self._root / name)
        files.folder.mkdir()
        files.create(config_token=config_token, sts_token=self._issuer.mint(SUBJECT, AUDIENCE))
        return files

    async def in_pod(
        self, files: SidecarFiles, act: Callable[[Pod], T], *, operator_port: int = 0
    ) -> T:
        """Runs the sidecar, and beside it `act` once that is ready."""
        ca, port = self.operator.ca_file.read_text(), operator_port or self.operator.port

        def run() -> T:
            with files.running(operator_port=port, ca=ca) as pod:
                await_ready(pod)
                return act(pod)

        return await asyncio.to_thread(run)


def routes(endpoint: str, auth: BackendAuth, **prefixes: str) -> Snapshot:
    """Routes of team-a by their names and prefixes; its `app` may do everything."""
    everything = AccessRule(
        subjects=(ServiceAccountSubject(namespace="team-a", name="app"),),
        actions=("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    )
    found = [
        Route(
            namespace="team-a",
            name=name,
            bucket=name,
            uid=f"uid-{name}",
            generation=1,
            created_at="2026-01-01T00:00:00Z",
            state=RouteState.ACTIVE,
            exported=True,
            backend=Backend(
                endpoint=endpoint,
                bucket=BACKEND_BUCKET,
                prefix=prefix,
                region="us-east-1",
                profile=BackendProfile.MINIO,
                network_scope=NetworkScope.LOOPBACK,
                auth=auth,
            ),
            access=(everything,),
        )
        for name, prefix in sorted(prefixes.items())
    ]
    settings = ClassSettings(name="default", region="us-east-1")
    return Snapshot(settings=settings, routes=tuple(found))


def role_at(endpoint: str, role_arn: str) -> WebIdentityAuth:
    return WebIdentityAuth(
        role_arn=role_arn, sts_endpoint=endpoint, session_name="team-a.own", audience=AUDIENCE
    )


def wire_routes(wire: WireBackend) -> Snapshot:
    role = "arn:aws:iam::111122223333:role/own"
    return routes(wire.endpoint, role_at(wire.endpoint, role), own="own/")


def await_ready(pod: Pod) -> None:
    wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=READY_SECONDS, what="readiness")


def put(pod: Pod, key: AccessKey) -> str:
    """What a client with this key is told."""
    with closing(s3_client(pod.endpoint, key)) as s3:
        try:
            s3.put_object(Bucket="own", Key="k", Body=b"x")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
    return "written"
