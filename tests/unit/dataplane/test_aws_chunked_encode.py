"""Framing a payload: the length is known before the first byte, and botocore frames alike."""

import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.aws_chunked_encode import (
    UnsignedTrailerEncoder,
    trailer_frame_length,
)
from bucketroute_dataplane.core.checksums import checksum_algorithm, encode_digest
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import STREAMING_UNSIGNED_TRAILER

CRC32 = b"x-amz-checksum-crc32"


def crc32(payload: bytes) -> bytes:
    algorithm = checksum_algorithm(CRC32)
    assert algorithm is not None
    hasher = algorithm.new()
    hasher.update(payload)
    return encode_digest(hasher.digest())


def encoder(decoded_length: int, *, chunk_bytes: int = 8192) -> UnsignedTrailerEncoder:
    return UnsignedTrailerEncoder(
        decoded_length, chunk_bytes=chunk_bytes, trailer_name=CRC32, trailer_value_bytes=8
    )


def encode(payload: bytes, *, chunk_bytes: int, piece_bytes: int) -> bytes:
    framing = encoder(len(payload), chunk_bytes=chunk_bytes)
    out = b""
    for start in range(0, len(payload), piece_bytes):
        out += b"".join(framing.feed(payload[start : start + piece_bytes]))
    return out + framing.finish(crc32(payload))


@settings(max_examples=500, deadline=None, database=None)
@given(
    payload=st.binary(max_size=600),
    chunk_bytes=st.integers(1, 300),
    piece_bytes=st.integers(1, 700),
)
def test_the_length_is_exact_the_decoder_reads_it_and_botocore_frames_alike(
    payload: bytes, chunk_bytes: int, piece_bytes: int
) -> None:
    body = encode(payload, chunk_bytes=chunk_bytes, piece_bytes=piece_bytes)
    assert len(body) == trailer_frame_length(
        len(payload), chunk_bytes=chunk_bytes, trailer_name=CRC32, trailer_value_bytes=8
    )
    decoder = ChunkedDecoder(
        STREAMING_UNSIGNED_TRAILER, decoded_length=len(payload), x_amz_trailer=CRC32
    )
    assert b"".join(decoder.feed(body)) == payload
    decoder.finish()
    oracle = AwsChunkedWrapper(
        io.BytesIO(payload),
        checksum_cls=Crc32Checksum,
        checksum_name=CRC32.decode(),
        chunk_size=chunk_bytes,
    )
    assert body == oracle.read()


@pytest.mark.rule("3.2.16")
@pytest.mark.parametrize("decoded_length", [0, 1, 65_535, 65_536, 65_537, 5 * 1024**3])
def test_the_length_counts_every_chunk_header(decoded_length: int) -> None:
    sizes = [65_536] * (decoded_length // 65_536)
    sizes += [decoded_length % 65_536] if decoded_length % 65_536 else []
    chunks = sum(len(f"{size:x}\r\n") + size + 2 for size in sizes)
    assert trailer_frame_length(
        decoded_length, chunk_bytes=65_536, trailer_name=CRC32, trailer_value_bytes=8
    ) == chunks + len("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n")


def test_payload_is_not_copied() -> None:
    payload = b"x" * 20_000
    views = [piece for piece in encoder(20_000).feed(payload) if isinstance(piece, memoryview)]
    assert [len(view) for view in views] == [8192, 8192, 3616]
    assert all(view.obj is payload for view in views)


@pytest.mark.rule("3.2.17")
def test_more_payload_than_was_said_is_refused() -> None:
    with pytest.raises(S3Error, match="IncompleteBody"):
        encoder(3).feed(b"four")


@pytest.mark.rule("3.2.17")
def test_less_payload_than_was_said_is_refused() -> None:
    framing = encoder(3)
    framing.feed(b"ab")
    with pytest.raises(S3Error, match="IncompleteBody"):
        framing.finish(b"AAAAAA==")


def test_a_trailer_of_another_length_would_break_the_content_length() -> None:
    with pytest.raises(ValueError, match="8 were announced"):
        encoder(0).finish(b"AAAA")
