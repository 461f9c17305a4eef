"""Bodies that were read whole: what the client said of them must be true."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.body import IncomingBody
from bucketroute_dataplane.core.buffered import checked_body
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import STREAMING_SIGNED, UNSIGNED_PAYLOAD
from bucketroute_testing.chunked_bodies import CRC32, FRAMINGS, SEED, encoded
from bucketroute_testing.heads import refusal

LIMIT = 10_000
BODY = b"<Delete/>"


def announced(
    payload_hash: bytes = UNSIGNED_PAYLOAD, *, wire: int | None = None, payload: int | None = None
) -> IncomingBody:
    has_trailer = payload_hash in FRAMINGS and payload_hash != STREAMING_SIGNED
    return IncomingBody(
        payload_hash=payload_hash,
        wire_length=wire,
        payload_length=payload,
        trailer=CRC32 if has_trailer else None,
    )


def refused(raw: bytes, incoming: IncomingBody, limit: int = LIMIT) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        checked_body(raw, incoming, SEED, limit)
    return refusal(caught)


def test_a_plain_body_is_its_own_payload() -> None:
    for incoming in (announced(wire=len(BODY)), announced()):
        assert checked_body(BODY, incoming, None, LIMIT) == BODY


@pytest.mark.rule("3.2.8", "3.2.17")
@pytest.mark.parametrize("declared", [0, len(BODY) - 1, len(BODY) + 1])
def test_a_body_of_another_length_is_incomplete(declared: int) -> None:
    assert refused(BODY, announced(wire=declared)) == (400, "IncompleteBody")


@pytest.mark.rule("3.8.11", "3.10.4")
def test_the_signed_hash_of_a_buffered_body_is_checked() -> None:
    digest = sha256(BODY).hexdigest().encode()
    assert checked_body(BODY, announced(digest, wire=len(BODY)), SEED, LIMIT) == BODY
    other = BODY.upper()
    assert refused(other, announced(digest, wire=len(BODY))) == (400, "XAmzContentSHA256Mismatch")


@pytest.mark.parametrize("framing", FRAMINGS, ids=bytes.decode)
@given(payload=st.binary(max_size=2000), has_length=st.booleans())
def test_the_framing_of_a_buffered_body_is_taken_off(
    framing: bytes, payload: bytes, has_length: bool
) -> None:
    raw = encoded(framing, payload)
    incoming = announced(framing, wire=len(raw) if has_length else None, payload=len(payload))
    assert checked_body(raw, incoming, SEED, LIMIT) == payload


@pytest.mark.parametrize("framing", FRAMINGS, ids=bytes.decode)
def test_a_framed_body_that_was_changed_is_refused(framing: bytes) -> None:
    raw = encoded(framing, BODY).replace(BODY, BODY.upper())
    code = "BadDigest" if b"UNSIGNED" in framing else "SignatureDoesNotMatch"
    assert refused(raw, announced(framing, payload=len(BODY)))[1] == code


@pytest.mark.parametrize("framing", FRAMINGS, ids=bytes.decode)
def test_a_framed_body_that_ends_early_is_incomplete(framing: bytes) -> None:
    raw = encoded(framing, BODY)[:-1]
    incoming = announced(framing, payload=len(BODY))
    assert refused(raw, incoming) == (400, "IncompleteBody")


@pytest.mark.rule("3.2.4", "3.2.5")
@pytest.mark.parametrize("framing", FRAMINGS, ids=bytes.decode)
def test_the_decoded_length_is_held_against_the_limit(framing: bytes) -> None:
    incoming = announced(framing, payload=len(BODY))
    assert refused(encoded(framing, BODY), incoming, len(BODY) - 1) == (400, "EntityTooLarge")
