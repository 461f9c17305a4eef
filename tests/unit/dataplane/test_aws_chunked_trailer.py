"""The trailer of aws-chunked: how SDKs end its lines, and each way to be wrong."""

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import (
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
)
from bucketroute_testing.chunked_bodies import (
    CRC32,
    PAYLOAD,
    checksum,
    decode,
    decoder,
    encoded,
    refused,
)

END = b"500\r\n" + PAYLOAD + b"\r\n0\r\n"
LINE = CRC32 + b":" + checksum(PAYLOAD)


@pytest.mark.parametrize(
    "trailer",
    [
        LINE + b"\r\n\r\n",
        LINE + b"\n\r\n",
        LINE + b"\n\n",
        LINE + b"\r\n",
        b"\r\n" + LINE + b"\r\n",
        LINE.replace(b":", b": ").replace(b"x-amz", b"X-Amz") + b"\r\n\r\n",
    ],
)
def test_trailer_lines_end_as_sdks_end_them(trailer: bytes) -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER)
    assert decode(into, END + trailer) == PAYLOAD
    assert into.trailers == {CRC32: checksum(PAYLOAD)}


@pytest.mark.parametrize(
    ("trailer", "code"),
    [
        (b"\r\n", "MalformedTrailerError"),
        (b"x-amz-checksum-sha1:" + checksum(PAYLOAD) + b"\r\n\r\n", "MalformedTrailerError"),
        (LINE + b"\r\nx-amz-meta-a:b\r\n\r\n", "MalformedTrailerError"),
        (LINE + b"\r\n" + LINE + b"\r\n\r\n", "MalformedTrailerError"),
        (LINE + b"\r\nx-amz-trailer-signature:ab\r\n\r\n", "MalformedTrailerError"),
        (b"nothing\r\n\r\n", "MalformedTrailerError"),
        (b" " + LINE + b"\r\n\r\n", "MalformedTrailerError"),
        (b"\r\n" * 9000, "MalformedTrailerError"),
        (LINE, "IncompleteBody"),
        (CRC32 + b":AAAAAA==\r\n\r\n", "BadDigest"),
        (CRC32 + b":AAAA\r\n\r\n", "InvalidRequest"),
        (CRC32 + b":!!!!!!==\r\n\r\n", "InvalidRequest"),
    ],
)
def test_a_wrong_trailer_is_refused(trailer: bytes, code: str) -> None:
    assert refused(decoder(STREAMING_UNSIGNED_TRAILER), END + trailer).code == code


def test_a_trailer_that_nobody_announced_is_refused() -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER, trailer=None)
    assert refused(into, END + LINE + b"\r\n\r\n").code == "MalformedTrailerError"


def test_an_unsigned_body_may_come_without_any_trailer() -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER, trailer=None)
    assert decode(into, END + b"\r\n") == PAYLOAD


@pytest.mark.rule("3.2.13")
def test_a_changed_trailer_of_a_signed_body_is_refused() -> None:
    other = checksum(b"other")
    body = encoded(STREAMING_SIGNED_TRAILER).replace(checksum(PAYLOAD), other)
    assert refused(decoder(STREAMING_SIGNED_TRAILER), body).code == "SignatureDoesNotMatch"


def test_a_signed_trailer_without_its_signature_is_refused() -> None:
    body = encoded(STREAMING_SIGNED_TRAILER).partition(b"x-amz-trailer-signature")[0] + b"\r\n"
    assert refused(decoder(STREAMING_SIGNED_TRAILER), body).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("announced", "code"),
    [
        (b"x-amz-checksum-crc99", "NotImplemented"),
        (b"x-amz-meta-a", "InvalidRequest"),
        (b"x-amz-checksum-crc32,x-amz-checksum-sha1", "InvalidRequest"),
    ],
)
def test_only_one_known_checksum_may_be_announced(announced: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        decoder(STREAMING_UNSIGNED_TRAILER, trailer=announced)
    assert caught.value.code == code


def test_the_announcement_is_read_whatever_its_case_and_spaces() -> None:
    into = decoder(STREAMING_UNSIGNED_TRAILER, trailer=b" X-Amz-Checksum-CRC32 ,")
    assert decode(into, END + LINE + b"\r\n\r\n") == PAYLOAD
