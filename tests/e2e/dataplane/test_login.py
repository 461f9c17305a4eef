"""Service accounts log in with what the injector gives a pod: four variables and a token file.

The SDK runs in a process of its own, so that its real credential chain finds everything by itself.
"""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from bucketroute_testing.clients import REGION, RawClient, s3_client, sts_client
from bucketroute_testing.gateway import BUCKET, BackendUnderTest
from bucketroute_testing.login import (
    AUDIENCE,
    REPORTER,
    ROLE_ARN,
    LoginGateway,
    running_login_gateway,
)
from bucketroute_testing.manifests import NAMESPACE
from bucketroute_testing.oidc import OidcIssuer, ProjectedToken
from bucketroute_testing.processes import wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire_types import MiB

_PROGRAM = f"""
import boto3, hashlib
s3 = boto3.client("s3")
body = bytes(range(256)) * (9 * {MiB} // 256)
s3.put_object(Bucket="{BUCKET}", Key="small", Body=b"hello")
s3.upload_fileobj(__import__("io").BytesIO(body), "{BUCKET}", "large")
assert s3.get_object(Bucket="{BUCKET}", Key="small")["Body"].read() == b"hello"
found = s3.get_object(Bucket="{BUCKET}", Key="large")["Body"].read()
assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
print(boto3.client("sts").get_caller_identity()["Arn"])
"""


@pytest.fixture(scope="module")
def login_gateway(
    backend: BackendUnderTest, issuer: OidcIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoginGateway]:
    with running_login_gateway(tmp_path_factory.mktemp("login"), backend, issuer) as gateway:
        yield gateway


def test_boto3_finds_everything_in_the_environment_of_the_pod(
    login_gateway: LoginGateway, issuer: OidcIssuer, tmp_path: Path
) -> None:
    token = ProjectedToken(directory=tmp_path / "projected")
    token.rotate(issuer.mint(REPORTER, AUDIENCE))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **login_gateway.pod_environment(token),
    }
    arn = _run(_PROGRAM, environment)
    assert arn == f"arn:aws:sts::000000000000:assumed-role/{NAMESPACE}.reporter/pod-1"


def _run(program: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.rule("3.12.2", "3.12.3", "3.1.1")
@pytest.mark.parametrize("path", ["", "/"], ids=["no path", "a trailing slash"])
def test_a_session_reads_and_writes(
    login_gateway: LoginGateway, issuer: OidcIssuer, path: str
) -> None:
    with closing(sts_client(login_gateway.endpoint + path)) as client:
        answer = client.assume_role_with_web_identity(
            RoleArn=ROLE_ARN,
            RoleSessionName="pod-1",
            WebIdentityToken=issuer.mint(REPORTER, AUDIENCE),
            DurationSeconds=900,
        )
    assert answer["SubjectFromWebIdentityToken"] == REPORTER
    assert answer["Audience"] == AUDIENCE
    assert answer["Provider"] == issuer.url
    assert answer["ResponseMetadata"]["RequestId"]
    key = login_gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
    with closing(s3_client(login_gateway.endpoint, key)) as s3:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"body")
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"body"


@pytest.mark.rule("3.12.7", "3.12.21")
@pytest.mark.parametrize(
    ("subject", "audience", "lifetime", "code"),
    [
        (REPORTER, AUDIENCE, timedelta(hours=-1), "ExpiredTokenException"),
        (REPORTER, "https://kubernetes.default.svc", timedelta(hours=1), "InvalidIdentityToken"),
        ("system:node:worker", AUDIENCE, timedelta(hours=1), "InvalidIdentityToken"),
    ],
    ids=["expired", "wrong audience", "no service account"],
)
def test_a_token_that_is_not_good_is_refused_as_aws_does(
    login_gateway: LoginGateway,
    issuer: OidcIssuer,
    subject: str,
    audience: str,
    lifetime: timedelta,
    code: str,
) -> None:
    with pytest.raises(ClientError) as caught:
        login_gateway.log_in(issuer.mint(subject, audience, lifetime=lifetime))
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.rule("3.12.6")
def test_a_token_of_another_issuer_is_refused(login_gateway: LoginGateway) -> None:
    with OidcIssuer() as stranger, pytest.raises(ClientError, match="InvalidIdentityToken"):
        login_gateway.log_in(stranger.mint(REPORTER, AUDIENCE))


