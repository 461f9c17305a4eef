"""Why a signature does not match, for classes with `signatureDiagnostics: Enabled`.

The answer gets what AWS's has (`StringToSign`, `CanonicalRequest`), and the first component that
differs if one of the mistakes in `signature_variants` explains the signature. What is never told:
the secret, the signature that would have been right (anybody could have requests signed for them),
and the values of headers that are secrets themselves. `SignatureProvided` of AWS is left out: it
may be right for another request, and errors end up in logs.
"""

from __future__ import annotations

import re
from datetime import datetime
from hmac import compare_digest
from itertools import islice
from typing import Final, NamedTuple

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.session import SessionSealer
from bucketroute_dataplane.core.signature_variants import (
    Arrived,
    SignedParts,
    Variant,
    variants,
)
from bucketroute_dataplane.core.sigv4 import SigV4Claim, canonical_path, parse_authorization
from bucketroute_dataplane.core.sigv4_canonical import (
    derive_signing_key,
    encode_query,
    fold_headers,
    split_query,
    trim_value,
)

# Each guess is a hash of the whole head, and strangers who know an access key ID can have it made.
MAX_VARIANTS: Final = 256
MAX_EXPLAINED_BYTES: Final = 16 * 1024

# Session tokens and the customer's own encryption keys, as headers and in a presigned query.
_SECRET_LINE = re.compile(
    r"^((?:x-amz-security-token|cookie|authorization|proxy-authorization"
    r"|x-amz-(?:copy-source-)?server-side-encryption-customer-key):).+$",
    re.MULTILINE,
)
_SECRET_PARAMETER = re.compile(r"(X-Amz-Security-Token=)[^&\n]+")
_REDACTED = r"\1<redacted>"
_UNEXPLAINED: Final = (
    "No mistake that BucketRoute knows explains the signature: the secret access key is another "
    "one, or something between client and BucketRoute changed the request. Compare "
    "CanonicalRequest with the one in the SDK's debug log."
)
_OF_A_CHUNK: Final = (
    "The signature of the head is right: that of a chunk or of the trailer of the body is not."
)
# What happens to a secret on its way into a client's configuration.
_SECRET_FORMS: Final = (
    ("ends in a line break", "{}\n"),
    ("ends in a line break", "{}\r\n"),
    ("ends in a space", "{} "),
    ("stands in quotes", '"{}"'),
)


class Diagnosis(NamedTuple):
    """The error to answer with, and the component for the log."""

    error: S3Error
    component: str


def diagnose(
    error: S3Error, head: RequestHead, index: RouteIndex, sessions: SessionSealer, now: datetime
) -> Diagnosis | None:
    """More about a SignatureDoesNotMatch; None where the request does not carry what it takes.

    Costs up to MAX_VARIANTS signatures, a few milliseconds: for debugging.
    """
    try:
        claim = parse_authorization(
            head.method, head.raw_path, raw_query=head.raw_query, headers=head.headers
        )
        secret = None if claim is None else _secret_of(claim, index, sessions, now)
    except S3Error:
        return None  # it is malformed, and says so itself
    if claim is None or secret is None:
        return None
    parts, arrived = _parts(claim, head), _arrived(head, index)
    if _verifies(parts, claim, secret):
        return Diagnosis(_with(error, _OF_A_CHUNK, {}), "chunk signature")
    found = _explanation(claim, parts, arrived, secret)
    component, text = ("unknown", _UNEXPLAINED) if found is None else found
    fields = {
        "AWSAccessKeyId": claim.access_key_id,
        "StringToSign": claim.string_to_sign.decode("utf-8", "replace"),
        "CanonicalRequest": _redacted(claim.canonical_request.decode("utf-8", "replace")),
        "FirstDifference": component,
    }
    return Diagnosis(_with(error, text, fields), component)


def _secret_of(
    claim: SigV4Claim, index: RouteIndex, sessions: SessionSealer, now: datetime
) -> str | None:
    """Raises: S3Error for a session token that does not open any more."""
    if claim.security_token is not None:
        return sessions.open(claim.security_token, now).secret_access_key.reveal()
    key = index.access_keys.get(claim.access_key_id)
    return None if key is None else key.secret.reveal()


def _parts(claim: SigV4Claim, head: RequestHead) -> SignedParts:
    headers = fold_headers(head.headers)
    return SignedParts(
        method=head.method,
        path=canonical_path(head.raw_path),
        query=encode_query(split_query(_unsigned_query(head.raw_query))),
        headers=tuple((name, trim_value(headers[name])) for name in claim.signed_headers),
        signed_headers=b";".join(claim.signed_headers),
        payload_hash=claim.payload_hash,
        timestamp=claim.timestamp,
        region=claim.scope.region,
        service=claim.scope.service,
    )


def _arrived(head: RequestHead, index: RouteIndex) -> Arrived:
    return Arrived(
        raw_path=head.raw_path,
        raw_query=_unsigned_query(head.raw_query),
        headers=fold_headers(head.headers),
        domains=index.domains,
        class_region=index.settings.region.encode(),
    )


def _unsigned_query(raw_query: bytes) -> bytes:
    parts = raw_query.split(b"&")
    return b"&".join([part for part in parts if not part.startswith(b"X-Amz-Signature=")])


def _explanation(
    claim: SigV4Claim, parts: SignedParts, arrived: Arrived, secret: str
) -> tuple[str, str] | None:
    """The component that differs, and a sentence."""
    for what, form in _SECRET_FORMS:
        if _verifies(parts, claim, form.format(secret)):
            return "secret access key", f"The client's secret access key {what}."
    if len(claim.canonical_request) > MAX_EXPLAINED_BYTES:
        return None
    for variant in islice(variants(parts, arrived), MAX_VARIANTS):
        if _verifies(variant.parts, claim, secret):
            return variant.component, _sentence(variant)
    return None


def _sentence(variant: Variant) -> str:
    return f"The signature is right but for the {variant.component}, which {variant.what}."


def _verifies(parts: SignedParts, claim: SigV4Claim, secret: str) -> bool:
    key = derive_signing_key(secret, parts.scope)
    return compare_digest(key.sign(parts.string_to_sign), claim.signature)


def _redacted(text: str) -> str:
    return _SECRET_PARAMETER.sub(_REDACTED, _SECRET_LINE.sub(_REDACTED, text))


def _with(error: S3Error, text: str, fields: dict[str, str]) -> S3Error:
    return S3Error(
        error.code, error.status, f"{error.message} {text}", fields={**error.fields, **fields}
    )
