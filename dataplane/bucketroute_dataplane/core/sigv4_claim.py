"""What a SigV4-signed request claims, and the checks that the header and the query form share.

Nothing here says whether a claim is true; `sigv4_verify` does.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.sigv4_canonical import (
    CredentialScope,
    canonical_path,
    canonical_request,
    encode_query,
    string_to_sign,
)

# STREAMING-… is an open set here: which of them is served is for the caller to decide.
_is_payload_hash = re.compile(rb"UNSIGNED-PAYLOAD|[0-9a-f]{64}|STREAMING-[A-Z0-9\-]+").fullmatch
# IAM ends access key IDs at 128 characters; the limit leaves room for other issuers.
_is_credential = re.compile(
    rb"[!-.0-~]{1,256}/[0-9]{8}/[!-.0-~]{1,64}/[!-.0-~]{1,64}/aws4_request"
).fullmatch
# User metadata is at most 2 KiB, names and values; no other list of headers comes near that.
_MAX_SIGNED_HEADERS_BYTES = 4096
_is_name_list = re.compile(rb"[a-z0-9!#$%&'*+\-.^_`|~]+(?:;[a-z0-9!#$%&'*+\-.^_`|~]+)*").fullmatch


def check_payload_hash(value: bytes) -> None:
    """Raises: S3Error InvalidArgument for what x-amz-content-sha256 cannot be."""
    if not _is_payload_hash(value):
        raise s3_error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING-* value "
            "or a SHA-256 in hex.",
        )


class SigV4Claim(NamedTuple):
    """A well-formed and still unproved claim to be `access_key_id`.

    `timestamp` is `amz_date` as it was signed. `payload_hash` is the value of
    x-amz-content-sha256. `expires_seconds` is set for a presigned URL only.
    """

    access_key_id: str
    scope: CredentialScope
    signed_headers: tuple[bytes, ...]
    signature: bytes
    amz_date: datetime
    timestamp: bytes
    expires_seconds: int | None
    payload_hash: bytes
    security_token: bytes | None
    canonical_request: bytes

    def __repr__(self) -> str:
        """Without the signature and the token, which a presigned URL's holder lives by."""
        return f"SigV4Claim(access_key_id={self.access_key_id!r}, scope={self.scope!r})"

    @property
    def is_presigned(self) -> bool:
        return self.expires_seconds is not None

    @property
    def string_to_sign(self) -> bytes:
        return string_to_sign(self.timestamp, self.scope.encoded, self.canonical_request)


class SignedRequest(NamedTuple):
    """The parts of a request that its signature covers; `query` is decoded, `headers` folded."""

    method: bytes
    raw_path: bytes
    query: list[tuple[bytes, bytes]]
    headers: Mapping[bytes, bytes]
    service: bytes


class ClaimTerms(NamedTuple):
    """The terms of a signature as either form states them; `code` is that form's error code."""

    code: str
    credential: bytes
    signed_headers: bytes
    signature: bytes
    amz_date: datetime
    timestamp: bytes
    expires_seconds: int | None
    payload_hash: bytes
    security_token: bytes | None


def build_claim(request: SignedRequest, terms: ClaimTerms) -> SigV4Claim:
    """Check the terms against the request and join the two.

    Raises: S3Error(terms.code) for a malformed credential or list of names;
        S3Error(AccessDenied) when `host` or an x-amz-* header is not signed;
        S3Error(SignatureDoesNotMatch) when a signed header is absent;
        S3Error(InvalidArgument) for a malformed payload hash.
    """
    access_key_id, scope, names, name_set = _parse_identity(
        terms.credential, terms.signed_headers, request.service, terms.code
    )
    if scope.date != terms.timestamp[:8]:
        raise s3_error(
            terms.code,
            f'Invalid credential date "{scope.date.decode()}". '
            f'This date is not the same as X-Amz-Date: "{terms.timestamp[:8].decode()}".',
        )
    _check_names(name_set, request.headers)
    check_payload_hash(terms.payload_hash)
    headers = request.headers
    query = [pair for pair in request.query if pair[0] != b"X-Amz-Signature"]
    return SigV4Claim(
        access_key_id=access_key_id,
        scope=scope,
        signed_headers=names,
        signature=terms.signature,
        amz_date=terms.amz_date,
        timestamp=terms.timestamp,
        expires_seconds=terms.expires_seconds,
        payload_hash=terms.payload_hash,
        security_token=terms.security_token,
        canonical_request=canonical_request(
            request.method,
            canonical_path(request.raw_path),
            query=encode_query(query) if query else b"",
            headers=[(name, headers[name]) for name in names],
            signed_headers=terms.signed_headers,
            payload_hash=terms.payload_hash,
        ),
    )


# Pure, so remembering it is no state: a client repeats its credential and its list of names on
# every request of a day.  The limits on both bound what strangers can have remembered.
@lru_cache(maxsize=1024)
def _parse_identity(
    credential: bytes, signed_headers: bytes, service: bytes, code: str
) -> tuple[str, CredentialScope, tuple[bytes, ...], frozenset[bytes]]:
    if not _is_credential(credential):
        raise s3_error(
            code,
            "Credential is malformed; "
            'expecting "<access key ID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
        )
    access_key_id, date, region, claimed_service, _ = credential.split(b"/")
    if claimed_service != service:
        raise s3_error(
            code,
            f'Incorrect service "{claimed_service.decode()}". '
            f'This endpoint belongs to "{service.decode()}".',
        )
    if len(signed_headers) > _MAX_SIGNED_HEADERS_BYTES or not _is_name_list(signed_headers):
        raise s3_error(code, "SignedHeaders must be lower-case header names joined by ';'.")
    names = tuple(signed_headers.split(b";"))
    if b"host" not in names:
        raise _not_signed(b"host")
    scope = CredentialScope(date=date, region=region, service=service)
    return access_key_id.decode(), scope, names, frozenset(names)


def _check_names(names: frozenset[bytes], headers: Mapping[bytes, bytes]) -> None:
    """Refuse a request with an x-amz-* header outside the signature, or a signed one absent."""
    unsigned = [name for name in headers.keys() - names if name.startswith(b"x-amz-")]
    if unsigned:
        raise _not_signed(min(unsigned))
    if not names <= headers.keys():
        absent = min(names - headers.keys()).decode()
        raise s3_error(
            "SignatureDoesNotMatch",
            f'The signed header "{absent}" is not part of the request.',
        )


def _not_signed(name: bytes) -> S3Error:
    return s3_error(
        "AccessDenied",
        "There were headers present in the request which were not signed: "
        + name.decode("ascii", "replace"),
    )
