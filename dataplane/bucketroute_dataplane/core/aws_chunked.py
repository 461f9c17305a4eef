"""Decodes aws-chunked bodies while they arrive: framing, chunk signatures, trailing checksum.

Data is handed out as views of what was fed, before the signature of its chunk can be known; so
the caller holds back the end of an upload until `finish` has returned.  Whoever forwards an
unsigned body with its framing feeds the bytes here and sends those same bytes on.

Sources: AWS "Signature Calculations for the Authorization Header: Transferring Payload in
Multiple Chunks" and "Signature calculations for trailing headers".
"""

import re
from enum import Enum, auto
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from bucketroute_dataplane.core.aws_chunked_trailer import (
    SIGNATURE_NAME,
    TrailingChecksum,
    announced_checksum,
    canonical_trailer,
    parse_trailer,
)
from bucketroute_dataplane.core.checksums import BytesLike
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.sigv4_canonical import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
)
from bucketroute_dataplane.core.sigv4_verify import VerifiedSignature

# A chunk's line is about 100 bytes; the rest is room for leading zeros.
MAX_CHUNK_LINE_BYTES: Final = 1024
# No object that is sent in one request is larger, so no chunk is.
MAX_CHUNK_BYTES: Final = 5 * 1024**3
# One checksum and one signature are about 200 bytes.
MAX_TRAILER_BYTES: Final = 16 * 1024

_match_signed_line = re.compile(rb"([0-9A-Fa-f]+);chunk-signature=([0-9a-f]{64})\r\n").fullmatch
_match_unsigned_line = re.compile(rb"([0-9A-Fa-f]+)\r\n").fullmatch


class _State(Enum):
    LINE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    FINISHED = auto()


