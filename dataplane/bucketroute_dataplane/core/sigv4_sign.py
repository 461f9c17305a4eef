"""Signs requests to backends with SigV4 in the Authorization header.

Low level on purpose: whether a request may be signed is decided by the caller.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bucketroute_dataplane.core.sigv4_canonical import (
    SigningKeys,
    canonical_path,
    canonical_request,
    derive_signing_key,
    encode_scope,
    fold_headers,
    string_to_sign,
)


class SigningCredentials(NamedTuple):
    """Keys of a backend; `session_token` is None for static ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"SigningCredentials(access_key_id={self.access_key_id!r})"


class UnsignedRequest(NamedTuple):
    """What goes to the backend, before it is signed.

    `raw_path` and `canonical_query` (made by `encode_query`) are the bytes of the request target.
    Every header in `headers` is signed: lower-case names, `host` among them, and none of those
    that signing adds.
    """

    method: bytes
    raw_path: bytes
    canonical_query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    payload_hash: bytes


def sign_headers(
    request: UnsignedRequest,
    *,
    credentials: SigningCredentials,
    region: bytes,
    amz_date: bytes,
    keys: SigningKeys,
    service: bytes = b"s3",
) -> list[tuple[bytes, bytes]]:
    """Return the headers to add: x-amz-date, x-amz-content-sha256, the token, authorization.

    `amz_date` is the text that `format_amz_date` makes.
    """
    added = [(b"x-amz-content-sha256", request.payload_hash), (b"x-amz-date", amz_date)]
    if credentials.session_token is not None:
        added.append((b"x-amz-security-token", credentials.session_token.encode()))
    headers = sorted(fold_headers([*request.headers, *added]).items())
    signed_headers = b";".join([name for name, _ in headers])
    canonical = canonical_request(
        request.method,
        canonical_path(request.raw_path),
        query=request.canonical_query,
        headers=headers,
        signed_headers=signed_headers,
        payload_hash=request.payload_hash,
    )
    scope = encode_scope(amz_date[:8], region, service)
    key = keys.get(credentials.secret_access_key, scope)
    if key is None:
        key = derive_signing_key(credentials.secret_access_key, scope)
        keys.remember(credentials.secret_access_key, scope, key)
    signature = key.sign(string_to_sign(amz_date, scope, canonical))
    authorization = b"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        credentials.access_key_id.encode(),
        scope,
        signed_headers,
        signature,
    )
    added.append((b"authorization", authorization))
    return added
