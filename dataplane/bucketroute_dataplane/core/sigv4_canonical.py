"""The parts that signing and verifying share: canonical forms, dates, scope, signing keys.

No header table, no policy and no clock here.  Everything is bytes, as on the wire.

Sources: AWS "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)"
and RFC 3986 section 2.3 for the unreserved characters.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from hmac import digest as hmac_digest
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = b"AWS4-HMAC-SHA256"

UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
STREAMING_SIGNED = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = sha256(b"").hexdigest().encode()

_BLOCK_BYTES = 64  # of SHA-256; a derived key has 32
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_UNRESERVED = "-_.~"
_is_plain_path = re.compile(rb"[A-Za-z0-9\-._~/]+").fullmatch
_is_unreserved = re.compile(rb"[A-Za-z0-9\-._~]*").fullmatch
_is_amz_date = re.compile(rb"[0-9]{8}T[0-9]{6}Z").fullmatch


def encode_scope(date: bytes, region: bytes, service: bytes) -> bytes:
    """Return a credential scope as it stands in the string to sign."""
    return b"%s/%s/%s/aws4_request" % (date, region, service)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialScope:
    """Day, region and service that a signing key is good for; `encoded` joins them."""

    date: bytes
    region: bytes
    service: bytes
    encoded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        encoded = encode_scope(self.date, self.region, self.service)
        object.__setattr__(self, "encoded", encoded)


class SigningKey:
    """A derived signing key whose padded blocks are hashed already: what is left is the text.

    Source: RFC 2104 section 2 (HMAC) and section 4 (the same thought).
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def sign(self, to_sign: bytes) -> bytes:
        """Return the signature as 64 lower-case hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(to_sign)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


class SigningKeys:
    """A bounded memory of derived signing keys, owned by whoever verifies or signs.

    The secret is part of an entry's key, so a rotated secret never meets an old signing key.
    When full, the oldest entry goes.  Not for use by several threads.
    """

    __slots__ = ("_keys", "_maxsize")

    def __init__(self, *, maxsize: int = 4096) -> None:
        self._keys: dict[tuple[str, bytes], SigningKey] = {}
        self._maxsize = maxsize

    def get(self, secret_access_key: str, scope: bytes) -> SigningKey | None:
        """Return the remembered signing key of an encoded scope."""
        return self._keys.get((secret_access_key, scope))

    def remember(self, secret_access_key: str, scope: bytes, key: SigningKey) -> None:
        """Keep a key that `get` did not have.

        A verifier calls this when the key has proved its use: requests that fail, whose region
        anyone can invent, push nothing out.
        """
        if len(self._keys) >= self._maxsize:
            del self._keys[next(iter(self._keys))]
        self._keys[secret_access_key, scope] = key


def derive_signing_key(secret_access_key: str, scope: bytes) -> SigningKey:
    """Return the signing key of an encoded scope.  Source: AWS "Calculating a Signature"."""
    key = b"AWS4" + secret_access_key.encode()
    for part in scope.split(b"/"):
        key = hmac_digest(key, part, "sha256")
    return SigningKey(key)


def canonical_path(raw_path: bytes) -> bytes:
    """Decode once, encode once; dot and empty segments stay, as S3 does (and only S3)."""
    if _is_plain_path(raw_path):
        return raw_path
    return quote_from_bytes(unquote_to_bytes(raw_path), safe="/" + _UNRESERVED).encode() or b"/"


def split_query(raw_query: bytes) -> list[tuple[bytes, bytes]]:
    """Split a raw query into decoded (name, value) pairs in their order on the wire.

    A flag has an empty value and empty segments vanish.  A literal '+' is a space, as MinIO and
    Ceph read it in both the signature and the request; clients that mean a plus send %2B, and
    botocore never sends a literal '+' at all.  Whoever acts on the query must read '+' alike.
    """
    pairs = []
    for segment in raw_query.split(b"&"):
        if segment:
            name, _, value = segment.partition(b"=")
            pairs.append((_decode_component(name), _decode_component(value)))
    return pairs


def _decode_component(component: bytes) -> bytes:
    if _is_unreserved(component):
        return component
    return unquote_to_bytes(component.replace(b"+", b" "))


def _encode_component(component: bytes) -> bytes:
    if _is_unreserved(component):
        return component
    return quote_from_bytes(component, safe=_UNRESERVED).encode()


def encode_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the canonical query of decoded pairs: encoded, sorted by name, then by value."""
    encoded = sorted([(_encode_component(name), _encode_component(value)) for name, value in pairs])
    return b"&".join([b"%s=%s" % pair for pair in encoded])


def fold_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Map lower-case names to values; values of a repeated header are joined with ','."""
    folded = dict(headers)
    if len(folded) == len(headers):
        return folded
    folded = {}
    for name, value in headers:
        earlier = folded.get(name)
        trimmed = trim_value(value)
        folded[name] = trimmed if earlier is None else b"%s,%s" % (earlier, trimmed)
    return folded


def trim_value(value: bytes) -> bytes:
    """Strip a header value and collapse the white space inside it to single spaces."""
    return b" ".join(value.split())


def canonical_request(
    method: bytes,
    path: bytes,
    *,
    query: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    signed_headers: bytes,
    payload_hash: bytes,
) -> bytes:
    """Join canonical parts; `headers` come in the order of `signed_headers`, each trimmed here."""
    lines = b"".join([b"%s:%s\n" % (name, b" ".join(value.split())) for name, value in headers])
    parts = (method, path, query, lines, signed_headers, payload_hash)
    return b"%s\n%s\n%s\n%s\n%s\n%s" % parts


def string_to_sign(amz_date: bytes, scope: bytes, request: bytes) -> bytes:
    """Return what the signing key signs for a canonical request."""
    digest = sha256(request).hexdigest().encode()
    return b"AWS4-HMAC-SHA256\n%s\n%s\n%s" % (amz_date, scope, digest)


def format_amz_date(moment: datetime) -> bytes:
    """Return `YYYYMMDD'T'HHMMSS'Z'` of an aware datetime."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ").encode()


# Pure; at load, requests of one second bring the same text.
@lru_cache(maxsize=256)
def parse_amz_date(text: bytes) -> datetime | None:
    """Read `YYYYMMDD'T'HHMMSS'Z'` as an aware UTC datetime; None when it is anything else."""
    if not _is_amz_date(text):
        return None
    try:
        return datetime.fromisoformat(text.decode())
    except ValueError:  # the shape is right and the day is not, as in 20260231T000000Z
        return None


@lru_cache(maxsize=256)
def amz_epoch(text: bytes) -> float | None:
    """The same as `parse_amz_date`, in epoch seconds."""
    moment = parse_amz_date(text)
    return moment.timestamp() if moment is not None else None
