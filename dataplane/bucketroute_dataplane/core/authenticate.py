"""Who sends this request? SigV4 by header or presigned URL, or nobody in particular.

Pure: everything it needs is in the head and in the snapshot, so it comes before any body is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.identity import ANONYMOUS, Identity
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.sigv4 import (
    SigningKeys,
    VerifiedSignature,
    parse_authorization,
    verify,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, and what they declared of the body.

    `payload_hash` is None for an anonymous request. `signature` is the seed of signed chunks.
    """

    identity: Identity
    payload_hash: bytes | None
    signature: VerifiedSignature | None


ANYBODY = Caller(ANONYMOUS, None, None)


def authenticate(
    head: RequestHead, index: RouteIndex, *, now: datetime, keys: SigningKeys
) -> Caller:
    """Verifies the request's signature in full.

    Raises: S3Error InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, AccessDenied,
    InvalidToken, and whatever `parse_authorization` refuses.
    """
    claim = parse_authorization(
        head.method, head.raw_path, raw_query=head.raw_query, headers=head.headers
    )
    if claim is None:
        return ANYBODY
    if claim.security_token is not None:
        raise s3_error("InvalidToken")
    access_key = index.access_keys.get(claim.access_key_id)
    if access_key is None:
        raise s3_error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key_id)
    signature = verify(claim, access_key.secret.reveal(), now=now, keys=keys)
    return Caller(access_key.identity, claim.payload_hash, signature)
