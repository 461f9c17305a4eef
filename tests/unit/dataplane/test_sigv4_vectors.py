"""AWS's published S3 examples of SigV4, to the byte.

Source: Amazon S3 API reference, "Examples: Signature Calculations in AWS Signature Version 4" and
"Authenticating Requests: Using Query Parameters".
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    parse_authorization,
    sign_headers,
    verify,
)

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = (b"host", b"examplebucket.s3.amazonaws.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    method: bytes
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    payload_hash: bytes = EMPTY_SHA256
    signature: bytes


EXAMPLES = {
    "get object": Example(
        method=b"GET",
        path=b"/test.txt",
        headers=((b"range", b"bytes=0-9"),),
        signature=b"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "put object": Example(
        method=b"PUT",
        path=b"/test%24file.text",
        headers=(
            (b"date", b"Fri, 24 May 2013 00:00:00 GMT"),
            (b"x-amz-storage-class", b"REDUCED_REDUNDANCY"),
        ),
        payload_hash=b"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        signature=b"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "get bucket lifecycle": Example(
        method=b"GET",
        path=b"/",
        query=b"lifecycle=",
        signature=b"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list objects": Example(
        method=b"GET",
        path=b"/",
        query=b"max-keys=2&prefix=J",
        signature=b"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_examples_of_the_authorization_header_are_signed_and_verified(
    example: Example,
) -> None:
    headers = [HOST, *example.headers]
    added = sign_headers(
        UnsignedRequest(
            method=example.method,
            raw_path=example.path,
            canonical_query=example.query,
            headers=headers,
            payload_hash=example.payload_hash,
        ),
        credentials=SigningCredentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET),
        region=b"us-east-1",
        amz_date=b"20130524T000000Z",
        keys=SigningKeys(),
    )
    claim = parse_authorization(
        example.method, example.path, raw_query=example.query, headers=[*headers, *added]
    )
    assert claim is not None
    assert claim.signature == example.signature
    verified = verify(claim, SECRET, now=NOW, keys=SigningKeys())
    assert verified.seed_signature == example.signature
    assert verified.scope == b"20130524/us-east-1/s3/aws4_request"


def test_the_example_of_a_presigned_url_is_verified() -> None:
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
        b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    claim = parse_authorization(b"GET", b"/test.txt", raw_query=query, headers=[HOST])
    assert claim is not None
    assert claim.is_presigned
    assert claim.expires_seconds == 86400
    assert claim.payload_hash == b"UNSIGNED-PAYLOAD"
    verify(claim, SECRET, now=NOW, keys=SigningKeys())
