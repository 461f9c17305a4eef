"""What is done to a streamed body between the client and the backend, piece by piece.

Whatever checks a body holds its last piece back until the check is done: a body that fails never
reaches its Content-Length, so the backend never makes an object of it.
"""

from __future__ import annotations

from typing import Protocol, assert_never

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.aws_chunked_encode import UnsignedTrailerEncoder
from bucketroute_dataplane.core.body import REFRAMED_CHUNK_BYTES, StreamPlan, Treatment
from bucketroute_dataplane.core.checksums import (
    BytesLike,
    ChecksumAlgorithm,
    checksum_algorithm,
    encode_digest,
    payload_sha256_check,
)
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.sigv4 import VerifiedSignature

Pieces = list[BytesLike]


class UploadTransform(Protocol):
    """Pieces in, pieces out. Raises S3Error as soon as the body is known to be wrong."""

    def feed(self, data: bytes) -> Pieces: ...

    def finish(self) -> Pieces:
        """The rest, once the body has ended and everything about it is right."""
        ...


def upload_transform(plan: StreamPlan, seed: VerifiedSignature | None) -> UploadTransform | None:
    """What the plan's treatment needs; None where the bytes pass as they are."""
    match plan.treatment:
        case Treatment.AS_IS:
            return None
        case Treatment.HASHED:
            return HashedUpload(plan.incoming.payload_hash)
        case Treatment.CHECKED:
            return CheckedUpload(_decoder(plan, seed))
        case Treatment.DECODED:
            return DecodedUpload(_decoder(plan, seed))
        case Treatment.REFRAMED:
            return ReframedUpload(plan, _decoder(plan, seed))
        case _:
            assert_never(plan.treatment)


def _decoder(plan: StreamPlan, seed: VerifiedSignature | None) -> ChunkedDecoder:
    incoming = plan.incoming
    assert incoming.payload_length is not None
    return ChunkedDecoder(
        incoming.payload_hash,
        decoded_length=incoming.payload_length,
        x_amz_trailer=incoming.trailer,
        seed=seed,
    )


class HashedUpload:
    """The same bytes; their SHA-256 must be the one that the client signed."""

    def __init__(self, payload_hash: bytes) -> None:
        self._check = payload_sha256_check(payload_hash)
        self._held: bytes | None = None

    def feed(self, data: bytes) -> Pieces:
        if not data:  # nothing may push out the piece that is held
            return []
        self._check.update(data)
        released, self._held = self._held, data
        return [released] if released is not None else []

    def finish(self) -> Pieces:
        self._check.verify()
        return [self._held] if self._held is not None else []


class CheckedUpload:
    """The same aws-chunked bytes; a decoder beside them checks what they hold."""

    def __init__(self, decoder: ChunkedDecoder) -> None:
        self._decoder = decoder
        self._held: bytes | None = None

    def feed(self, data: bytes) -> Pieces:
        if not data:  # nothing may push out the piece that is held
            return []
        self._decoder.feed(data)
        released, self._held = self._held, data
        return [released] if released is not None else []

    def finish(self) -> Pieces:
        self._decoder.finish()
        return [self._held] if self._held is not None else []


class DecodedUpload:
    """The payload of an aws-chunked body, plain; signatures and trailer are checked."""

    def __init__(self, decoder: ChunkedDecoder) -> None:
        self._decoder = decoder
        self._held: Pieces = []

    def feed(self, data: bytes) -> Pieces:
        payload: Pieces = list(self._decoder.feed(data))
        if not payload:
            return []
        released, self._held = self._held, payload
        return released

    def finish(self) -> Pieces:
        self._decoder.finish()
        return self._held


class ReframedUpload:
    """The payload in chunks of our own, unsigned, with the trailing checksum made anew.

    The client's own trailer was checked against the same payload before the new one is sent.
    """

    def __init__(self, plan: StreamPlan, decoder: ChunkedDecoder) -> None:
        algorithm = _trailing_algorithm(plan)
        assert plan.incoming.payload_length is not None
        self._decoder = decoder
        self._checksum = algorithm.new()
        self._encoder = UnsignedTrailerEncoder(
            plan.incoming.payload_length,
            chunk_bytes=REFRAMED_CHUNK_BYTES,
            trailer_name=algorithm.header,
            trailer_value_bytes=algorithm.value_bytes,
        )

    def feed(self, data: bytes) -> Pieces:
        pieces: Pieces = []
        for payload in self._decoder.feed(data):
            self._checksum.update(payload)
            pieces += self._encoder.feed(payload)
        return pieces

    def finish(self) -> Pieces:
        self._decoder.finish()
        return [self._encoder.finish(encode_digest(self._checksum.digest()))]


def _trailing_algorithm(plan: StreamPlan) -> ChecksumAlgorithm:
    algorithm = checksum_algorithm(plan.incoming.trailer or b"")
    if algorithm is None:
        raise s3_error("NotImplemented")
    return algorithm
