"""Sessions: who opens them, for how long, and what they hold."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import (
    Identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import Session, SessionSealer, new_session
from bucketroute_testing.identity_tokens import NOW, NOW_SECONDS

OLD, NEW = b"o" * 32, b"n" * 32
REPORTER = service_account_identity("team-a", "reporter")
_numbers = count()


def counted(size: int) -> bytes:
    return next(_numbers).to_bytes(size, "big")


def sealer(*keys: bytes, class_name: str = "default") -> SessionSealer:
    return SessionSealer(SealingRing(keys, counted), class_name)


def session(identity: Identity = REPORTER, *, seconds: int = 3600) -> Session:
    return new_session(identity, "pod-1", expires_at=NOW_SECONDS + seconds, random=counted)


def refusal(by: SessionSealer, token: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        by.open(token.encode(), NOW)
    return caught.value


@given(
    st.builds(service_account_identity, st.text(max_size=63), st.text(max_size=253))
    | st.builds(oidc_identity, st.text(max_size=200), st.text(max_size=255))
)
def test_a_session_comes_back_as_it_was(identity: Identity) -> None:
    opened = session(identity)
    assert sealer(NEW).open(sealer(NEW).seal(opened).encode(), NOW) == opened


@pytest.mark.rule("3.12.14")
def test_key_pairs_look_like_temporary_ones_of_aws() -> None:
    first, second = session(), session()
    assert first.access_key_id.startswith("ASIA")
    assert len(first.access_key_id) == 20
    assert first.access_key_id.isalnum()
    assert first.access_key_id.isupper()
    assert len(first.secret_access_key.reveal()) == 40
    assert first.access_key_id != second.access_key_id
    assert first.secret_access_key != second.secret_access_key


def test_a_session_token_stays_far_below_the_limits_on_headers() -> None:
    longest = service_account_identity("n" * 63, "s" * 253)
    token = sealer(NEW).seal(replace(session(longest), session_name="x" * 64))
    assert len(token) < 1024
    assert len(sealer(NEW).seal(session(oidc_identity("i" * 200, "s" * 255)))) < 1024


@pytest.mark.rule("3.12.15")
def test_a_token_hides_what_it_holds() -> None:
    opened = session()
    token = sealer(NEW).seal(opened)
    assert "reporter" not in token
    assert opened.secret_access_key.reveal() not in repr(opened)


@pytest.mark.rule("3.12.17")
def test_two_keys_let_the_ring_turn_without_a_session_lost() -> None:
    token = sealer(OLD).seal(session())
    assert sealer(NEW, OLD).open(token.encode(), NOW).identity == REPORTER
    ahead = sealer(NEW, OLD).seal(session())
    assert sealer(OLD, NEW).open(ahead.encode(), NOW).identity == REPORTER


@pytest.mark.rule("3.12.16")
def test_a_session_whose_key_has_left_the_ring_is_replayed_in_vain() -> None:
    error = refusal(sealer(NEW), sealer(OLD).seal(session()))
    assert (error.code, error.status) == ("InvalidToken", 400)


@pytest.mark.rule("3.12.17")
def test_another_class_s_session_does_not_open() -> None:
    token = sealer(NEW, class_name="other").seal(session())
    assert refusal(sealer(NEW), token).code == "InvalidToken"


@pytest.mark.rule("3.12.16")
@pytest.mark.parametrize("token", ["", "x", "AQoDYXdzEJr//////////", "é", "A" * 5000])
def test_what_is_no_session_is_invalid(token: str) -> None:
    assert refusal(sealer(NEW), token).code == "InvalidToken"


def test_every_altered_character_is_noticed() -> None:
    token = sealer(NEW).seal(session())
    for at in range(0, len(token) - 1, 7):
        changed = "A" if token[at] != "A" else "B"
        assert refusal(sealer(NEW), token[:at] + changed + token[at + 1 :]).code == "InvalidToken"


@pytest.mark.rule("3.12.16")
def test_a_session_ends_at_its_second() -> None:
    token = sealer(NEW).seal(session(seconds=900)).encode()
    assert sealer(NEW).open(token, NOW + timedelta(seconds=899)).identity == REPORTER
    with pytest.raises(S3Error) as caught:
        sealer(NEW).open(token, NOW + timedelta(seconds=900))
    assert (caught.value.code, caught.value.status) == ("ExpiredToken", 400)


def test_a_session_of_a_newer_format_is_invalid() -> None:
    newer = SealingRing((NEW,), counted).seal(b'[2,"x"]', b"session default")
    assert refusal(sealer(NEW), newer).code == "InvalidToken"


@pytest.mark.rule("3.12.22")
def test_without_keys_nothing_is_judged_and_nothing_sealed() -> None:
    token = sealer(NEW).seal(session())
    assert sealer().is_empty
    assert refusal(sealer(), token).code == "ServiceUnavailable"
    with pytest.raises(S3Error) as caught:
        sealer().seal(session())
    assert caught.value.status == 503
