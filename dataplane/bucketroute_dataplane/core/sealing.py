"""Opaque strings that only this class's data planes can make and open.

A seal is AES-256-GCM under the newest key of the ring; any key of the ring opens it. What it is
good for is bound as additional data, so a seal made for one purpose opens for no other.
Layout, in base64url without padding: version (1 byte), key ID (4), nonce (12), ciphertext and tag.
Source: NIST SP 800-38D; with random nonces a key is good for 2^32 seals (§8.3).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.names import BucketNames

if TYPE_CHECKING:
    from bucketroute_dataplane.core.primitives import Cipher

KEY_BYTES = 32
NONCE_BYTES = 12

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_AT = len(_VERSION) + _KEY_ID_BYTES
_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/\x00\x00")


class SealError(ValueError):
    """Nothing that this ring sealed for that purpose."""


class SealingRing:
    """The keys that seal and open, newest first; `nonce` returns that many random bytes."""

    __slots__ = ("_ciphers", "_keys", "_nonce")

    def __init__(self, keys: Sequence[bytes], nonce: Callable[[int], bytes]) -> None:
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a sealing key must have {KEY_BYTES} bytes")
        self._keys = tuple(keys)
        self._nonce = nonce
        self._ciphers: list[tuple[bytes, Cipher]] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no keys have come yet."""
        return not self._keys

    def seal(self, plaintext: bytes, purpose: bytes) -> str:
        """Raises: S3Error ServiceUnavailable where the ring is empty (no secrets came yet)."""
        if not self._keys:
            raise s3_error("ServiceUnavailable")
        key_id, cipher = self._by_id()[0]
        nonce = self._nonce(NONCE_BYTES)
        header = _VERSION + key_id
        sealed = header + nonce + cipher.encrypt(nonce, plaintext, header + purpose)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, sealed: str, purpose: bytes) -> bytes:
        """Raises: SealError."""
        raw = _decode(sealed)
        header, nonce = raw[:_NONCE_AT], raw[_NONCE_AT : _NONCE_AT + NONCE_BYTES]
        if header[:1] != _VERSION or len(nonce) != NONCE_BYTES:
            raise SealError("this is no seal")
        for key_id, cipher in self._by_id():
            if header == _VERSION + key_id:
                content = raw[_NONCE_AT + NONCE_BYTES :]
                plaintext = cipher.decrypt(nonce, content, header + purpose)
                if plaintext is not None:
                    return plaintext
        raise SealError("sealed by another ring, for another purpose, or altered")

    def _by_id(self) -> list[tuple[bytes, Cipher]]:
        if self._ciphers is None:
            # Only when something is sealed or opened: the module says why.
            from bucketroute_dataplane.core.primitives import Cipher

            self._ciphers = [(_key_id(key), Cipher(key)) for key in self._keys]
        return self._ciphers


@dataclass(frozen=True, slots=True)
class TokenSealer:
    """Seals the backend's continuation tokens, which may hold backend keys in clear.

    `route` is the route's UID. A token is good for that route, its present backend bucket and
    prefix, and the listed prefix.
    """

    ring: SealingRing
    route: str

    def seal(self, token: str, names: BucketNames, prefix: bytes) -> str:
        return self.ring.seal(token.encode(), self._purpose(names, prefix))

    def open(self, sealed: bytes, names: BucketNames, prefix: bytes) -> str:
        """Raises: SealError."""
        return self.ring.open(
            sealed.decode(errors="replace"), self._purpose(names, prefix)
        ).decode()

    def _purpose(self, names: BucketNames, prefix: bytes) -> bytes:
        parts = (self.route.encode(), names.backend_bucket.encode(), names.prefix.encode(), prefix)
        # Lengths in front, so that no two lists of parts read the same.
        return b"list-token" + b"".join([b"%d:%s" % (len(part), part) for part in parts])


def _key_id(key: bytes) -> bytes:
    return sha256(b"bucketroute sealing key " + key).digest()[:_KEY_ID_BYTES]


def _decode(sealed: str) -> bytes:
    try:
        text = sealed.encode("ascii").translate(_TO_STANDARD)
        return b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise SealError("this is no base64url") from exc
