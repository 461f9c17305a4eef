"""Seals: only this ring opens them, only for what they were made for."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.names import BucketNames
from bucketroute_dataplane.core.sealing import SealError, SealingRing, TokenSealer

OLD, NEW = b"o" * 32, b"n" * 32
NAMES = BucketNames(virtual_bucket="data", backend_bucket="acme", prefix="red/")


def counting_nonce() -> Callable[[int], bytes]:
    numbers = iter(range(1_000_000))
    return lambda size: next(numbers).to_bytes(size, "big")


def ring(*keys: bytes) -> SealingRing:
    return SealingRing(keys, counting_nonce())


@given(st.binary(max_size=2048), st.binary(max_size=64))
def test_what_was_sealed_opens_for_its_purpose(plaintext: bytes, purpose: bytes) -> None:
    sealer = ring(NEW)
    assert sealer.open(sealer.seal(plaintext, purpose), purpose) == plaintext


def test_a_seal_is_base64url_without_padding_and_hides_its_content() -> None:
    sealed = ring(NEW).seal(b"red/secret-key", b"p")
    assert sealed.replace("-", "").replace("_", "").isalnum()
    assert "=" not in sealed
    assert "secret" not in sealed


def test_any_key_of_the_ring_opens_and_the_newest_seals() -> None:
    assert ring(NEW, OLD).open(ring(OLD).seal(b"x", b"p"), b"p") == b"x"
    assert ring(NEW).open(ring(NEW, OLD).seal(b"x", b"p"), b"p") == b"x"


def test_a_key_that_has_left_the_ring_opens_nothing() -> None:
    with pytest.raises(SealError):
        ring(NEW).open(ring(OLD).seal(b"x", b"p"), b"p")


def test_every_altered_byte_is_noticed() -> None:
    sealed = ring(NEW).seal(b"x", b"p")
    for index, char in enumerate(sealed[:-1]):
        altered = sealed[:index] + ("A" if char != "A" else "B") + sealed[index + 1 :]
        with pytest.raises(SealError):
            ring(NEW).open(altered, b"p")


@pytest.mark.parametrize(
    "sealed", ["", "AA", "A", "é", "a b", "a+b/", "AQAAAA", "AQ" + "A" * 40, "%%%%"]
)
def test_anything_else_is_no_seal(sealed: str) -> None:
    with pytest.raises(SealError):
        ring(NEW).open(sealed, b"p")


def test_another_purpose_does_not_open() -> None:
    with pytest.raises(SealError):
        ring(NEW).open(ring(NEW).seal(b"x", b"session"), b"list")


@pytest.mark.rule("3.12.15")
def test_two_seals_of_the_same_text_differ() -> None:
    sealer = ring(NEW)
    assert sealer.seal(b"x", b"p") != sealer.seal(b"x", b"p")


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ring(b"short")


def test_an_empty_ring_seals_nothing_and_says_unavailable() -> None:
    with pytest.raises(S3Error) as caught:
        ring().seal(b"x", b"p")
    assert caught.value.code == "ServiceUnavailable"
    with pytest.raises(SealError):
        ring().open(ring(NEW).seal(b"x", b"p"), b"p")


OTHERS = {
    "route": (TokenSealer(ring(NEW), "uid-2"), NAMES, b"a/"),
    "backend-bucket": (
        TokenSealer(ring(NEW), "uid-1"),
        BucketNames(virtual_bucket="data", backend_bucket="other", prefix="red/"),
        b"a/",
    ),
    "backend-prefix": (
        TokenSealer(ring(NEW), "uid-1"),
        BucketNames(virtual_bucket="data", backend_bucket="acme", prefix="blue/"),
        b"a/",
    ),
    "listed-prefix": (TokenSealer(ring(NEW), "uid-1"), NAMES, b"b/"),
    "shifted-parts": (
        TokenSealer(ring(NEW), "uid-1"),
        BucketNames(virtual_bucket="data", backend_bucket="acme", prefix="red/a/"),
        b"",
    ),
}


@pytest.mark.rule("3.7.3")
@pytest.mark.parametrize(("sealer", "names", "prefix"), OTHERS.values(), ids=list(OTHERS))
def test_a_list_token_is_bound_to_route_and_prefix(
    sealer: TokenSealer, names: BucketNames, prefix: bytes
) -> None:
    own = TokenSealer(ring(NEW), "uid-1")
    sealed = own.seal("red/a/key", NAMES, b"a/").encode()
    assert own.open(sealed, NAMES, b"a/") == "red/a/key"
    with pytest.raises(SealError):
        sealer.open(sealed, names, prefix)
