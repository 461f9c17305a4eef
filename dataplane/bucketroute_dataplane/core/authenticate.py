"""Who sends this request? By SigV4, header or presigned URL, a bearer token, or nobody at all.

Pure: everything it needs is in the head, in the snapshot and in keys that are at hand, so it comes
before any body is read. Only a bearer token of an unknown key is left open (`BearerToken`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import ANONYMOUS, Identity
from bucketroute_dataplane.core.identity_token import (
    TrustedIssuer,
    UnverifiedToken,
    admit,
    identify,
    read_token,
)
from bucketroute_dataplane.core.jwk import VerificationKey
from bucketroute_dataplane.core.login_errors import in_terms_of_s3
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.request import parse_query
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.session import Session, SessionSealer
from bucketroute_dataplane.core.sigv4 import (
    SigningKeys,
    SigV4Claim,
    VerifiedSignature,
    parse_authorization,
    verify,
)

_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, and what they declared of the body.

    `payload_hash` is None for a request without a signature. `signature` is the seed of signed
    chunks. `session` is set for a caller that has logged in.
    """

    identity: Identity
    payload_hash: bytes | None
    signature: VerifiedSignature | None
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that is admitted and whose key is not at hand: it must be asked for first."""

    token: UnverifiedToken
    issuer: TrustedIssuer

    def caller(self, key: VerificationKey | None, now: datetime) -> Caller:
        """Raises: S3Error InvalidToken, ExpiredToken."""
        try:
            verified = identify(self.token, key, self.issuer, now)
        except S3Error as error:
            raise in_terms_of_s3(error) from error
        return Caller(verified.identity, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What proves a caller beside the access keys of the snapshot.

    `known_key` gives an issuer's key by its ID, if it is at hand and fresh.
    """

    sessions: SessionSealer
    issuers: Mapping[str, TrustedIssuer]
    known_key: Callable[[TrustedIssuer, str], VerificationKey | None]


ANYBODY = Caller(ANONYMOUS, None, None)


def authenticate(
    head: RequestHead, index: RouteIndex, *, now: datetime, keys: SigningKeys, trust: Trust
) -> Caller | BearerToken:
    """Verifies the request's proof in full.

    Raises: S3Error InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, AccessDenied,
    InvalidToken, ExpiredToken, ServiceUnavailable, and whatever `parse_authorization` refuses.
    """
    authorization = head.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == _BEARER:
        return _bearer(head, authorization[7:], now, trust)
    claim = parse_authorization(
        head.method, head.raw_path, raw_query=head.raw_query, headers=head.headers
    )
    if claim is None:
        return ANYBODY
    return caller_of(claim, index, now=now, keys=keys, sessions=trust.sessions)


def caller_of(
    claim: SigV4Claim,
    index: RouteIndex,
    *,
    now: datetime,
    keys: SigningKeys,
    sessions: SessionSealer,
) -> Caller:
    """Proves a signature with the secret of a session or of an access key. Raises: S3Error."""
    if claim.security_token is not None:
        session = sessions.open(claim.security_token, now)
        if session.access_key_id != claim.access_key_id:
            raise s3_error("InvalidToken")
        signature = verify(claim, session.secret_access_key.reveal(), now=now, keys=keys)
        return Caller(session.identity, claim.payload_hash, signature, session)
    access_key = index.access_keys.get(claim.access_key_id)
    if access_key is None:
        if sessions.is_empty:  # neither have access keys come: who is known cannot be said
            raise s3_error("ServiceUnavailable")
        raise s3_error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key_id)
    signature = verify(claim, access_key.secret.reveal(), now=now, keys=keys)
    return Caller(access_key.identity, claim.payload_hash, signature)


def _bearer(head: RequestHead, text: bytes, now: datetime, trust: Trust) -> Caller | BearerToken:
    is_ambiguous = (
        any(name.lower().startswith(b"x-amz-") for name in parse_query(head.raw_query))
        or sum(name == b"authorization" for name, _ in head.headers) > 1
    )
    if is_ambiguous:
        raise s3_error("InvalidRequest", "Only one authentication mechanism is allowed.")
    try:
        token = read_token(text.decode("latin-1"))
        issuer = admit(token, trust.issuers)
    except S3Error as error:
        raise in_terms_of_s3(error) from error
    pending = BearerToken(token, issuer)
    key = trust.known_key(issuer, token.key_id)
    return pending if key is None else pending.caller(key, now)
