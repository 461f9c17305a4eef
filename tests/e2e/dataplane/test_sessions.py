"""Session tokens that are over or not ours, as boto3 sees them.

A true one cannot expire within a test: it lives fifteen minutes at least. These are sealed here
with the key that `serve` keeps in its state folder.
"""

import base64
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bucketroute_dataplane.core.identity import Identity, IdentityKind
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import SessionSealer, new_session
from bucketroute_testing.error_rows import Row, assert_error
from bucketroute_testing.gateway import BUCKET, Gateway, StartGateway, recording_backend
from bucketroute_testing.manifests import NAMESPACE
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend

Seal = Callable[..., AccessKey]


@pytest.fixture
def gateway(wire: WireBackend, start_gateway: StartGateway) -> Gateway:
    return start_gateway(recording_backend(wire))


@pytest.fixture
def seal(gateway: Gateway) -> Seal:
    """Makes a session of a service account with that long to live."""
    found = next(gateway.manifest_file.parents[1].rglob("sealing-key"))

    def sealed(left: timedelta, key: Path = found) -> AccessKey:
        expires_at = int((datetime.now(UTC) + left).timestamp())
        who = Identity(kind=IdentityKind.SERVICE_ACCOUNT, name="pod", namespace=NAMESPACE)
        session = new_session(who, "pod-1", expires_at=expires_at, random=os.urandom)
        ring = SealingRing([base64.b64decode(key.read_text())], os.urandom)
        return AccessKey(
            access_key_id=session.access_key_id,
            secret_access_key=session.secret_access_key.reveal(),
            session_token=SessionSealer(ring, "default").seal(session),
        )

    return sealed


def get_k(client: Any) -> object:
    return client.get_object(Bucket=BUCKET, Key="k")


@pytest.mark.rule("3.13", "3.10.9", "3.12.16")
def test_a_session_that_is_over_is_expired(gateway: Gateway, seal: Seal) -> None:
    with closing(gateway.client(seal(timedelta(seconds=-1)))) as client:
        assert_error(client, Row(call=get_k, status=400, code="ExpiredToken"))
    # What is not over is somebody, who is granted nothing here.
    with closing(gateway.client(seal(timedelta(minutes=1)))) as client:
        assert_error(client, Row(call=get_k, status=403, code="AccessDenied"))


@pytest.mark.rule("3.10.8", "3.12.16")
def test_a_session_that_was_altered_is_not_ours(gateway: Gateway, seal: Seal) -> None:
    true = seal(timedelta(minutes=1))
    assert true.session_token is not None
    altered = AccessKey(
        access_key_id=true.access_key_id,
        secret_access_key=true.secret_access_key,
        session_token=true.session_token[:-8] + "AAAAAAAA",
    )
    with closing(gateway.client(altered)) as client:
        assert_error(client, Row(call=get_k, status=400, code="InvalidToken"))


@pytest.mark.rule("3.12.16", "3.12.17")
def test_a_session_that_was_sealed_by_a_key_that_has_left_the_ring_is_not_ours(
    gateway: Gateway, seal: Seal, tmp_path: Path
) -> None:
    retired = tmp_path / "retired-key"
    retired.write_text(base64.b64encode(os.urandom(32)).decode())
    with closing(gateway.client(seal(timedelta(minutes=1), retired))) as client:
        assert_error(client, Row(call=get_k, status=400, code="InvalidToken"))
