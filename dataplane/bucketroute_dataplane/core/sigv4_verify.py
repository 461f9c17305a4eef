"""Decides whether a SigV4 claim is true and fresh."""

from datetime import datetime, timedelta
from hmac import compare_digest
from typing import NamedTuple

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.sigv4_canonical import (
    SigningKey,
    SigningKeys,
    derive_signing_key,
)
from bucketroute_dataplane.core.sigv4_claim import SigV4Claim

# AWS's own tolerance between the client's clock and ours.
MAX_CLOCK_SKEW_SECONDS = 15 * 60


class VerifiedSignature(NamedTuple):
    """A proved claim, and what the signatures of its body's chunks are chained from."""

    seed_signature: bytes
    signing_key: SigningKey
    scope: bytes
    timestamp: bytes

    def __repr__(self) -> str:
        return f"VerifiedSignature(scope={self.scope!r})"


def verify(
    claim: SigV4Claim,
    secret_access_key: str,
    *,
    now: datetime,
    keys: SigningKeys,
    max_clock_skew_seconds: int = MAX_CLOCK_SKEW_SECONDS,
) -> VerifiedSignature:
    """Prove a claim with the secret of its access key.

    Raises: S3Error(RequestTimeTooSkewed) when a header-signed request is too old or too new;
        S3Error(AccessDenied) when a presigned URL has expired or is not valid yet;
        S3Error(SignatureDoesNotMatch).
    """
    _check_time(claim, now, max_skew=timedelta(seconds=max_clock_skew_seconds))
    scope = claim.scope.encoded
    known = keys.get(secret_access_key, scope)
    key = known or derive_signing_key(secret_access_key, scope)
    expected = key.sign(claim.string_to_sign)
    if not compare_digest(expected, claim.signature):
        raise s3_error("SignatureDoesNotMatch")
    if known is None:
        keys.remember(secret_access_key, scope, key)
    return VerifiedSignature(
        seed_signature=expected,
        signing_key=key,
        scope=scope,
        timestamp=claim.timestamp,
    )


def _check_time(claim: SigV4Claim, now: datetime, *, max_skew: timedelta) -> None:
    age = now - claim.amz_date
    if claim.expires_seconds is None:
        if abs(age) > max_skew:
            raise s3_error("RequestTimeTooSkewed")
        return
    if age < -max_skew:
        raise s3_error("AccessDenied", "Request is not valid yet.")
    if age > timedelta(seconds=claim.expires_seconds):
        raise s3_error("AccessDenied", "Request has expired.")
