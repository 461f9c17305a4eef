"""Reads the SigV4 proof that a request carries, in the header or in a presigned URL.

Sources: AWS "Authenticating Requests (AWS Signature Version 4)", the pages "Using the
Authorization Header" and "Using Query Parameters".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.sigv4_canonical import (
    ALGORITHM,
    UNSIGNED_PAYLOAD,
    fold_headers,
    format_amz_date,
    parse_amz_date,
    split_query,
    trim_value,
)
from bucketroute_dataplane.core.sigv4_claim import (
    ClaimTerms,
    SignedRequest,
    SigV4Claim,
    build_claim,
)

# AWS's ceiling for X-Amz-Expires: a signing key lives for seven days.
MAX_EXPIRES_SECONDS = 7 * 24 * 3600

_HEADER_CODE = "AuthorizationHeaderMalformed"
_QUERY_CODE = "AuthorizationQueryParametersError"
_QUERY_MARKS = frozenset({b"X-Amz-Signature", b"X-Amz-Credential", b"X-Amz-Algorithm"})
_SIGV2_MARKS = frozenset({b"AWSAccessKeyId", b"Signature"})
_HEADER_TERMS = frozenset({b"Credential", b"SignedHeaders", b"Signature"})
_USUAL_TERMS = (b"Credential", b"SignedHeaders", b"Signature")
# The one form that every SDK sends; all others are taken apart below.
_usual_authorization = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([^, =]+), ?SignedHeaders=([^, =]+), ?Signature=([^, =]+)"
).fullmatch
_QUERY_TERMS = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Date",
    b"X-Amz-Expires",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Signature",
)


def parse_authorization(
    method: bytes,
    raw_path: bytes,
    *,
    raw_query: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    service: bytes = b"s3",
    body_sha256: bytes | None = None,
) -> SigV4Claim | None:
    """Return the claim of a request, or None when the request is anonymous.

    Header names are lower case and may repeat.  `body_sha256` (64 hex digits) stands in for a
    missing x-amz-content-sha256 header: clients of services other than S3 do not send it.

    Raises: S3Error(InvalidRequest) for both forms at once or another scheme;
        S3Error(AuthorizationHeaderMalformed) or S3Error(AuthorizationQueryParametersError) for a
        claim that is not well formed; S3Error(AccessDenied) for a missing date, or when `host` or
        an x-amz-* header is not signed; S3Error(MissingSecurityHeader), S3Error(InvalidArgument)
        for a missing or malformed payload hash; S3Error(SignatureDoesNotMatch) when a signed
        header is absent.
    """
    query = split_query(raw_query) if raw_query else []
    names = {name for name, _ in query}
    if names >= _SIGV2_MARKS:
        # boto3 and version 1 of the AWS CLI, of which nobody chose it: say where they are told.
        _refuse_scheme(
            "Signature Version 2", " In boto3 and the AWS CLI, that is signature_version s3v4."
        )
    is_presigned = not names.isdisjoint(_QUERY_MARKS)
    folded = fold_headers(headers)
    authorization = folded.get(b"authorization")
    if authorization is None and not is_presigned:
        return None
    request = SignedRequest(method, raw_path, query, folded, service)
    if authorization is None:
        return build_claim(request, _presigned_terms(request))
    if is_presigned:
        raise s3_error(
            "InvalidRequest",
            "Only one authentication mechanism is allowed: the Authorization header or the "
            "X-Amz-* query parameters, not both.",
        )
    return build_claim(request, _header_terms(folded, authorization.strip(), body_sha256))


def _refuse_scheme(what: str, hint: str = "") -> NoReturn:
    raise s3_error(
        "InvalidRequest",
        f"The authorization mechanism you have provided ({what}) is not supported. "
        f"Please use AWS4-HMAC-SHA256.{hint}",
    )


def _header_terms(
    headers: Mapping[bytes, bytes], authorization: bytes, body_sha256: bytes | None
) -> ClaimTerms:
    parts = _authorization_parts(authorization)
    amz_date, timestamp = _header_date(headers)
    payload_hash = headers.get(b"x-amz-content-sha256", body_sha256)
    if payload_hash is None:
        raise s3_error(
            "MissingSecurityHeader",
            "Missing required header for this request: x-amz-content-sha256",
        )
    return ClaimTerms(
        code=_HEADER_CODE,
        credential=parts[b"Credential"],
        signed_headers=parts[b"SignedHeaders"],
        signature=parts[b"Signature"],
        amz_date=amz_date,
        timestamp=timestamp,
        expires_seconds=None,
        payload_hash=payload_hash.strip(),
        security_token=headers.get(b"x-amz-security-token"),
    )


def _authorization_parts(authorization: bytes) -> Mapping[bytes, bytes]:
    usual = _usual_authorization(authorization)
    if usual is not None:
        return dict(zip(_USUAL_TERMS, usual.groups(), strict=True))
    scheme, _, rest = authorization.partition(b" ")
    if scheme != ALGORITHM:
        known = {b"AWS": "Signature Version 2", b"AWS4-ECDSA-P256-SHA256": "SigV4A"}
        _refuse_scheme(known.get(scheme, "an unknown scheme"))
    parts: dict[bytes, bytes] = {}
    # AWS separates with ", "; clients in the field leave the space out (minio-go does).
    for part in rest.split(b","):
        name, equals, value = part.strip().partition(b"=")
        if not equals or name in parts:
            raise s3_error(_HEADER_CODE, "A component is repeated or has no value.")
        parts[name] = value
    if parts.keys() != _HEADER_TERMS:
        raise s3_error(
            _HEADER_CODE,
            "The header must hold exactly Credential, SignedHeaders and Signature.",
        )
    return parts


def _header_date(headers: Mapping[bytes, bytes]) -> tuple[datetime, bytes]:
    text = headers.get(b"x-amz-date")
    if text is None:
        moment = _http_date(headers.get(b"date", b"").strip())
    else:
        text = text.strip()
        moment = parse_amz_date(text)
    if moment is None:
        raise s3_error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header."
        )
    return moment, text or format_amz_date(moment)


def _http_date(text: bytes) -> datetime | None:
    """Read a Date header: RFC 9110 section 5.6.7, or the basic ISO form that some clients use."""
    moment = parse_amz_date(text)
    if moment is not None:
        return moment
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        # A date without a zone is GMT: RFC 9110 allows no other.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _presigned_terms(request: SignedRequest) -> ClaimTerms:
    terms = _query_terms(request.query)
    timestamp = terms[b"X-Amz-Date"]
    amz_date = parse_amz_date(timestamp)
    if amz_date is None:
        raise s3_error(_QUERY_CODE, 'X-Amz-Date must be in the form "yyyyMMddTHHmmssZ".')
    return ClaimTerms(
        code=_QUERY_CODE,
        credential=terms[b"X-Amz-Credential"],
        signed_headers=terms[b"X-Amz-SignedHeaders"],
        signature=terms[b"X-Amz-Signature"],
        amz_date=amz_date,
        timestamp=timestamp,
        expires_seconds=_expires_seconds(terms[b"X-Amz-Expires"]),
        # Presigning SDKs put the hash into the query, into a signed header, or leave it out.
        payload_hash=_hoisted(b"X-Amz-Content-Sha256", terms, request.headers) or UNSIGNED_PAYLOAD,
        security_token=_hoisted(b"X-Amz-Security-Token", terms, request.headers),
    )


def _query_terms(query: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found = [pair for pair in query if pair[0].startswith(b"X-Amz-")]
    terms = dict(found)
    if len(terms) != len(found) or not all(terms.get(name) for name in _QUERY_TERMS):
        raise s3_error(
            _QUERY_CODE,
            "Query-string authentication version 4 requires X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Date, X-Amz-Expires, X-Amz-SignedHeaders and X-Amz-Signature, each once.",
        )
    if terms[b"X-Amz-Algorithm"] != ALGORITHM:
        raise s3_error(_QUERY_CODE, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256".')
    return terms


def _expires_seconds(text: bytes) -> int:
    # At most six digits reach int(): a longer number is over seven days whatever it says.
    if text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_EXPIRES_SECONDS:
        return int(text)
    raise s3_error(
        _QUERY_CODE, f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_SECONDS}."
    )


def _hoisted(
    name: bytes, terms: Mapping[bytes, bytes], headers: Mapping[bytes, bytes]
) -> bytes | None:
    """Return a term that stands in the query or in the header of that name."""
    in_query = terms.get(name)
    in_header = headers.get(name.lower())
    if in_header is None:
        return in_query
    if in_query is not None and in_query != trim_value(in_header):
        raise s3_error(_QUERY_CODE, f"{name.decode()} differs from the header of that name.")
    return trim_value(in_header)
