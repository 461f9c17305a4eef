"""The trailer of an aws-chunked body: which headers were announced, and what came.

Source: AWS "Signature calculations for trailing headers (chunked uploads)".
"""

from bucketroute_dataplane.core.checksums import (
    HEADER_PREFIX,
    BytesLike,
    ChecksumAlgorithm,
    checksum_algorithm,
    decode_digest,
)
from bucketroute_dataplane.core.errors import s3_error

SIGNATURE_NAME = b"x-amz-trailer-signature"


class TrailingChecksum:
    """Computes over the payload what the announced trailer will state."""

    __slots__ = ("_algorithm", "_hasher")

    def __init__(self, algorithm: ChecksumAlgorithm) -> None:
        self._algorithm = algorithm
        self._hasher = algorithm.new()

    @property
    def header(self) -> bytes:
        return self._algorithm.header

    def update(self, data: BytesLike) -> None:
        self._hasher.update(data)

    def verify(self, trailers: dict[bytes, bytes]) -> None:
        """Raises: S3Error(InvalidRequest) for a malformed value, S3Error(BadDigest)."""
        header = self._algorithm.header
        stated = decode_digest(trailers[header], self._algorithm.digest_bytes)
        if stated is None:
            raise s3_error(
                "InvalidRequest", f"Value for {header.decode()} trailing header is invalid."
            )
        if stated != self._hasher.digest():
            raise s3_error(
                "BadDigest",
                f"The {header.decode()} you specified did not match what we received.",
            )


def announced_checksum(x_amz_trailer: bytes | None) -> ChecksumAlgorithm | None:
    """Read an x-amz-trailer header, which S3 lets announce one checksum and nothing else.

    Raises: S3Error(NotImplemented) for a checksum that is not understood;
        S3Error(InvalidRequest) for any other trailer, or for several.
    """
    names = [name.strip().lower() for name in (x_amz_trailer or b"").split(b",")]
    names = [name for name in names if name]
    if not names:
        return None
    algorithm = checksum_algorithm(names[0])
    if len(names) == 1 and algorithm is not None:
        return algorithm
    if len(names) == 1 and names[0].startswith(HEADER_PREFIX):
        raise s3_error(
            "NotImplemented",
            f"The trailing checksum {names[0].decode('latin-1')} is not supported.",
        )
    raise s3_error(
        "InvalidRequest",
        "The value specified in the x-amz-trailer header is not supported: "
        "expecting a single x-amz-checksum- name.",
    )


def parse_trailer(block: bytes) -> dict[bytes, bytes]:
    """Read everything behind the line of the last chunk; lines end in LF or CRLF.

    Empty lines carry nothing: SDKs end the block with one, and minio-go, as AWS's own example,
    puts one before the signature.

    Raises: S3Error(IncompleteBody) when the last line does not end;
        S3Error(MalformedTrailerError) for a line that is no header, or a repeated one.
    """
    if not block.endswith(b"\n"):
        raise s3_error("IncompleteBody", "The aws-chunked body ends inside its trailer.")
    trailers: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        if line in (b"", b"\r"):
            continue
        raw_name, colon, value = line.partition(b":")
        name = raw_name.lower()
        if not colon or not name or name != name.strip() or name in trailers:
            raise s3_error("MalformedTrailerError")
        trailers[name] = value.strip()
    return trailers


def canonical_trailer(trailers: dict[bytes, bytes]) -> bytes:
    """Return what the trailer's signature hashes: each header and a line feed."""
    return b"".join([b"%s:%s\n" % item for item in trailers.items()])