@pytest.mark.parametrize(
    "subject",
    [f"system:serviceaccount:{NAMESPACE}:other", "system:serviceaccount:team-b:reporter"],
    ids=["another service account", "the same name in another namespace"],
)
def test_whoever_is_not_granted_logs_in_and_is_denied(
    login_gateway: LoginGateway, issuer: OidcIssuer, subject: str
) -> None:
    key = login_gateway.log_in(issuer.mint(subject, AUDIENCE))
    with (
        closing(s3_client(login_gateway.endpoint, key)) as s3,
        pytest.raises(ClientError) as caught,
    ):
        s3.get_object(Bucket=BUCKET, Key="k")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_session_token_of_another_key_pair_is_refused(
    login_gateway: LoginGateway, issuer: OidcIssuer
) -> None:
    token = issuer.mint(REPORTER, AUDIENCE)
    first, second = login_gateway.log_in(token), login_gateway.log_in(token)
    mixed = AccessKey(
        access_key_id=first.access_key_id,
        secret_access_key=first.secret_access_key,
        session_token=second.session_token,
    )
    with (
        closing(s3_client(login_gateway.endpoint, mixed)) as s3,
        pytest.raises(ClientError, match="InvalidToken"),
    ):
        s3.list_objects_v2(Bucket=BUCKET)


def test_curl_needs_nothing_but_the_token(login_gateway: LoginGateway, issuer: OidcIssuer) -> None:
    bearer = ("Authorization", f"Bearer {issuer.mint(REPORTER, AUDIENCE)}")
    host = ("Host", f"127.0.0.1:{login_gateway.process.port}")
    with RawClient(login_gateway.endpoint) as raw:
        raw.send_head("PUT", f"/{BUCKET}/curl", (host, bearer, ("Content-Length", "6")))
        raw.send(b"curled")
        assert raw.read_response("PUT").status == 200
    with RawClient(login_gateway.endpoint) as raw:
        raw.send_head("GET", f"/{BUCKET}/curl", (host, bearer))
        assert raw.read_response().body == b"curled"


def test_a_presigned_url_of_a_session_works(
    login_gateway: LoginGateway, issuer: OidcIssuer
) -> None:
    key = login_gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
    with closing(s3_client(login_gateway.endpoint, key)) as s3:
        s3.put_object(Bucket=BUCKET, Key="shared", Body=b"for you")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "shared"})
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"for you"


@pytest.mark.rule("3.12.18")
def test_a_grant_that_is_removed_ends_open_sessions_rights(
    login_gateway: LoginGateway, issuer: OidcIssuer
) -> None:
    key = login_gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
    with closing(s3_client(login_gateway.endpoint, key)) as s3:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"body")

        def is_denied() -> bool:
            try:
                s3.get_object(Bucket=BUCKET, Key="k")
            except ClientError as error:
                return bool(error.response["Error"]["Code"] == "AccessDenied")
            return False

        login_gateway.grant("someone-else")
        try:
            wait_until(is_denied, deadline_seconds=5, what="the session is denied")
        finally:
            login_gateway.grant("reporter")
        wait_until(lambda: not is_denied(), deadline_seconds=5, what="the grant is back")


def test_get_caller_identity_wants_a_signature_for_sts(
    login_gateway: LoginGateway, issuer: OidcIssuer
) -> None:
    key = login_gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
    client = boto3.session.Session().client(
        "sts",
        endpoint_url=login_gateway.endpoint,
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key="x" * 40,
        aws_session_token=key.session_token,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    with closing(client), pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.get_caller_identity()
