"""All that the package `cryptography` does here: AES-256-GCM, and RS256 and ES256 verified.

To be imported by the functions that need it and by no module at its top: it takes 8 MiB and 10 ms,
and none of it is needed before somebody logs in or lists more than a page.
Source: NIST SP 800-38D; RFC 7518 §3.3, §3.4.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

_COORDINATE_BYTES = 32


class Cipher:
    """AES-GCM under one key of 32 bytes."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, nonce: bytes, plaintext: bytes, bound: bytes) -> bytes:
        """Ciphertext and tag; what is `bound` has to be shown again to decrypt it."""
        return self._cipher.encrypt(nonce, plaintext, bound)

    def decrypt(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes | None:
        """None for what this key did not encrypt, or not as bound to that."""
        try:
            return self._cipher.decrypt(nonce, sealed, bound)
        except InvalidTag:
            return None


class RSAKey:
    """Verifies RS256. Raises: ValueError for numbers that are no key."""

    __slots__ = ("_key",)

    def __init__(self, modulus: int, exponent: int) -> None:
        self._key = RSAPublicNumbers(exponent, modulus).public_key()

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        try:
            self._key.verify(signature, signed, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


class P256Key:
    """Verifies ES256. Raises: ValueError for a point that is not on the curve."""

    __slots__ = ("_key",)

    def __init__(self, x: int, y: int) -> None:
        try:
            self._key = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
        except UnsupportedAlgorithm as exc:
            raise ValueError("this build of OpenSSL has no P-256") from exc

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        try:
            self._key.verify(_der(signature), signed, ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def _der(signature: bytes) -> bytes:
    """JWS writes an ECDSA signature as R then S, 32 bytes each. Raises: ValueError."""
    if len(signature) != 2 * _COORDINATE_BYTES:
        raise ValueError("an ES256 signature has 64 bytes")
    r, s = signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
