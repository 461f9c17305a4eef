"""What a well-formed Authorization header is, and how each other one is refused."""

import pytest

from bucketroute_testing.signed_requests import (
    HOST,
    check,
    refused,
    replaced,
    signed,
)


@pytest.mark.rule("3.10.2")
@pytest.mark.parametrize("separator", [b",", b", ", b" , ", b",  "])
def test_the_parts_may_be_separated_with_or_without_spaces(separator: bytes) -> None:
    headers = signed()
    authorization = separator.join(dict(headers)[b"authorization"].split(b", "))
    check(replaced(headers, b"authorization", authorization))


@pytest.mark.rule("3.10.2")
def test_the_parts_may_come_in_any_order() -> None:
    headers = signed()
    scheme, _, rest = dict(headers)[b"authorization"].partition(b" ")
    authorization = scheme + b" " + b", ".join(reversed(rest.split(b", ")))
    check(replaced(headers, b"authorization", authorization))


@pytest.mark.rule("3.10.2")
@pytest.mark.parametrize(
    ("authorization", "word"),
    [
        (b"AWS AKIDEXAMPLE:c2ln", "Version 2"),
        (b"AWS4-ECDSA-P256-SHA256 Credential=a", "SigV4A"),
        (b"Bearer abc", "AWS4-HMAC-SHA256"),
        (b"", "AWS4-HMAC-SHA256"),
    ],
    ids=["sigv2", "sigv4a", "bearer", "empty"],
)
def test_another_scheme_is_refused_by_name(authorization: bytes, word: str) -> None:
    error = refused([*HOST, (b"authorization", authorization)])
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert word in error.message


def test_a_sigv2_query_is_refused_and_not_anonymous() -> None:
    error = refused(HOST, query=b"AWSAccessKeyId=AK&Expires=1&Signature=c2ln")
    assert error.code == "InvalidRequest"


SCOPE = b"AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request"


@pytest.mark.rule("3.10.2")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SCOPE, b"AKIDEXAMPLE/20260102/us-east-1/s3"),
        (SCOPE, SCOPE + b"/more"),
        (SCOPE, SCOPE.replace(b"us-east-1", b"")),
        (SCOPE, SCOPE.replace(b"aws4_request", b"aws5_request")),
        (SCOPE, b"A" * 300 + SCOPE),
        (SCOPE, SCOPE.replace(b"AKID", b"\xc3\xa9")),
        (b"Signature=", b"Sig="),
        (b"Signature=", b"Credential=x, Signature="),
        (b", Signature=", b", Signature, "),
        (b"SignedHeaders=host", b"SignedHeaders=Host;host"),
        (b"SignedHeaders=host", b"SignedHeaders=;host"),
        (b"SignedHeaders=host", b"SignedHeaders=" + b"a;" * 3000 + b"host"),
    ],
)
def test_a_malformed_authorization_header_is_refused(old: bytes, new: bytes) -> None:
    headers = signed()
    authorization = dict(headers)[b"authorization"]
    assert old in authorization
    error = refused(replaced(headers, b"authorization", authorization.replace(old, new)))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
