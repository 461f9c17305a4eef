"""Which keys of a JWK Set are used, and what they verify."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bucketroute_dataplane.core.jwk import MAX_KEYS, JWKSFormatError, decode_base64url, parse_jwks
from bucketroute_testing.identity_tokens import TokenMint, ec_key, jwk, jwks, rsa_key

RSA, EC = jwk(rsa_key(), "r"), jwk(ec_key(), "e")


def _parts(token: str) -> tuple[bytes, bytes]:
    signed, _, signature = token.rpartition(".")
    return decode_base64url(signature), signed.encode()


@pytest.mark.parametrize("key_id", ["r", "e"])
def test_rsa_and_p256_signatures_verify(key_id: str) -> None:
    key = parse_jwks(jwks(RSA, EC))[key_id]
    token = TokenMint(key=rsa_key() if key_id == "r" else ec_key(), key_id=key_id).mint()
    signature, signed = _parts(token)
    assert key.verifies(signature, signed)
    assert not key.verifies(signature, signed + b"x")
    assert not key.verifies(signature[:-1], signed)
    assert not key.verifies(b"", signed)


def test_another_key_does_not_verify() -> None:
    key = parse_jwks(jwks(jwk(rsa_key("two"), "r")))["r"]
    assert not key.verifies(*_parts(TokenMint().mint()))


def test_a_key_says_what_it_is_for() -> None:
    keys = parse_jwks(jwks({**RSA, "alg": "RS256", "use": "sig"}, EC))
    assert {name: key.algorithm for name, key in keys.items()} == {"r": "RS256", "e": "ES256"}


@pytest.mark.parametrize(
    "entry",
    [
        {**RSA, "use": "enc"},
        {**RSA, "alg": "RS512"},
        {**RSA, "alg": "ES256"},
        {**RSA, "kty": "oct", "k": "c2VjcmV0"},
        {**RSA, "n": "AQAB"},
        {**RSA, "n": 5},
        {**RSA, "n": "not base64!"},
        {**RSA, "n": "A"},
        {**RSA, "e": "Ag"},
        {**RSA, "e": "AQAAAAAAAQ"},
        {**EC, "crv": "P-384"},
        {**EC, "x": EC["y"]},
        {key: value for key, value in RSA.items() if key != "kid"},
        {**RSA, "kid": 5},
        "no object",
        jwk(rsa_key("small", 1024), "r"),
        jwk(ec.generate_private_key(ec.SECP384R1()), "e"),
    ],
)
def test_a_key_that_is_not_usable_is_passed_over(entry: Any) -> None:
    assert parse_jwks(jwks(entry)) == {}
    assert set(parse_jwks(jwks(entry, jwk(ec_key(), "good")))) == {"good"}


def test_the_first_of_two_keys_with_one_id_counts() -> None:
    assert parse_jwks(jwks(RSA, jwk(ec_key(), "r")))["r"].algorithm == "RS256"


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"keys": {}}', "[" * 100_000, jwks(*[RSA] * (MAX_KEYS + 1))],
    ids=["empty", "list", "no keys", "keys no list", "deep", "too many"],
)
def test_what_is_no_key_set_is_refused(document: str) -> None:
    with pytest.raises(JWKSFormatError):
        parse_jwks(document)
