"""The checksums that S3 clients send, as incremental objects, and checks against a stated digest.

One table, `checksum_algorithm`, answers which x-amz-checksum-* headers are understood.  CRC-32C
and CRC-64/NVME come from awscrt, which uses the CPU's instructions for them.

Source: AWS "Checking object integrity in Amazon S3"; botocore `httpchecksum` for the names.
"""

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import md5, sha1, sha256, sha512
from hmac import compare_digest
from typing import Any, Protocol

from bucketroute_dataplane.core.errors import s3_error

BytesLike = bytes | bytearray | memoryview

HEADER_PREFIX = b"x-amz-checksum-"


class Checksum(Protocol):
    """An incremental checksum; hashlib's objects are such as they are."""

    def update(self, data: BytesLike, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC that reads its input in place."""

    __slots__ = ("_digest_bytes", "_function", "_value")

    def __init__(self, function: Callable[[BytesLike, int], int], digest_bytes: int) -> None:
        self._function = function
        self._digest_bytes = digest_bytes
        self._value = 0

    def update(self, data: BytesLike, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._digest_bytes, "big")


class _XxHash:
    """awscrt's xxHash, whose digest can be taken once and whose input must be bytes."""

    __slots__ = ("_digest", "_state")

    def __init__(self, state: Any) -> None:
        self._state = state
        self._digest: bytes | None = None

    def update(self, data: BytesLike, /) -> None:
        self._state.update(bytes(data))

    def digest(self) -> bytes:
        if self._digest is None:
            self._digest = bytes(self._state.finalize())
        return self._digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumAlgorithm:
    """One x-amz-checksum-* header and how its value is computed."""

    header: bytes
    digest_bytes: int
    new: Callable[[], Checksum]

    @property
    def value_bytes(self) -> int:
        """Length of the header's value: base64 with padding."""
        return (self.digest_bytes + 2) // 3 * 4


def _algorithms(
    rows: Iterable[tuple[str, int, Callable[[], Checksum]]],
) -> Mapping[bytes, ChecksumAlgorithm]:
    algorithms = [
        ChecksumAlgorithm(header=HEADER_PREFIX + name.encode(), digest_bytes=size, new=new)
        for name, size, new in rows
    ]
    return {algorithm.header: algorithm for algorithm in algorithms}


_STANDARD = _algorithms(
    (
        ("crc32", 4, lambda: _Crc(zlib.crc32, 4)),
        ("sha1", 20, lambda: sha1(usedforsecurity=False)),
        ("sha256", 32, sha256),
        ("sha512", 64, sha512),
        ("md5", 16, lambda: md5(usedforsecurity=False)),
    )
)


@cache
def _accelerated() -> Mapping[bytes, ChecksumAlgorithm]:
    """What awscrt computes; imported when first asked for, as it takes 5 MiB."""
    from awscrt import checksums as crt

    rows: list[tuple[str, int, Callable[[], Checksum]]] = [
        ("crc32c", 4, lambda: _Crc(crt.crc32c, 4)),
        ("crc64nvme", 8, lambda: _Crc(crt.crc64nvme, 8)),
    ]
    # XXHash came to awscrt after the oldest version that we accept.
    if hasattr(crt, "XXHash"):
        rows += [
            ("xxhash64", 8, lambda: _XxHash(crt.XXHash.new_xxhash64())),
            ("xxhash3", 8, lambda: _XxHash(crt.XXHash.new_xxhash3_64())),
            ("xxhash128", 16, lambda: _XxHash(crt.XXHash.new_xxhash3_128())),
        ]
    return _algorithms(rows)


def checksum_algorithm(header: bytes) -> ChecksumAlgorithm | None:
    """Return the algorithm of a lower-case x-amz-checksum-* header name, None when unknown."""
    if not header.startswith(HEADER_PREFIX):
        return None
    return _STANDARD.get(header) or _accelerated().get(header)


def encode_digest(digest: bytes) -> bytes:
    """Return the base64 form that headers and trailers carry."""
    return b64encode(digest)


def decode_digest(value: bytes, digest_bytes: int) -> bytes | None:
    """Read a base64 digest; None when it is not base64 or has another length."""
    try:
        digest = b64decode(value, validate=True)
    except binascii.Error:
        return None
    return digest if len(digest) == digest_bytes else None


class DigestCheck:
    """Compares the digest of what was fed with the one that the client stated."""

    __slots__ = ("_code", "_expected", "_hasher")

    def __init__(self, hasher: Checksum, expected: bytes, *, code: str) -> None:
        self._hasher = hasher
        self._expected = expected
        self._code = code

    def update(self, data: BytesLike) -> None:
        self._hasher.update(data)

    def verify(self) -> None:
        """Raises: S3Error with the code of the check when the digests differ."""
        if not compare_digest(self._hasher.digest(), self._expected):
            raise s3_error(self._code)


def content_md5_check(value: bytes) -> DigestCheck:
    """Return the check of a Content-MD5 header; it fails with BadDigest.

    Raises: S3Error(InvalidDigest) when the value is no MD5 in base64.  Source: RFC 1864.
    """
    expected = decode_digest(value.strip(), 16)
    if expected is None:
        raise s3_error("InvalidDigest")
    return DigestCheck(md5(usedforsecurity=False), expected, code="BadDigest")


def payload_sha256_check(payload_hash: bytes) -> DigestCheck:
    """Return the check of a 64-digit x-amz-content-sha256; it fails with its mismatch code."""
    expected = bytes.fromhex(payload_hash.decode("ascii"))
    return DigestCheck(sha256(), expected, code="XAmzContentSHA256Mismatch")
