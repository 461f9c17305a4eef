"""The projected service-account token that is exchanged for backend credentials.

Only who it is about is read, and nothing is verified: that is the business of the STS. A file that
does not hold such a token is refused here, so that a wrong path never sends a file's content out.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass

from bucketroute_snapshot import Secret


class WebIdentityTokenError(Exception):
    """There is no token to exchange. The message never holds any of the token's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentityToken:
    """A token with its subject; the times are epoch seconds, None where it has none."""

    value: Secret
    subject: str
    issued_at: float | None = None
    expires_at: float | None = None


def parse_web_identity_token(text: str) -> WebIdentityToken:
    """Read the claims of a JWT without verifying it.

    Raises: WebIdentityTokenError.  Source: RFC 7519 §3, §4.1; RFC 7515 §7.1.
    """
    token = text.strip()
    if not token:
        raise WebIdentityTokenError("the web identity token is empty")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii() or not token.isprintable() or " " in token:
        raise WebIdentityTokenError("the web identity token is not a JWT of three parts")
    claims = _claims(parts[1])
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise WebIdentityTokenError("the web identity token names no subject")
    return WebIdentityToken(
        value=Secret(token),
        subject=subject,
        issued_at=_numeric_date(claims.get("iat")),
        expires_at=_numeric_date(claims.get("exp")),
    )


def _claims(part: str) -> dict[str, object]:
    try:
        claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        # Raised outside the handler: the decoder's own error would carry the token's text along.
        raise WebIdentityTokenError(
            "the claims of the web identity token are not JSON in base64url"
        )
    return claims


def _numeric_date(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
