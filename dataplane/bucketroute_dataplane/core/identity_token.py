"""A caller's JWT → who they are: service accounts of this cluster, and listed OIDC issuers.

Two steps, because the key may have to be fetched between them: `read_token` and `admit` refuse
everything that needs no key (so no stranger makes us ask an issuer), `identify` does the rest.
Source: RFC 7519 §4.1, RFC 8725 (JWT best practices) §3.1, §3.8, §3.11; Kubernetes "Service account
token volume projection".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import (
    Identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.jwk import ES256, RS256, VerificationKey, decode_base64url
from bucketroute_dataplane.core.login_errors import sts_error
from bucketroute_snapshot import ClassSettings

# A projected token is about 1 KiB; with many groups an external one may have some KiB.
MAX_TOKEN_LENGTH = 16 * 1024
MAX_CLOCK_SKEW_SECONDS = 60
# OpenID Connect Core §2: a subject has at most 255 ASCII characters.
MAX_SUBJECT_LENGTH = 255

_ALGORITHMS = frozenset((RS256, ES256))
# Names as Kubernetes has them: RFC 1123 label and subdomain.
_is_service_account = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """An issuer and the audiences that its tokens must be for, one of them."""

    issuer: str
    audiences: tuple[str, ...]
    is_cluster: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedToken:
    """A well-formed JWT; nothing that it says is proved."""

    algorithm: str
    key_id: str
    claims: Mapping[str, object] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """Whose token it is, with the claims that the answer to a login repeats."""

    identity: Identity
    subject: str
    audience: str
    issuer: str


def trusted_issuers(settings: ClassSettings) -> Mapping[str, TrustedIssuer]:
    """By issuer. The cluster's own tokens must be for the class's client audience."""
    issuers = {
        item.issuer: TrustedIssuer(issuer=item.issuer, audiences=item.audiences, is_cluster=False)
        for item in settings.client_issuers
    }
    cluster = settings.cluster_issuer
    if cluster is not None:
        audiences = (settings.client_audience,)
        issuers[cluster] = TrustedIssuer(issuer=cluster, audiences=audiences, is_cluster=True)
    return issuers


def read_token(text: str) -> UnverifiedToken:
    """Raises: S3Error InvalidIdentityToken; no message holds any of the token."""
    parts = text.strip().split(".")
    if len(parts) != 3 or len(text) > MAX_TOKEN_LENGTH:
        raise _invalid("The web identity token is not a JWT of three parts.")
    header, claims = _json_object(parts[0]), _json_object(parts[1])
    if str(header.get("typ", "JWT")).upper() != "JWT" or "crit" in header:
        raise _invalid("The header of the web identity token asks for what is not supported.")
    try:
        signature = decode_base64url(parts[2])
    except ValueError:
        raise _invalid("The web identity token has no signature.") from None
    return UnverifiedToken(
        algorithm=str(header.get("alg")),
        key_id=str(header.get("kid", "")),
        claims=claims,
        signed=f"{parts[0]}.{parts[1]}".encode(),
        signature=signature,
    )


def admit(token: UnverifiedToken, issuers: Mapping[str, TrustedIssuer]) -> TrustedIssuer:
    """The issuer whose keys are to be asked. Raises: S3Error InvalidIdentityToken."""
    issuer = token.claims.get("iss")
    trusted = issuers.get(issuer) if isinstance(issuer, str) else None
    if trusted is None:
        raise _invalid("No OpenIDConnect provider found for the issuer of the token.")
    if token.algorithm not in _ALGORITHMS:
        raise _invalid("The web identity token must be signed with RS256 or ES256.")
    return trusted


def identify(
    token: UnverifiedToken, key: VerificationKey | None, issuer: TrustedIssuer, now: datetime
) -> VerifiedToken:
    """Prove the token; `key` None means that the issuer has no key of that ID.

    Raises: S3Error InvalidIdentityToken, ExpiredTokenException.
    """
    if key is None or key.algorithm != token.algorithm:
        raise unknown_key()
    if not key.verifies(token.signature, token.signed):
        raise _invalid("The signature of the web identity token is not valid.")
    audience = _audience(token.claims.get("aud"), issuer.audiences)
    _check_times(token.claims, now.timestamp())
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise _invalid("The web identity token has no usable subject.")
    return VerifiedToken(
        identity=_identity(subject, issuer),
        subject=subject,
        audience=audience,
        issuer=issuer.issuer,
    )


def service_account_of(subject: str) -> Identity | None:
    """None if the subject is no service account's."""
    found = _is_service_account(subject)
    return None if found is None else service_account_identity(found[1], found[2])


def unknown_key() -> S3Error:
    """In AWS's words."""
    return _invalid("Couldn't retrieve verification key from your identity provider.")


def _identity(subject: str, issuer: TrustedIssuer) -> Identity:
    if not issuer.is_cluster:
        if len(subject) > MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise _invalid("The web identity token has no usable subject.")
        return oidc_identity(issuer.issuer, subject)
    identity = service_account_of(subject)
    if identity is None:
        raise _invalid("The subject of the web identity token is no service account.")
    return identity


def _audience(claimed: object, accepted: tuple[str, ...]) -> str:
    """One string or a list of them, any overlap passes; nothing accepted passes nothing."""
    values = claimed if isinstance(claimed, list) else [claimed]
    for audience in accepted:
        if audience and audience in values:
            return audience
    raise _invalid("Incorrect token audience")


def _check_times(claims: Mapping[str, object], now: float) -> None:
    expires, not_before = _numeric_date(claims.get("exp")), claims.get("nbf")
    if expires is None:
        raise _invalid("The web identity token has no expiry.")
    if now >= expires + MAX_CLOCK_SKEW_SECONDS:
        raise sts_error("ExpiredTokenException")
    if not_before is None:
        return
    begins = _numeric_date(not_before)
    if begins is None or begins > now + MAX_CLOCK_SKEW_SECONDS:
        raise _invalid("The web identity token is not valid yet.")


def _numeric_date(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value


def _json_object(part: str) -> dict[str, object]:
    try:
        value = json.loads(decode_base64url(part), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        # Raised outside the handler: the decoder's own error would carry the token's text along.
        raise _invalid("The web identity token is not JSON in base64url.")
    return value


def _refuse_constant(name: str) -> float:
    """NaN is neither before nor after any time, so it must not become an expiry."""
    raise ValueError(f"{name} is no JSON")


def _invalid(message: str) -> S3Error:
    return sts_error("InvalidIdentityToken", message)
