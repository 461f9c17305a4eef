"""Tokens that are not good, in each of the two ways to show one: refused as AWS does.

A login answers in STS's words, a bearer token in a request to S3 in S3's. Who is somebody, but not
somebody that the route grants anything, gets in and is denied: test_login.py.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.clients import RawClient
from bucketroute_testing.gateway import BUCKET, recording_backend
from bucketroute_testing.login import AUDIENCE, REPORTER, LoginGateway, running_login_gateway
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend

EXPIRED, WRONG = ("ExpiredTokenException", "ExpiredToken"), ("InvalidIdentityToken", "InvalidToken")
Token = Callable[[OidcIssuer], str]
# What is wrong → the token, and how STS and S3 call it.
TOKENS: dict[str, tuple[Token, tuple[str, str]]] = {
    "expired": (
        lambda issuer: issuer.mint(REPORTER, AUDIENCE, lifetime=timedelta(hours=-1)),
        EXPIRED,
    ),
    "audience of the API server": (
        lambda issuer: issuer.mint(REPORTER, "https://kubernetes.default.svc"),
        WRONG,
    ),
    "audience of a backend": (lambda issuer: issuer.mint(REPORTER, "sts.amazonaws.com"), WRONG),
    "audience of the config server": (
        lambda issuer: issuer.mint(REPORTER, "bucketroute-config"),
        WRONG,
    ),
    "forged signature": (lambda issuer: issuer.forge(REPORTER, AUDIENCE), WRONG),
    "no service account": (lambda issuer: issuer.mint("system:node:worker", AUDIENCE), WRONG),
    "no token at all": (lambda issuer: "not.a.token", WRONG),
}


@pytest.fixture(scope="module")
def own_issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def retired_token(own_issuer: OidcIssuer) -> str:
    """A token whose key the issuer has deleted since."""
    token = own_issuer.mint(REPORTER, AUDIENCE)
    own_issuer.rotate()
    return token


@pytest.fixture(scope="module")
def gateway(
    shared_wire: WireBackend,
    own_issuer: OidcIssuer,
    retired_token: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LoginGateway]:
    directory = tmp_path_factory.mktemp("refused")
    with running_login_gateway(directory, recording_backend(shared_wire), own_issuer) as running:
        yield running


def refused_login(gateway: LoginGateway, token: str) -> str:
    with pytest.raises(ClientError) as caught:
        gateway.log_in(token)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Code"])


def refused_bearer(gateway: LoginGateway, token: str) -> str:
    headers = (
        ("Host", f"127.0.0.1:{gateway.process.port}"),
        ("Authorization", f"Bearer {token}"),
    )
    with RawClient(gateway.endpoint) as raw:
        raw.send_head("GET", f"/{BUCKET}/k", headers)
        response = raw.read_response()
    assert response.status == 400
    assert token.encode() not in response.body
    return ET.fromstring(response.body).findtext("Code") or ""


@pytest.mark.rule("3.12.7", "3.12.21")
@pytest.mark.parametrize("what", TOKENS)
def test_a_token_that_is_not_good_is_refused(
    what: str, gateway: LoginGateway, own_issuer: OidcIssuer
) -> None:
    make, (of_sts, of_s3) = TOKENS[what]
    token = make(own_issuer)
    assert refused_login(gateway, token) == of_sts
    assert refused_bearer(gateway, token) == of_s3


def test_a_token_whose_key_the_issuer_has_deleted_is_refused(
    gateway: LoginGateway, own_issuer: OidcIssuer, retired_token: str
) -> None:
    assert refused_login(gateway, retired_token) == "InvalidIdentityToken"
    assert refused_bearer(gateway, retired_token) == "InvalidToken"
    assert gateway.log_in(own_issuer.mint(REPORTER, AUDIENCE)).session_token


def test_no_token_is_in_the_log(gateway: LoginGateway, own_issuer: OidcIssuer) -> None:
    """Of a token, whoever has the signature has all: the rest can be guessed."""
    good, forged = own_issuer.mint(REPORTER, AUDIENCE), own_issuer.forge(REPORTER, AUDIENCE)
    key = gateway.log_in(good)
    refused_login(gateway, forged)
    refused_bearer(gateway, forged)
    wait_until(
        lambda: '"InvalidToken"' in gateway.process.log_text(),
        deadline_seconds=10,
        what="the refusal is logged",
    )
    log = gateway.process.log_text()
    for secret in (good, forged, key.session_token or "", key.secret_access_key):
        assert secret.rpartition(".")[2] not in log
