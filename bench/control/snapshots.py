"""Snapshots of any number of routes, with the keys of the load generator and the stub."""

from __future__ import annotations

from bench.requests import BACKEND, BUCKET, CLIENT, REGION
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_snapshot import (
    AccessKeySecret,
    AccessKeySubject,
    AccessRule,
    Backend,
    ClassSettings,
    NetworkScope,
    Route,
    RouteState,
    Secret,
    Snapshot,
    SnapshotSecrets,
    StaticAuth,
    StaticSecret,
    snapshot_digest,
)
from bucketroute_snapshot.codec import snapshot_lines
from bucketroute_snapshot.update import ConfigVersion

_NAMESPACE = "bench"


def held_config(count: int, *, stub_port: int) -> HeldConfig:
    """So many routes of one namespace, the last of which is the load generator's bucket."""
    names = [f"r{number:05}" for number in range(count - 1)] + [BUCKET]
    settings = ClassSettings(name="default", region=REGION)
    snapshot = Snapshot(settings=settings, routes=tuple(_route(name, stub_port) for name in names))
    header, *lines = snapshot_lines(snapshot)
    return HeldConfig(
        version=ConfigVersion(epoch=1, counter=1),
        digest=snapshot_digest(snapshot),
        header=header,
        lines={(_NAMESPACE, name): line for name, line in zip(names, lines, strict=True)},
        snapshot=snapshot,
        secrets=_secrets(),
    )


def _route(name: str, stub_port: int) -> Route:
    subject = AccessKeySubject(namespace=_NAMESPACE, name="client")
    return Route(
        namespace=_NAMESPACE,
        name=name,
        bucket=name,
        uid=f"uid-{name}",
        generation=1,
        created_at="2026-01-01T00:00:00Z",
        state=RouteState.ACTIVE,
        exported=True,
        backend=Backend(
            endpoint=f"http://127.0.0.1:{stub_port}",
            bucket="backend-bucket",
            region=REGION,
            auth=StaticAuth(namespace=_NAMESPACE, secret_name="backend"),
            network_scope=NetworkScope.LOOPBACK,
        ),
        access=(AccessRule(subjects=(subject,), actions=("s3:GetObject",)),),
    )


def _secrets() -> SnapshotSecrets:
    return SnapshotSecrets(
        static=(
            StaticSecret(
                namespace=_NAMESPACE,
                name="backend",
                access_key_id=BACKEND.access_key_id,
                secret_access_key=Secret(BACKEND.secret_access_key),
            ),
        ),
        access_keys=(
            AccessKeySecret(
                namespace=_NAMESPACE,
                name="client",
                access_key_id=CLIENT.access_key_id,
                secret_access_key=Secret(CLIENT.secret_access_key),
            ),
        ),
    )
