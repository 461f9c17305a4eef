"""Aws-chunked bodies of one payload in the three framings, for the decoder's unit tests."""

from datetime import UTC, datetime

import pytest

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.checksums import checksum_algorithm, encode_digest
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    SigningKey,
    VerifiedSignature,
)
from bucketroute_testing.signing import AccessKey, ChunkedBody, SignedHead, Signer

SIGNER = Signer(key=AccessKey(access_key_id="AKIDEXAMPLE", secret_access_key="a-secret"))
HEAD: SignedHead = SIGNER.sign("PUT", "http://h/b/k", at=datetime(2026, 1, 2, tzinfo=UTC))
SEED = VerifiedSignature(
    seed_signature=HEAD.signature.encode(),
    signing_key=SigningKey(HEAD.signing_key),
    scope=HEAD.credential_scope.encode(),
    timestamp=HEAD.timestamp.encode(),
)
CRC32 = b"x-amz-checksum-crc32"
PAYLOAD = bytes(range(256)) * 5
FRAMINGS = (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER)


def checksum(payload: bytes, header: bytes = CRC32) -> bytes:
    algorithm = checksum_algorithm(header)
    assert algorithm is not None
    hasher = algorithm.new()
    hasher.update(payload)
    return encode_digest(hasher.digest())


def encoded(framing: bytes, payload: bytes = PAYLOAD, *, chunk_bytes: int = 500) -> bytes:
    trailer = (CRC32.decode(), checksum(payload).decode())
    body = ChunkedBody(
        payload=payload,
        chunk_bytes=chunk_bytes,
        trailer=None if framing == STREAMING_SIGNED else trailer,
    )
    return body.unsigned() if framing == STREAMING_UNSIGNED_TRAILER else body.signed(HEAD)


def decoder(
    framing: bytes, *, decoded_length: int = len(PAYLOAD), trailer: bytes | None = CRC32
) -> ChunkedDecoder:
    return ChunkedDecoder(
        framing,
        decoded_length=decoded_length,
        x_amz_trailer=None if framing == STREAMING_SIGNED else trailer,
        seed=None if framing == STREAMING_UNSIGNED_TRAILER else SEED,
    )


def decode(into: ChunkedDecoder, body: bytes, *, piece_bytes: int = 10_000) -> bytes:
    out = b""
    for start in range(0, len(body), piece_bytes):
        out += b"".join(into.feed(body[start : start + piece_bytes]))
    into.finish()
    return out


def refused(into: ChunkedDecoder, body: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        decode(into, body)
    assert not into.finished
    return caught.value
