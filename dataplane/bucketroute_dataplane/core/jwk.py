"""Public keys of token issuers: a JWK Set read into keys, and a signature checked with one.

Keys that are not for RS256 or ES256 signatures are passed over, as RFC 7517 §5 has it: an issuer
may publish more than is needed here.
Source: RFC 7517 (JWK), RFC 7518 §3.3, §3.4, §6.2, §6.3 (RS256, ES256, EC and RSA parameters).
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

RS256 = "RS256"
ES256 = "ES256"
MAX_KEYS = 100

# RFC 7518 §3.3 asks for 2,048 bits at least. Above 8,192 a check takes milliseconds of the loop.
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT = 2**32

KeySet = Mapping[str, "VerificationKey"]


class JWKSFormatError(ValueError):
    """The document is no JWK Set."""


class PublicKey(Protocol):
    """Of `core.primitives`."""

    def verifies(self, signature: bytes, signed: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm that it is for."""

    algorithm: str
    key: PublicKey = field(compare=False, repr=False)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        return self.key.verifies(signature, signed)


def parse_jwks(document: str | bytes) -> KeySet:
    """The usable keys of a JWK Set by their key ID; of two with one ID, the first.

    Raises: JWKSFormatError.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise JWKSFormatError("a JWK Set is a JSON object with a list of keys")
    if len(entries) > MAX_KEYS:
        raise JWKSFormatError(f"a JWK Set of more than {MAX_KEYS} keys is not taken")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(key_id := entry.get("kid"), str):
            key = _parse_key(entry)
            if key is not None:
                keys.setdefault(key_id, key)
    return keys


def _parse_key(entry: Mapping[str, object]) -> VerificationKey | None:
    if entry.get("use", "sig") != "sig":
        return None
    try:
        match entry.get("kty"):
            case "RSA":
                key = _rsa(entry)
            case "EC" if entry.get("crv") == "P-256":
                key = _elliptic(entry)
            case _:
                return None
    except ValueError:
        return None
    if key is None or entry.get("alg", key.algorithm) != key.algorithm:
        return None
    return key


def _rsa(entry: Mapping[str, object]) -> VerificationKey | None:
    modulus, exponent = _number(entry.get("n")), _number(entry.get("e"))
    is_sound = _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS
    if not is_sound or exponent > _MAX_RSA_EXPONENT:
        return None
    from bucketroute_dataplane.core.primitives import RSAKey  # that module says why here

    return VerificationKey(RS256, RSAKey(modulus, exponent))


def _elliptic(entry: Mapping[str, object]) -> VerificationKey:
    from bucketroute_dataplane.core.primitives import P256Key  # that module says why here

    return VerificationKey(ES256, P256Key(_number(entry.get("x")), _number(entry.get("y"))))


def _number(text: object) -> int:
    """Raises: ValueError."""
    if not isinstance(text, str):
        raise ValueError("a key's parameter is base64url text")
    return int.from_bytes(decode_base64url(text), "big")


def decode_base64url(text: str) -> bytes:
    """Raises: ValueError for anything but base64url without padding (RFC 7515 §2)."""
    if not text.isascii() or not text.replace("-", "a").replace("_", "a").isalnum():
        raise ValueError("not base64url")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise ValueError("not base64url") from exc
