"""Signing for backends, and the memory of signing keys."""

import pytest

from bucketroute_dataplane.core.sigv4 import (
    SigningCredentials,
    SigningKey,
    SigningKeys,
    UnsignedRequest,
    sign_headers,
    split_query,
)

CREDENTIALS = SigningCredentials(
    access_key_id="AKIDBACKEND", secret_access_key="a-secret", session_token="a-token"
)
SCOPE = b"20260102/eu-west-1/s3/aws4_request"
REQUEST = UnsignedRequest(
    method=b"PUT",
    raw_path=b"/bucket/key",
    canonical_query=b"partNumber=1&uploadId=u",
    headers=[(b"host", b"backend:9000"), (b"content-md5", b"1B2M2Y8AsgTpgAmY7PhCfg==")],
    payload_hash=b"UNSIGNED-PAYLOAD",
)


def sign(
    credentials: SigningCredentials = CREDENTIALS, *, keys: SigningKeys | None = None
) -> dict[bytes, bytes]:
    return dict(
        sign_headers(
            REQUEST,
            credentials=credentials,
            region=b"eu-west-1",
            amz_date=b"20260102T030405Z",
            keys=keys or SigningKeys(),
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


def test_a_signing_key_is_kept_and_used_again() -> None:
    keys = SigningKeys()
    first = sign(keys=keys)
    assert keys.get("a-secret", SCOPE) is not None
    assert sign(keys=keys) == first


def test_a_rotated_secret_has_a_signing_key_of_its_own() -> None:
    keys = SigningKeys()
    sign(keys=keys)
    sign(SigningCredentials(access_key_id="AKIDBACKEND", secret_access_key="rotated"), keys=keys)
    assert keys.get("a-secret", SCOPE) != keys.get("rotated", SCOPE)


def test_the_oldest_signing_key_makes_room() -> None:
    keys = SigningKeys(maxsize=2)
    known = {scope: SigningKey(b"key of " + scope) for scope in (b"a", b"b", b"c")}
    for scope, key in known.items():
        keys.remember("a-secret", scope, key)
    assert keys.get("a-secret", b"a") is None
    assert keys.get("a-secret", b"b") is known[b"b"]
    assert keys.get("a-secret", b"c") is known[b"c"]


@pytest.mark.rule("3.10.3")
def test_a_query_is_split_into_decoded_pairs() -> None:
    assert split_query(b"&uploads&prefix=a%2Fb+c&x=1=2&") == [
        (b"uploads", b""),
        (b"prefix", b"a/b c"),
        (b"x", b"1=2"),
    ]
