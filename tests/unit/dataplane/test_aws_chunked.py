"""Decoding aws-chunked: every framing in pieces of every size, and each way to be wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
)
from bucketroute_testing.chunked_bodies import (
    FRAMINGS,
    PAYLOAD,
    decode,
    decoder,
    encoded,
    refused,
)


@pytest.mark.rule("3.2.13")
@settings(max_examples=300, deadline=None, database=None)
@given(
    framing=st.sampled_from(FRAMINGS),
    payload=st.binary(max_size=200),
    chunk_bytes=st.integers(1, 250),
    piece_bytes=st.integers(1, 300),
)
def test_what_was_framed_comes_out_whatever_the_pieces(
    framing: bytes, payload: bytes, chunk_bytes: int, piece_bytes: int
) -> None:
    body = encoded(framing, payload, chunk_bytes=chunk_bytes)
    into = decoder(framing, decoded_length=len(payload))
    assert decode(into, body, piece_bytes=piece_bytes) == payload
    assert into.finished
    into.finish()


@pytest.mark.parametrize("framing", FRAMINGS, ids=bytes.decode)
def test_a_body_cut_anywhere_is_refused(framing: bytes) -> None:
    body = encoded(framing)
    # Behind the trailer comes one empty line, which says nothing that is not known by then.
    last = 2 if framing != STREAMING_SIGNED else 0
    # Cut there, it is a whole body that lacks its trailer's signature.
    unsigned = body.find(b"x-amz-trailer-signature")
    for cut in range(len(body) - last):
        error = refused(decoder(framing), body[:cut])
        assert error.code == ("SignatureDoesNotMatch" if cut == unsigned else "IncompleteBody"), cut


@settings(max_examples=500, deadline=None, database=None)
@given(
    framing=st.sampled_from((STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)),
    position=st.integers(0, 2000),
    flip=st.integers(1, 255),
)
def test_no_changed_byte_of_a_signed_body_gives_another_payload(
    framing: bytes, position: int, flip: int
) -> None:
    body = bytearray(encoded(framing))
    body[position % len(body)] ^= flip
    into = decoder(framing)
    try:
        assert decode(into, bytes(body)) == PAYLOAD
    except S3Error:
        assert not into.finished


@settings(max_examples=500, deadline=None, database=None)
@given(framing=st.sampled_from(FRAMINGS), body=st.binary(max_size=100))
def test_no_bytes_break_the_decoder(framing: bytes, body: bytes) -> None:
    refused(decoder(framing), body)


def test_views_of_what_was_fed_are_handed_out_without_copying() -> None:
    body = encoded(STREAMING_UNSIGNED_TRAILER)
    views = decoder(STREAMING_UNSIGNED_TRAILER).feed(body)
    assert all(view.obj is body for view in views)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_empty_body_is_one_last_chunk(framing: bytes) -> None:
    assert decode(decoder(framing, decoded_length=0), encoded(framing, b"")) == b""


@pytest.mark.rule("3.2.13")
@pytest.mark.parametrize("framing", [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER])
def test_a_changed_chunk_is_refused(framing: bytes) -> None:
    body = encoded(framing).replace(b"\x05\x06\x07", b"\x05\x06\x08", 1)
    assert refused(decoder(framing), body).code == "SignatureDoesNotMatch"


@pytest.mark.rule("3.2.13")
def test_reordered_chunks_are_refused() -> None:
    line = len(b"100;chunk-signature=\r\n\r\n") + 64 + 256
    body = encoded(STREAMING_SIGNED, chunk_bytes=256)
    swapped = body[line : 2 * line] + body[:line] + body[2 * line :]
    assert refused(decoder(STREAMING_SIGNED), swapped).code == "SignatureDoesNotMatch"


def test_a_left_out_chunk_is_refused() -> None:
    line = len(b"100;chunk-signature=\r\n\r\n") + 64 + 256
    body = encoded(STREAMING_SIGNED, chunk_bytes=256)
    into = decoder(STREAMING_SIGNED, decoded_length=len(PAYLOAD) - 256)
    assert refused(into, body[line:]).code == "SignatureDoesNotMatch"


def test_a_changed_signature_of_the_last_chunk_is_refused() -> None:
    before, last, after = encoded(STREAMING_SIGNED).rpartition(b"0;chunk-signature=")
    body = before + last + b"0" * 64 + after[64:]
    assert refused(decoder(STREAMING_SIGNED), body).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("difference", [-1, 1])
def test_another_length_than_was_declared_is_refused(framing: bytes, difference: int) -> None:
    into = decoder(framing, decoded_length=len(PAYLOAD) + difference)
    assert refused(into, encoded(framing)).code == "IncompleteBody"


def test_a_chunk_beyond_the_declared_length_is_refused_before_its_data() -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER, decoded_length=4)
    with pytest.raises(S3Error, match="IncompleteBody"):
        into.feed(b"5\r\n")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"xyz\r\n", "InvalidChunkSizeError"),
        (b"\r\n", "InvalidChunkSizeError"),
        (b"-1\r\n", "InvalidChunkSizeError"),
        (b"5\n", "InvalidChunkSizeError"),
        (b"5;ext=1\r\n", "InvalidChunkSizeError"),
        (b"0x5\r\n", "InvalidChunkSizeError"),
        (b"140000001\r\n", "InvalidChunkSizeError"),
        (b"0" * 1100, "InvalidChunkSizeError"),
        (b"5\r\nhello!!", "InvalidRequest"),
        (b"5\r\nhello\rx", "InvalidRequest"),
    ],
)
def test_a_malformed_chunk_is_refused(line: bytes, code: str) -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER, decoded_length=2**40)
    assert refused(into, line).code == code


def test_an_unsigned_chunk_in_a_signed_body_is_refused() -> None:
    assert refused(decoder(STREAMING_SIGNED), b"5\r\n").code == "InvalidChunkSizeError"


@pytest.mark.parametrize(
    ("framing", "code"),
    [(STREAMING_SIGNED, "InvalidRequest"), (STREAMING_UNSIGNED_TRAILER, "MalformedTrailerError")],
)
def test_bytes_behind_the_end_are_refused(framing: bytes, code: str) -> None:
    assert refused(decoder(framing), encoded(framing) + b"5\r\nhello\r\n").code == code


def test_bytes_after_finish_are_refused() -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER)
    decode(into, encoded(STREAMING_UNSIGNED_TRAILER))
    with pytest.raises(S3Error, match="InvalidRequest"):
        into.feed(b"x")


def test_other_framings_are_not_implemented() -> None:
    with pytest.raises(S3Error, match="NotImplemented"):
        ChunkedDecoder(b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", decoded_length=1)


def test_signed_chunks_of_an_anonymous_request_are_refused() -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        ChunkedDecoder(STREAMING_SIGNED, decoded_length=1)
