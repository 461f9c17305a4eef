"""A body that was read whole: what the client said of it must be true of it."""

from __future__ import annotations

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.body import IncomingBody
from bucketroute_dataplane.core.checksums import payload_sha256_check
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.sigv4 import VerifiedSignature


def checked_body(
    raw: bytes, incoming: IncomingBody, seed: VerifiedSignature | None, limit_bytes: int
) -> bytes:
    """The payload, its framing taken off, its signatures, hash or trailing checksum checked.

    Raises: S3Error XAmzContentSHA256Mismatch, IncompleteBody, EntityTooLarge, and whatever the
    decoder refuses.
    """
    if incoming.is_chunked:
        return _decoded(raw, incoming, seed, limit_bytes)
    if incoming.wire_length is not None and len(raw) != incoming.wire_length:
        raise s3_error("IncompleteBody")
    if incoming.is_hashed:
        check = payload_sha256_check(incoming.payload_hash)
        check.update(raw)
        check.verify()
    return raw


def _decoded(
    raw: bytes, incoming: IncomingBody, seed: VerifiedSignature | None, limit_bytes: int
) -> bytes:
    length = incoming.payload_length
    assert length is not None
    if length > limit_bytes:
        raise s3_error("EntityTooLarge")
    decoder = ChunkedDecoder(
        incoming.payload_hash, decoded_length=length, x_amz_trailer=incoming.trailer, seed=seed
    )
    payload = b"".join(decoder.feed(raw))
    decoder.finish()
    return payload
