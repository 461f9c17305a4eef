"""What requests are signed with, by kind of auth, and what the operator hears of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.core.backend_credentials import UNSIGNED, Credentials
from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error
from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_dataplane.shell.backend_credentials import BackendCredentials, RouteHealth
from bucketroute_dataplane.shell.bucket_checks import BucketChecks
from bucketroute_snapshot import (
    Backend,
    Route,
    RouteState,
    Secret,
    SnapshotSecrets,
    StaticAuth,
    StaticSecret,
    UnsignedAuth,
)
from bucketroute_snapshot.model import BackendAuth
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.credential_cache import CacheBench
from bucketroute_testing.swaps import take_up
from bucketroute_testing.web_identity import refusing, web_identity_auth

STATIC = StaticAuth(namespace="team-a", secret_name="keys")


def _backend(auth: BackendAuth) -> Backend:
    return Backend(
        endpoint="https://s3.eu-central-1.amazonaws.com",
        bucket="real-bucket",
        region="eu-central-1",
        auth=auth,
    )


def _route(name: str, auth: BackendAuth | None, state: RouteState = RouteState.ACTIVE) -> Route:
    return Route(
        namespace="team-a",
        name=name,
        bucket=name,
        uid=f"uid-of-{name}",
        generation=1,
        created_at="2027-01-01T00:00:00Z",
        state=state,
        exported=True,
        backend=None if auth is None else _backend(auth),
    )


def serve(credentials: BackendCredentials, routes: Sequence[Route], *, prefetch: bool) -> None:
    """As a swap does, all in one go."""
    take_up(credentials.prepare_routes(routes, prefetch=prefetch))


def _secrets(session_token: str | None = None) -> SnapshotSecrets:
    secret = StaticSecret(
        namespace="team-a",
        name="keys",
        access_key_id="AKIASTATIC",
        secret_access_key=Secret("static-secret"),
        session_token=None if session_token is None else Secret(session_token),
    )
    return SnapshotSecrets(static=(secret,))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CacheBench]:
    bench = CacheBench(tmp_path)
    yield bench
    await bench.close()


@pytest.fixture
def credentials(bench: CacheBench) -> BackendCredentials:
    return BackendCredentials(cache=bench.cache, health=bench.health)


def _health(credentials: BackendCredentials) -> dict[str, tuple[str, str]]:
    return {each.route: (each.state, each.code) for each in credentials.health()}


async def test_a_sidecar_which_gets_no_secret_says_so_at_once(bench: CacheBench) -> None:
    credentials = BackendCredentials(cache=bench.cache, health=bench.health, is_sidecar=True)
    with pytest.raises(S3Error) as caught:
        await credentials.get(_backend(STATIC))
    error = caught.value
    assert (error.code, error.status) == ("ServiceUnavailable", 503)
    assert error.retry_after_seconds is None, "it never comes"
    assert "Secret" in error.message


@pytest.mark.rule("3.11.6")
async def test_web_identity_gives_key_secret_and_session_token(
    credentials: BackendCredentials,
) -> None:
    backend = _backend(web_identity_auth())
    assert credentials.peek(backend) is None
    got = await credentials.get(backend)
    assert isinstance(got, Credentials)
    assert got.access_key_id == "ASIA0000000000000001"
    assert got.secret_access_key.reveal() == "secret-access-key-1"
    assert got.session_token is not None
    assert got.session_token.reveal() == "session-token-1"
    assert credentials.peek(backend) is got


async def test_a_public_backend_is_unsigned_by_name(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    backend = _backend(UnsignedAuth())
    assert credentials.peek(backend) is UNSIGNED
    assert await credentials.get(backend) is UNSIGNED
    assert bench.sts.calls == 0


@pytest.mark.parametrize("token", [None, "a-session-token"])
async def test_static_credentials_come_from_the_secret(
    credentials: BackendCredentials, token: str | None
) -> None:
    credentials.update_secrets(_secrets(token))
    assert await credentials.get(_backend(STATIC)) == Credentials(
        access_key_id="AKIASTATIC",
        secret_access_key=Secret("static-secret"),
        session_token=None if token is None else Secret(token),
    )


async def test_static_credentials_are_replaced_and_withdrawn(
    credentials: BackendCredentials,
) -> None:
    credentials.update_secrets(_secrets())
    credentials.update_secrets(_secrets("a-session-token"))
    got = credentials.peek(_backend(STATIC))
    assert isinstance(got, Credentials)
    assert got.session_token == Secret("a-session-token")
    credentials.update_secrets(SnapshotSecrets())
    assert credentials.peek(_backend(STATIC)) is None


async def test_a_missing_secret_is_503_with_retry_after(credentials: BackendCredentials) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        await credentials.get(_backend(STATIC))
    error = caught.value
    assert (error.code, error.status) == ("ServiceUnavailable", 503)
    assert error.retry_after_seconds == 5
    assert "team-a/keys" in error.detail
    assert "keys" not in error.message


async def test_credentials_that_are_late_are_never_taken_for_unsigned(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    def down(_serial: int) -> httpx.Response:
        raise httpx.ConnectError("refused")

    bench.sts.answer = down
    backend = _backend(web_identity_auth())
    with pytest.raises(BackendUnavailableError):
        await credentials.get(backend)
    assert credentials.peek(backend) is None
    with pytest.raises(BackendUnavailableError):
        await credentials.get(backend)


async def test_a_gateway_exchanges_once_for_each_new_route(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    routes = [
        _route("a", web_identity_auth(role="a")),
        _route("suspended", web_identity_auth(role="b"), RouteState.SUSPENDED),
        _route("public", UnsignedAuth()),
        _route("unresolved", None, RouteState.UNRESOLVED),
    ]
    serve(credentials, routes, prefetch=True)
    serve(credentials, routes, prefetch=True)
    await bench.clock.advance(5)
    assert [form["RoleArn"] for form in bench.sts.forms] == ["arn:aws:iam::123456789012:role/a"]


async def test_a_changed_route_whose_exchange_failed_is_exchanged_for_again(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    bench.sts.answer = refusing("AccessDenied")
    route = _route("a", web_identity_auth())
    serve(credentials, [route], prefetch=True)
    await bench.clock.advance(2)
    serve(credentials, [route], prefetch=True)
    await bench.clock.advance(2)
    assert bench.sts.calls == 1
    bench.sts.answer = None
    serve(credentials, [replace(route, generation=2)], prefetch=True)
    await bench.clock.advance(2)
    assert bench.sts.calls == 2
    assert _health(credentials) == {"team-a/a": ("True", "Exchanged")}


async def test_a_role_that_a_backend_was_given_is_exchanged_for_though_the_route_is_the_same(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    """What a BucketBackend says of itself may be corrected without any edit of its routes."""
    for role in ("a", "b", "b"):
        serve(credentials, [_route("a", web_identity_auth(role=role))], prefetch=True)
        await bench.clock.advance(2)
    assert [form["RoleArn"][-1] for form in bench.sts.forms] == ["a", "b"]
    assert _health(credentials) == {"team-a/a": ("True", "Exchanged")}


@pytest.mark.parametrize(
    ("bucket", "said"),
    [
        (None, ("Unknown", "NotTried", "Unknown")),
        (BucketState.NOT_FOUND, ("True", "NotNeeded", "NotFound")),
    ],
    ids=["being asked for", "answered"],
)
async def test_credentials_and_bucket_of_a_route_are_told_of_together(
    bench: CacheBench, bucket: BucketState | None, said: tuple[str, str, str]
) -> None:
    class Buckets(BucketChecks):
        def state_of(self, uid: str) -> BucketState | None:
            return bucket if uid == "uid-of-public" else BucketState.UNKNOWN

    async def ask(_target: BackendTarget) -> BucketState:
        raise AssertionError

    buckets = Buckets(
        ask,
        has_credentials=lambda _backend: True,
        prefetch=lambda _key: None,
        clock=lambda: 0.0,
    )
    credentials = BackendCredentials(cache=bench.cache, health=bench.health, buckets=buckets)
    serve(credentials, [_route("public", UnsignedAuth())], prefetch=True)
    (told,) = credentials.health()
    assert (told.state, told.code, told.bucket) == said


async def test_without_prefetch_nothing_is_exchanged_before_a_request(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    serve(credentials, [_route("a", web_identity_auth())], prefetch=False)
    await bench.clock.advance(60)
    assert bench.sts.calls == 0
    assert _health(credentials) == {"team-a/a": ("Unknown", "NotTried")}


async def test_a_new_snapshot_with_the_same_backend_keeps_its_credentials(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    first, second = (_backend(web_identity_auth()) for _ in range(2))
    serve(credentials, [replace(_route("a", None), backend=first)], prefetch=False)
    got = await credentials.get(first)
    serve(credentials, [replace(_route("a", None), backend=second)], prefetch=False)
    assert credentials.peek(second) is got
    assert credentials.peek(first) is got
    assert bench.sts.calls == 1


async def test_credentials_of_a_removed_route_are_forgotten(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    route = _route("a", web_identity_auth())
    serve(credentials, [route], prefetch=True)
    await bench.clock.advance(1)
    serve(credentials, [], prefetch=True)
    assert route.backend is not None
    assert credentials.peek(route.backend) is None
    serve(credentials, [route], prefetch=False)
    assert _health(credentials) == {"team-a/a": ("Unknown", "NotTried")}


@pytest.mark.rule("3.11.17")
async def test_health_tells_route_state_code_and_time(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    serve(credentials, [_route("a", web_identity_auth())], prefetch=True)
    await bench.clock.advance(1)
    assert list(credentials.health()) == [
        RouteHealth(
            route="team-a/a",
            uid="uid-of-a",
            generation=1,
            state="True",
            code="Exchanged",
            at=1_800_000_000.0,
        )
    ]


@pytest.mark.rule("3.11.17")
async def test_health_of_what_needs_no_exchange(credentials: BackendCredentials) -> None:
    routes = [
        _route("public", UnsignedAuth()),
        _route("static", STATIC),
        _route("none", None, RouteState.UNRESOLVED),
    ]
    serve(credentials, routes, prefetch=True)
    assert _health(credentials) == {
        "team-a/public": ("True", "NotNeeded"),
        "team-a/static": ("False", "SecretMissing"),
    }
    credentials.update_secrets(_secrets())
    assert _health(credentials)["team-a/static"] == ("True", "NotNeeded")


@pytest.mark.rule("3.11.17")
@pytest.mark.parametrize(("code", "state"), [("AccessDenied", "False"), ("Throttling", "True")])
async def test_a_trust_that_was_taken_away_shows_at_the_next_renewal(
    credentials: BackendCredentials, bench: CacheBench, code: str, state: str
) -> None:
    auth = web_identity_auth()
    serve(credentials, [_route("a", auth)], prefetch=True)
    await bench.clock.advance(60)
    assert credentials.peek(_backend(auth)) is not None
    bench.sts.answer = refusing(code)
    await bench.clock.advance(3240)
    assert credentials.peek(_backend(auth)) is not None
    assert _health(credentials) == {"team-a/a": (state, code)}


async def test_a_trust_that_was_taken_away_for_long_and_comes_back_shows_too(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    auth = web_identity_auth()
    serve(credentials, [_route("a", auth)], prefetch=True)
    await bench.clock.advance(60)
    assert credentials.peek(_backend(auth)) is not None
    good, bench.sts.answer = bench.sts.answer, refusing("AccessDenied")
    for _ in range(8):
        await bench.clock.advance(600)  # beyond the end of the session
    assert credentials.peek(_backend(auth)) is None
    assert _health(credentials) == {"team-a/a": ("False", "AccessDenied")}
    bench.sts.answer = good
    for _ in range(4):
        await bench.clock.advance(300)
    assert _health(credentials) == {"team-a/a": ("True", "Exchanged")}


@pytest.mark.rule("3.11.17")
async def test_the_health_of_a_route_that_nobody_uses_stays_known(
    credentials: BackendCredentials, bench: CacheBench
) -> None:
    serve(credentials, [_route("a", web_identity_auth())], prefetch=True)
    await bench.clock.advance(7200)
    assert len(bench.observer.drops) == 1
    assert _health(credentials) == {"team-a/a": ("True", "Exchanged")}


async def test_closing_closes_the_cache(credentials: BackendCredentials) -> None:
    await credentials.close()
    with pytest.raises(BackendUnavailableError):
        await credentials.get(_backend(web_identity_auth()))
