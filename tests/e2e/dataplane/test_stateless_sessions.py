"""Nothing is kept for a session: not in the process that made it, and not on its disk.

What 10,000 of them weigh, and how long logins take, is measured by `make bench-login`.
"""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bucketroute_testing.client_runs import contents
from bucketroute_testing.clients import s3_client
from bucketroute_testing.gateway import BUCKET, recording_backend
from bucketroute_testing.login import AUDIENCE, REPORTER, running_login_gateway
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.wire import WireBackend


def test_a_session_is_good_at_a_gateway_that_has_never_seen_its_login(
    wire: WireBackend, issuer: OidcIssuer, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with running_login_gateway(first, recording_backend(wire), issuer) as gateway:
        key = gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
        with closing(s3_client(gateway.endpoint, key)) as s3:
            s3.put_object(Bucket=BUCKET, Key="k", Body=b"body")
    # All that gateways of a class share is the key that sessions are sealed with.
    (found,) = (first / "state").rglob("sealing-key")
    shared = second / found.relative_to(first)
    shared.parent.mkdir(parents=True)
    shutil.copy(found, shared)
    with (
        running_login_gateway(second, recording_backend(wire), issuer) as gateway,
        closing(s3_client(gateway.endpoint, key)) as s3,
    ):
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"body"


@pytest.mark.rule("3.12.16")
def test_a_session_is_nothing_to_a_gateway_with_another_key(
    wire: WireBackend, issuer: OidcIssuer, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with running_login_gateway(tmp_path / "first", recording_backend(wire), issuer) as gateway:
        key = gateway.log_in(issuer.mint(REPORTER, AUDIENCE))
    with (
        running_login_gateway(tmp_path / "second", recording_backend(wire), issuer) as gateway,
        closing(s3_client(gateway.endpoint, key)) as s3,
        pytest.raises(s3.exceptions.ClientError, match="InvalidToken"),
    ):
        s3.list_objects_v2(Bucket=BUCKET)


def test_logins_leave_nothing_on_disk(
    wire: WireBackend, issuer: OidcIssuer, tmp_path: Path
) -> None:
    with running_login_gateway(tmp_path, recording_backend(wire), issuer) as gateway:
        before = contents(tmp_path / "state")
        for number in range(20):
            token = issuer.mint(f"system:serviceaccount:team-a:app-{number}", AUDIENCE)
            key = gateway.log_in(token)
            with (
                closing(s3_client(gateway.endpoint, key)) as s3,
                pytest.raises(s3.exceptions.ClientError, match="AccessDenied"),
            ):
                s3.list_objects_v2(Bucket=BUCKET)
    assert before
    assert contents(tmp_path / "state") == before
