"""Frames a payload of known length as STREAMING-UNSIGNED-PAYLOAD-TRAILER, with a known length.

Source: AWS "Signature calculations for trailing headers (chunked uploads)".
"""

from bucketroute_dataplane.core.checksums import BytesLike
from bucketroute_dataplane.core.errors import s3_error

_LINE_END = 2


def trailer_frame_length(
    decoded_length: int, *, chunk_bytes: int, trailer_name: bytes, trailer_value_bytes: int
) -> int:
    """Return the Content-Length of what `UnsignedTrailerEncoder` makes of such a payload."""
    full_chunks, rest = divmod(decoded_length, chunk_bytes)
    length = full_chunks * _chunk_length(chunk_bytes)
    if rest:
        length += _chunk_length(rest)
    last_chunk = len(b"0\r\n")
    return length + last_chunk + len(trailer_name) + 1 + trailer_value_bytes + 2 * _LINE_END


def _chunk_length(size: int) -> int:
    return len(b"%x" % size) + _LINE_END + size + _LINE_END


class UnsignedTrailerEncoder:
    """Cuts a payload into chunks of `chunk_bytes`, whatever pieces it comes in, without copying.

    AWS takes no chunk below 8 KiB but the last.  The trailer's value is given to `finish`, when
    the payload has been seen; its length must be the one that the Content-Length counted.
    """

    __slots__ = (
        "_chunk_bytes",
        "_in_chunk",
        "_remaining",
        "_trailer_name",
        "_trailer_value_bytes",
    )

    def __init__(
        self,
        decoded_length: int,
        *,
        chunk_bytes: int,
        trailer_name: bytes,
        trailer_value_bytes: int,
    ) -> None:
        self._remaining = decoded_length
        self._chunk_bytes = chunk_bytes
        self._in_chunk = 0
        self._trailer_name = trailer_name
        self._trailer_value_bytes = trailer_value_bytes

    def feed(self, payload: BytesLike) -> list[BytesLike]:
        """Return the pieces to send for the next piece of payload: framing, and views of it.

        Raises: S3Error(IncompleteBody) when the payload is longer than was said.
        """
        view = memoryview(payload)
        if len(view) > self._remaining:
            raise s3_error("IncompleteBody")
        pieces: list[BytesLike] = []
        position = 0
        while position < len(view):
            if not self._in_chunk:
                self._in_chunk = min(self._chunk_bytes, self._remaining)
                pieces.append(b"%x\r\n" % self._in_chunk)
            taken = view[position : position + self._in_chunk]
            pieces.append(taken)
            position += len(taken)
            self._in_chunk -= len(taken)
            self._remaining -= len(taken)
            if not self._in_chunk:
                pieces.append(b"\r\n")
        return pieces

    def finish(self, trailer_value: bytes) -> bytes:
        """Return the last chunk and the trailer.

        Raises: S3Error(IncompleteBody) when payload is missing; ValueError when the value has
            not the length that was promised, which would break the Content-Length.
        """
        if self._remaining:
            raise s3_error("IncompleteBody")
        if len(trailer_value) != self._trailer_value_bytes:
            raise ValueError(
                f"the trailer's value has {len(trailer_value)} bytes, "
                f"{self._trailer_value_bytes} were announced"
            )
        return b"0\r\n%s:%s\r\n\r\n" % (self._trailer_name, trailer_value)
