"""Signing for backends, and the memory of signing keys."""

import pytest

from bucketroute_dataplane.core.sigv4 import (
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    sign_headers,
    split_query,
)

CREDENTIALS = SigningCredentials(
    access_key_id="AKIDBACKEND", secret_access_key="a-secret", session_token="a-token"
)
REQUEST = UnsignedRequest(
    method=b"PUT",
    raw_path=b"/bucket/key",
    canonical_query=b"partNumber=1&uploadId=u",
    headers=[(b"host", b"backend:9000"), (b"content-md5", b"1B2M2Y8AsgTpgAmY7PhCfg==")],
    payload_hash=b"UNSIGNED-PAYLOAD",
)


def sign(credentials: SigningCredentials = CREDENTIALS) -> dict[bytes, bytes]:
    return dict(
        sign_headers(
            REQUEST,
            credentials=credentials,
            region=b"eu-west-1",
            amz_date=b"20260102T030405Z",
            keys=SigningKeys(),
        )
    )


def test_signing_adds_the_date_the_payload_hash_the_token_and_the_authorization() -> None:
    assert list(sign()) == [
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
        b"authorization",
    ]


def test_static_credentials_add_no_token() -> None:
    static = SigningCredentials(access_key_id="AKIDBACKEND", secret_access_key="a-secret")
    assert b"x-amz-security-token" not in sign(static)


def test_every_header_given_is_signed() -> None:
    names = b"content-md5;host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    assert b"SignedHeaders=" + names + b"," in sign()[b"authorization"]


def test_credentials_do_not_show_their_secrets() -> None:
    assert "a-secret" not in repr(CREDENTIALS)
    assert "a-token" not in repr(CREDENTIALS)


SCOPE = b"20260102/eu-west-1/s3/aws4_request"


def test_a_signing_key_is_stored_only_when_it_is_to_be_remembered() -> None:
    keys = SigningKeys()
    key = keys.derive("a-secret", SCOPE)
    assert len(keys) == 0
    keys.remember("a-secret", SCOPE, key)
    keys.remember("a-secret", SCOPE, key)
    assert len(keys) == 1
    assert keys.derive("a-secret", SCOPE) is key


def test_another_secret_has_another_signing_key() -> None:
    keys = SigningKeys()
    keys.remember("a-secret", SCOPE, keys.derive("a-secret", SCOPE))
    assert keys.derive("rotated", SCOPE) != keys.derive("a-secret", SCOPE)


def test_the_oldest_signing_key_makes_room() -> None:
    keys = SigningKeys(maxsize=2)
    stored = {region: b"key of " + region for region in (b"a", b"b", b"c")}
    for region, key in stored.items():
        keys.remember("a-secret", region, key)
    assert len(keys) == 2
    assert keys.derive("a-secret", b"c") is stored[b"c"]
    assert keys.derive("a-secret", b"a") != stored[b"a"]


@pytest.mark.rule("3.10.3")
def test_a_query_is_split_into_decoded_pairs() -> None:
    assert split_query(b"&uploads&prefix=a%2Fb+c&x=1=2&") == [
        (b"uploads", b""),
        (b"prefix", b"a/b c"),
        (b"x", b"1=2"),
    ]
