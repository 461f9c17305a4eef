"""A gateway's pod looks for the buckets of its routes, and tells the operator what it found."""

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bucketroute_operator.core.rollout import CredentialState, bucket_found, credential_ready
from bucketroute_snapshot import Route, Secret, Snapshot, StaticAuth, StaticSecret, WebIdentityAuth
from bucketroute_snapshot.model import BackendAuth
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.gateway import BACKEND_BUCKET, minio_backend
from bucketroute_testing.gateway_pods import SECRETS, make_folders, route_to, running_gateway_pod
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.processes import wait_until

MISSING = "acme-backend-misspelt"
SECONDS = 20
KEYS = StaticAuth(namespace="team-a", secret_name="keys")


def to(route: Route, name: str, *, bucket: str, auth: BackendAuth | None = None) -> Route:
    """A route of its own, to another bucket or by other credentials."""
    assert route.backend is not None
    backend = replace(route.backend, bucket=bucket, auth=auth or route.backend.auth)
    return replace(route, name=name, bucket=name, uid=f"uid-of-{name}", backend=backend)


def snapshot_of(minio: Minio, issuer: OidcIssuer) -> Snapshot:
    """The role may list every bucket; narrowed to writing, none."""
    served = route_to(minio_backend(minio), issuer)
    (route,) = served.routes
    assert route.backend is not None
    assert isinstance(route.backend.auth, WebIdentityAuth)
    policy = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::*/*"]}
    narrowed = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    writing = replace(route.backend.auth, session_policy=narrowed)
    routes = (
        to(route, "by-keys", bucket=BACKEND_BUCKET, auth=KEYS),
        to(route, "by-role", bucket=BACKEND_BUCKET),
        to(route, "by-role-elsewhere", bucket=MISSING),
        to(route, "for-writing", bucket=BACKEND_BUCKET, auth=writing),
    )
    return replace(served, routes=routes)


@pytest.mark.minio
@pytest.mark.parametrize("more", [{}, {"workers": "2"}], ids=["one process", "two workers"])
async def test_the_operator_hears_which_buckets_there_are(
    operator: OperatorEnd, minio: Minio, issuer: OidcIssuer, tmp_path: Path, more: dict[str, Any]
) -> None:
    keys = StaticSecret(
        namespace=KEYS.namespace,
        name=KEYS.secret_name,
        access_key_id=minio.root.access_key_id,
        secret_access_key=Secret(minio.root.secret_access_key),
    )
    operator.publish("1.1", snapshot_of(minio, issuer), replace(SECRETS, static=(keys,)))
    token = operator.address().token_file
    folder = make_folders(tmp_path, minio_backend(minio))

    def said() -> dict[str, CredentialState]:
        state = operator.channel.state_of("pod-1")
        return {} if state is None else dict(state.credentials)

    with running_gateway_pod(
        folder, operator_port=operator.port, ca=operator.ca_file, token=token, **more
    ):
        has_told = partial(wait_until, lambda: len(said()) == 4, what="a word on every route")
        await asyncio.to_thread(has_told, deadline_seconds=SECONDS)
    assert {name: word.bucket for name, word in said().items()} == {
        "team-a/by-role": BucketState.FOUND,
        "team-a/by-role-elsewhere": BucketState.NOT_FOUND,
        "team-a/for-writing": BucketState.FORBIDDEN,
        "team-a/by-keys": BucketState.FOUND,
    }
    pods = list(operator.channel.states())
    assert bucket_found("team-a/by-role-elsewhere", pods).reason == "BackendBucketNotFound"
    assert credential_ready("team-a/by-role-elsewhere", pods).reason == "Exchanged"