class _SignatureChain:
    """The signature of each chunk covers the one before it, the first covers the request's."""

    __slots__ = ("_previous", "_seed")

    def __init__(self, seed: VerifiedSignature) -> None:
        self._seed = seed
        self._previous = seed.seed_signature

    def verify_chunk(self, signature: bytes, chunk_sha256: bytes) -> None:
        self._verify(b"AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256 + b"\n" + chunk_sha256, signature)

    def verify_trailer(self, signature: bytes, trailer: bytes) -> None:
        digest = sha256(trailer).hexdigest().encode()
        self._verify(b"AWS4-HMAC-SHA256-TRAILER", digest, signature)

    def _verify(self, algorithm: bytes, hashes: bytes, signature: bytes) -> None:
        seed = self._seed
        parts = (algorithm, seed.timestamp, seed.scope, self._previous, hashes)
        if not compare_digest(seed.signing_key.sign(b"\n".join(parts)), signature):
            raise s3_error("SignatureDoesNotMatch")
        self._previous = signature


class ChunkedDecoder:
    """One body in one of the three framings that S3 takes from SigV4 clients.

    `framing` is the value of x-amz-content-sha256, `decoded_length` that of
    x-amz-decoded-content-length, `x_amz_trailer` the header of that name.  The signed framings
    need the `seed` that `sigv4.verify` returned.

    Errors, raised by `feed` as soon as they show: IncompleteBody (too much payload, or too
    little), InvalidChunkSizeError, InvalidRequest (broken framing, bytes behind the end),
    SignatureDoesNotMatch, MalformedTrailerError (not what was announced), BadDigest.
    """

    __slots__ = (
        "_chain",
        "_checksum",
        "_chunk_hash",
        "_chunk_signature",
        "_decoded",
        "_decoded_length",
        "_has_trailer",
        "_partial",
        "_remaining",
        "_state",
        "trailers",
    )

    def __init__(
        self,
        framing: bytes,
        *,
        decoded_length: int,
        x_amz_trailer: bytes | None = None,
        seed: VerifiedSignature | None = None,
    ) -> None:
        """Raises: S3Error(NotImplemented) for another framing or an unknown checksum;
        S3Error(InvalidRequest) for signed chunks of an unsigned request, or another trailer.
        """
        is_signed = framing in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)
        if not is_signed and framing != STREAMING_UNSIGNED_TRAILER:
            raise s3_error("NotImplemented", "This x-amz-content-sha256 value is not supported.")
        if is_signed and seed is None:
            raise s3_error("InvalidRequest", "Signed chunks need a signed request.")
        self._chain = _SignatureChain(seed) if is_signed and seed is not None else None
        self._has_trailer = framing != STREAMING_SIGNED
        algorithm = announced_checksum(x_amz_trailer)
        self._checksum = None if algorithm is None else TrailingChecksum(algorithm)
        self._decoded_length = decoded_length
        self._decoded = 0
        self._state = _State.LINE
        self._partial = bytearray()
        self._remaining = 0
        self._chunk_hash = sha256()
        self._chunk_signature = b""
        self.trailers: dict[bytes, bytes] = {}

    @property
    def finished(self) -> bool:
        """Whether the whole body came and everything about it was right."""
        return self._state is _State.FINISHED

    def feed(self, data: BytesLike) -> list[memoryview]:
        """Take the next bytes of the body; return views of the payload in them."""
        view = memoryview(data)
        payload: list[memoryview] = []
        position = 0
        while position < len(view):
            match self._state:
                case _State.DATA:
                    taken = view[position : position + self._remaining]
                    self._take_data(taken)
                    payload.append(taken)
                    position += len(taken)
                case _State.LINE:
                    position = self._take_line(view, position)
                case _State.DATA_END:
                    position = self._take_data_end(view, position)
                case _State.TRAILER:
                    self._take_trailer(view[position:])
                    break
                case _State.FINISHED:
                    raise _broken("bytes follow the end of the body")
        return payload

    def finish(self) -> None:
        """Say that the body has ended; returns when all of it is there and proved right."""
        if self._state is _State.FINISHED:
            return
        if self._state is not _State.TRAILER:
            raise s3_error("IncompleteBody")
        block = bytes(self._partial)
        if not self._has_trailer and block != b"\r\n":
            raise s3_error("IncompleteBody", "The aws-chunked body lacks its last line end.")
        trailers = parse_trailer(block)
        self._verify_trailer(trailers)
        if self._checksum is not None:
            self._checksum.verify(trailers)
        self.trailers = trailers
        self._state = _State.FINISHED

    def _take_line(self, view: memoryview, position: int) -> int:
        room = MAX_CHUNK_LINE_BYTES + 1 - len(self._partial)
        window = bytes(view[position : position + room])
        end = window.find(b"\n") + 1
        self._partial += window[:end] if end else window
        if len(self._partial) > MAX_CHUNK_LINE_BYTES:
            raise s3_error("InvalidChunkSizeError", "The line of a chunk is too long.")
        if not end:
            return position + len(window)
        line = bytes(self._partial)
        self._partial.clear()
        self._begin_chunk(line)
        return position + end

    def _begin_chunk(self, line: bytes) -> None:
        match = (_match_unsigned_line if self._chain is None else _match_signed_line)(line)
        if match is None:
            raise s3_error("InvalidChunkSizeError")
        size = int(match[1], 16)
        if size > MAX_CHUNK_BYTES:
            raise s3_error("InvalidChunkSizeError", "A chunk is larger than 5 GiB.")
        self._decoded += size
        if self._decoded > self._decoded_length:
            raise s3_error(
                "IncompleteBody", "The body is longer than x-amz-decoded-content-length."
            )
        if self._chain is not None:
            self._chunk_signature = match[2]
        if size:
            self._remaining = size
            self._chunk_hash = sha256()
            self._state = _State.DATA
            return
        if self._decoded < self._decoded_length:
            raise s3_error(
                "IncompleteBody", "The body is shorter than x-amz-decoded-content-length."
            )
        if self._chain is not None:
            self._chain.verify_chunk(self._chunk_signature, EMPTY_SHA256)
        self._state = _State.TRAILER

    def _take_data(self, taken: memoryview) -> None:
        if self._checksum is not None:
            self._checksum.update(taken)
        if self._chain is not None:
            self._chunk_hash.update(taken)
        self._remaining -= len(taken)
        if self._remaining:
            return
        if self._chain is not None:
            digest = self._chunk_hash.hexdigest().encode()
            self._chain.verify_chunk(self._chunk_signature, digest)
        self._state = _State.DATA_END

    def _take_data_end(self, view: memoryview, position: int) -> int:
        window = bytes(view[position : position + 2 - len(self._partial)])
        self._partial += window
        if not b"\r\n".startswith(self._partial):
            raise _broken("a chunk's data does not end where its size says")
        if len(self._partial) == 2:
            self._partial.clear()
            self._state = _State.LINE
        return position + len(window)

    def _take_trailer(self, view: memoryview) -> None:
        length = len(self._partial) + len(view)
        if not self._has_trailer and length > 2:
            raise _broken("bytes follow the last chunk")
        if length > MAX_TRAILER_BYTES:
            raise s3_error("MalformedTrailerError", "The trailer is larger than 16 KiB.")
        self._partial += view

    def _verify_trailer(self, trailers: dict[bytes, bytes]) -> None:
        signature = None
        if self._chain is not None and self._has_trailer:
            signature = trailers.pop(SIGNATURE_NAME, b"")
        expected = set() if self._checksum is None else {self._checksum.header}
        if trailers.keys() != expected:
            raise s3_error(
                "MalformedTrailerError", "The trailer is not what x-amz-trailer announced."
            )
        if self._chain is not None and signature is not None:
            self._chain.verify_trailer(signature, canonical_trailer(trailers))


def _broken(what: str) -> S3Error:
    return s3_error("InvalidRequest", f"The aws-chunked framing is broken: {what}.")
