"""Every proof that a request may carry, and how each wrong one is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bucketroute_dataplane.core.authenticate import (
    ANYBODY,
    BearerToken,
    Caller,
    Trust,
    authenticate,
)
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import access_key_identity, service_account_identity
from bucketroute_dataplane.core.identity_token import trusted_issuers
from bucketroute_dataplane.core.jwk import KeySet, parse_jwks
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import SessionSealer, new_session
from bucketroute_dataplane.core.sigv4 import SigningKeys
from bucketroute_snapshot import AccessKeySecret, Secret, Snapshot, SnapshotSecrets
from bucketroute_testing.identity_tokens import (
    EXTERNAL,
    NOW,
    NOW_SECONDS,
    TokenMint,
    class_settings,
    jwk,
    jwks,
    rsa_key,
)
from bucketroute_testing.signed_requests import HOST, KEY, PATH, Raw, presigned, signed
from bucketroute_testing.signing import AccessKey

REPORTER = service_account_identity("team-a", "reporter")
LAPTOP = AccessKeySecret(
    namespace="team-a",
    name="laptop",
    access_key_id=KEY.access_key_id,
    secret_access_key=Secret(KEY.secret_access_key),
)
INDEX = RouteIndex(Snapshot(settings=class_settings()), SnapshotSecrets(access_keys=(LAPTOP,)))
SEALER = SessionSealer(SealingRing((b"n" * 32,), lambda size: b"0" * size), "default")
SESSION = new_session(
    REPORTER, "pod-1", expires_at=NOW_SECONDS + 900, random=lambda size: b"r" * size
)
SESSION_KEY = AccessKey(
    access_key_id=SESSION.access_key_id,
    secret_access_key=SESSION.secret_access_key.reveal(),
    session_token=SEALER.seal(SESSION),
)
KNOWN = parse_jwks(jwks(jwk(rsa_key())))


def trust(*, keys: KeySet = KNOWN, sessions: SessionSealer = SEALER) -> Trust:
    return Trust(
        sessions=sessions,
        issuers=trusted_issuers(class_settings()),
        known_key=lambda _issuer, key_id: keys.get(key_id),
    )


TRUST = trust()


def proved(
    headers: Raw, *, query: bytes = b"", trust: Trust = TRUST, late: timedelta = timedelta()
) -> Caller | BearerToken:
    head = RequestHead(b"GET", PATH, query, headers)
    return authenticate(head, INDEX, now=NOW + late, keys=SigningKeys(), trust=trust)


def refused(
    headers: Raw, *, query: bytes = b"", trust: Trust = TRUST, late: timedelta = timedelta()
) -> tuple[str, int]:
    with pytest.raises(S3Error) as caught:
        proved(headers, query=query, trust=trust, late=late)
    return caught.value.code, caught.value.status


def bearer(token: str, scheme: str = "Bearer") -> Raw:
    return [*HOST, (b"authorization", f"{scheme} {token}".encode())]


@pytest.mark.rule("3.10.1")
def test_no_proof_is_anybody() -> None:
    assert proved(HOST) is ANYBODY


@pytest.mark.rule("3.10.9")
def test_an_access_key_is_its_secret_s_identity() -> None:
    caller = proved(signed())
    assert isinstance(caller, Caller)
    assert caller.identity == access_key_identity("team-a", "laptop")
    assert caller.signature is not None


@pytest.mark.rule("3.10.9")
def test_an_unknown_access_key_is_refused() -> None:
    stranger = replace(KEY, access_key_id="AKIDSTRANGER")
    assert refused(signed(key=stranger)) == ("InvalidAccessKeyId", 403)


def test_before_secrets_have_come_an_unknown_access_key_is_no_verdict() -> None:
    empty = trust(sessions=SessionSealer(SealingRing((), lambda size: b"0" * size), "default"))
    stranger = replace(KEY, access_key_id="AKIDSTRANGER")
    assert refused(signed(key=stranger), trust=empty) == ("ServiceUnavailable", 503)
    assert refused(signed(key=SESSION_KEY), trust=empty) == ("ServiceUnavailable", 503)


@pytest.mark.rule("3.10.8")
def test_a_session_is_who_logged_in() -> None:
    caller = proved(signed(key=SESSION_KEY))
    assert isinstance(caller, Caller)
    assert caller.identity == REPORTER
    assert caller.session == SESSION
    assert caller.payload_hash == b"UNSIGNED-PAYLOAD"


@pytest.mark.rule("3.10.8")
@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        (replace(SESSION_KEY, session_token="not-a-seal"), ("InvalidToken", 400)),
        (replace(SESSION_KEY, access_key_id="ASIAOTHER"), ("InvalidToken", 400)),
        (replace(KEY, session_token=SESSION_KEY.session_token), ("InvalidToken", 400)),
        (replace(SESSION_KEY, secret_access_key="wrong"), ("SignatureDoesNotMatch", 403)),
        (replace(SESSION_KEY, session_token=None), ("InvalidAccessKeyId", 403)),
    ],
    ids=["altered token", "another key ID", "an access key's", "wrong secret", "no token"],
)
def test_a_session_that_is_not_whole_is_refused(key: AccessKey, refusal: tuple[str, int]) -> None:
    assert refused(signed(key=key)) == refusal


@pytest.mark.rule("3.10.9")
def test_an_expired_session_is_told_so_whatever_its_signature() -> None:
    late = timedelta(seconds=900)
    assert refused(signed(key=SESSION_KEY), late=late) == ("ExpiredToken", 400)


@pytest.mark.rule("3.12.16")
def test_a_session_whose_sealing_key_has_left_the_ring_is_refused() -> None:
    turned = SessionSealer(SealingRing((b"x" * 32, b"y" * 32), lambda size: b"0" * size), "default")
    assert refused(signed(key=SESSION_KEY), trust=trust(sessions=turned)) == ("InvalidToken", 400)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_of_a_known_key_is_proved_at_once(scheme: str) -> None:
    assert proved(bearer(TokenMint().mint(), scheme)) == Caller(REPORTER, None, None)


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        (TokenMint().mint(exp=0), ("ExpiredToken", 400)),
        (TokenMint().mint(aud="other"), ("InvalidToken", 400)),
        (TokenMint(key=rsa_key("two")).mint(), ("InvalidToken", 400)),
        (TokenMint(issuer="https://evil").mint(), ("InvalidToken", 400)),
        (TokenMint(issuer=EXTERNAL).mint(), ("InvalidToken", 400)),
        ("not-a-token", ("InvalidToken", 400)),
    ],
    ids=["expired", "wrong audience", "forged", "unknown issuer", "other audience", "no token"],
)
def test_a_bearer_token_that_is_not_good_is_refused(token: str, refusal: tuple[str, int]) -> None:
    assert refused(bearer(token)) == refusal


def test_a_bearer_token_of_an_unknown_key_waits_for_it() -> None:
    pending = proved(bearer(TokenMint().mint()), trust=trust(keys={}))
    assert isinstance(pending, BearerToken)
    assert pending.caller(KNOWN["k1"], NOW) == Caller(REPORTER, None, None)
    with pytest.raises(S3Error) as caught:
        pending.caller(None, NOW)
    assert caught.value.code == "InvalidToken"


def test_two_proofs_are_one_too_many() -> None:
    token = TokenMint().mint()
    assert refused(bearer(token), query=presigned()) == ("InvalidRequest", 400)
    twice = [*bearer(token), (b"authorization", b"AWS4-HMAC-SHA256 x")]
    assert refused(twice) == ("InvalidRequest", 400)
    assert refused([twice[0], twice[2], twice[1]]) == ("InvalidRequest", 400)
