"""AWS Signature Version 4, in and out: the public names of the five modules behind it."""

from bucketroute_dataplane.core.sigv4_canonical import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    CredentialScope,
    SigningKey,
    SigningKeys,
    amz_epoch,
    canonical_path,
    encode_query,
    format_amz_date,
    parse_amz_date,
    split_query,
)
from bucketroute_dataplane.core.sigv4_claim import SigV4Claim, check_payload_hash
from bucketroute_dataplane.core.sigv4_parse import MAX_EXPIRES_SECONDS, parse_authorization
from bucketroute_dataplane.core.sigv4_sign import (
    SigningCredentials,
    UnsignedRequest,
    sign_headers,
)
from bucketroute_dataplane.core.sigv4_verify import (
    MAX_CLOCK_SKEW_SECONDS,
    VerifiedSignature,
    verify,
)

__all__ = [
    "EMPTY_SHA256",
    "MAX_CLOCK_SKEW_SECONDS",
    "MAX_EXPIRES_SECONDS",
    "STREAMING_SIGNED",
    "STREAMING_SIGNED_TRAILER",
    "STREAMING_UNSIGNED_TRAILER",
    "UNSIGNED_PAYLOAD",
    "CredentialScope",
    "SigV4Claim",
    "SigningCredentials",
    "SigningKey",
    "SigningKeys",
    "UnsignedRequest",
    "VerifiedSignature",
    "amz_epoch",
    "canonical_path",
    "check_payload_hash",
    "encode_query",
    "format_amz_date",
    "parse_amz_date",
    "parse_authorization",
    "sign_headers",
    "split_query",
    "verify",
]
