"""AWS's published chunked uploads: 66,560 letters in chunks of 64 KiB, without and with a trailer.

Sources: Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring
Payload in Multiple Chunks" and "Signature calculations for trailing headers (chunked uploads)".
"""

from datetime import UTC, datetime

import pytest

from bucketroute_dataplane.core.aws_chunked import ChunkedDecoder
from bucketroute_dataplane.core.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    SigningKeys,
    VerifiedSignature,
    parse_authorization,
    verify,
)

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PAYLOAD = b"a" * 66560
SEED_SIGNATURE = b"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED_SIGNATURE = b"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"


def seed(payload_hash: bytes, signature: bytes, *extra: tuple[bytes, bytes]) -> VerifiedSignature:
    headers = sorted(
        [
            (b"content-encoding", b"aws-chunked"),
            (b"host", b"s3.amazonaws.com"),
            (b"x-amz-content-sha256", payload_hash),
            (b"x-amz-date", b"20130524T000000Z"),
            (b"x-amz-decoded-content-length", b"66560"),
            (b"x-amz-storage-class", b"REDUCED_REDUNDANCY"),
            *extra,
        ]
    )
    authorization = (
        b"AWS4-HMAC-SHA256 "
        b"Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        b"SignedHeaders=%s,Signature=%s" % (b";".join(name for name, _ in headers), signature)
    )
    claim = parse_authorization(
        b"PUT",
        b"/examplebucket/chunkObject.txt",
        raw_query=b"",
        headers=[*headers, (b"authorization", authorization)],
    )
    assert claim is not None
    return verify(claim, SECRET, now=datetime(2013, 5, 24, tzinfo=UTC), keys=SigningKeys())


def chunk(size: int, signature: bytes) -> bytes:
    return b"%x;chunk-signature=%s\r\n%s\r\n" % (size, signature, b"a" * size)


@pytest.mark.rule("3.2.13")
def test_the_example_of_a_chunked_upload_is_verified() -> None:
    proof = seed(STREAMING_SIGNED, SEED_SIGNATURE, (b"content-length", b"66824"))
    body = (
        chunk(65536, b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648")
        + chunk(1024, b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
        + chunk(0, b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")
    )
    assert len(body) == 66824
    decoder = ChunkedDecoder(STREAMING_SIGNED, decoded_length=66560, seed=proof)
    assert b"".join(decoder.feed(body)) == PAYLOAD
    decoder.finish()
    assert decoder.finished


@pytest.mark.rule("3.2.13")
@pytest.mark.parametrize(
    ("line_end", "content_length"), [(b"\r\n", 66946), (b"\n\r\n", 66947)], ids=["aws", "minio-go"]
)
def test_the_example_of_a_chunked_upload_with_a_trailer_is_verified(
    line_end: bytes, content_length: int
) -> None:
    announced = b"x-amz-checksum-crc32c"
    proof = seed(STREAMING_SIGNED_TRAILER, TRAILER_SEED_SIGNATURE, (b"x-amz-trailer", announced))
    body = (
        chunk(65536, b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2")
        + chunk(1024, b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7")
        + b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        b"x-amz-checksum-crc32c:sOO8/Q==" + line_end + b"x-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    assert len(body) == content_length
    decoder = ChunkedDecoder(
        STREAMING_SIGNED_TRAILER, decoded_length=66560, x_amz_trailer=announced, seed=proof
    )
    assert b"".join(decoder.feed(body)) == PAYLOAD
    decoder.finish()
    assert decoder.trailers == {announced: b"sOO8/Q=="}
