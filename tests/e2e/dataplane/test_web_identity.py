"""The exchange against a real STS: MinIO, which checks token, audience, role and session policy."""

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.sts import StsRefusal, StsUnavailable, client_error
from bucketroute_dataplane.shell.addresses import Resolver
from bucketroute_dataplane.shell.checked_transport import CheckedTransport
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.sts_client import StsClient
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_dataplane.shell.web_identity import WebIdentityExchanger
from bucketroute_snapshot import NetworkScope, WebIdentityAuth
from bucketroute_testing.clients import s3_client
from bucketroute_testing.gateway import BACKEND_BUCKET
from bucketroute_testing.minio import AUDIENCE, GATEWAY_SUBJECT, Minio
from bucketroute_testing.oidc import OidcIssuer, ProjectedToken
from bucketroute_testing.processes import free_port
from bucketroute_testing.signing import AccessKey

_READ_ONLY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"],'
    ' "Resource": ["arn:aws:s3:::*"]}]}'
)


@pytest.fixture
def token(tmp_path: Path) -> ProjectedToken:
    return ProjectedToken(directory=tmp_path / "token")


@pytest.fixture
async def exchanger(token: ProjectedToken) -> AsyncIterator[WebIdentityExchanger]:
    clock = SystemClock()
    sts = StsClient(clock=clock, transport_factory=partial(CheckedTransport, resolver=Resolver()))
    sts.network_scope = NetworkScope.LOOPBACK
    yield WebIdentityExchanger(tokens=TokenFile(token.path), sts=sts, clock=clock)
    await sts.close()


@pytest.fixture
def auth(minio: Minio) -> WebIdentityAuth:
    return WebIdentityAuth(
        role_arn=minio.role_arn,
        sts_endpoint=minio.endpoint,
        session_name="system:serviceaccount:team-a/uploads",
        audience=AUDIENCE,
        duration_seconds=900,
    )


def _access_key(credentials: Credentials) -> AccessKey:
    assert credentials.session_token is not None
    return AccessKey(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key.reveal(),
        session_token=credentials.session_token.reveal(),
    )


@pytest.mark.minio
@pytest.mark.rule("3.11.2", "3.11.3", "3.11.6")
async def test_exchanged_credentials_write(
    minio: Minio, token: ProjectedToken, exchanger: WebIdentityExchanger, auth: WebIdentityAuth
) -> None:
    token.rotate(minio.mint())
    outcome = (await exchanger.exchange(auth)).outcome
    assert isinstance(outcome, Credentials)
    assert outcome.expires_at is not None
    assert 800 < outcome.expires_at - SystemClock().now() <= 901
    with closing(s3_client(minio.endpoint, _access_key(outcome))) as client:
        client.put_object(Bucket=BACKEND_BUCKET, Key="web-identity/a", Body=b"a")


@pytest.mark.minio
@pytest.mark.rule("3.11.2")
async def test_a_session_policy_narrows_the_role(
    minio: Minio, token: ProjectedToken, exchanger: WebIdentityExchanger, auth: WebIdentityAuth
) -> None:
    token.rotate(minio.mint())
    outcome = (await exchanger.exchange(replace(auth, session_policy=_READ_ONLY))).outcome
    assert isinstance(outcome, Credentials)
    with (
        closing(s3_client(minio.endpoint, _access_key(outcome))) as client,
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        client.put_object(Bucket=BACKEND_BUCKET, Key="web-identity/b", Body=b"b")


@pytest.mark.minio
@pytest.mark.rule("3.11.5", "3.11.16")
@pytest.mark.parametrize("wrong", ["audience", "expired", "role", "signature"])
async def test_minio_refuses_in_a_way_that_is_worth_a_retry(
    wrong: str,
    minio: Minio,
    issuer: OidcIssuer,
    token: ProjectedToken,
    exchanger: WebIdentityExchanger,
    auth: WebIdentityAuth,
) -> None:
    tokens = {
        "audience": issuer.mint(GATEWAY_SUBJECT, "someone-else"),
        "expired": issuer.mint(GATEWAY_SUBJECT, AUDIENCE, lifetime=timedelta(hours=-1)),
        "role": minio.mint(),
        "signature": minio.mint()[:-8] + "AAAAAAAA",
    }
    token.rotate(tokens[wrong])
    role_arn = "arn:minio:iam:::role/absent" if wrong == "role" else auth.role_arn
    outcome = (await exchanger.exchange(replace(auth, role_arn=role_arn))).outcome
    assert isinstance(outcome, StsRefusal)
    assert (outcome.code, outcome.retryable) == ("InvalidParameterValue", True)
    assert client_error(outcome, retry_after_seconds=1).status == 502


async def test_a_port_that_nobody_listens_on_is_unavailable(
    token: ProjectedToken, exchanger: WebIdentityExchanger
) -> None:
    token.rotate("e30.eyJzdWIiOiJhIn0.c2ln")
    auth = WebIdentityAuth(
        role_arn="arn:aws:iam::123456789012:role/uploads",
        sts_endpoint=f"http://127.0.0.1:{free_port()}",
        session_name="uploads",
        audience=AUDIENCE,
    )
    outcome = (await exchanger.exchange(auth)).outcome
    assert isinstance(outcome, StsUnavailable)
    assert "ConnectError" in outcome.detail
