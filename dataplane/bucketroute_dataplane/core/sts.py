"""AssumeRoleWithWebIdentity: the form that is sent, the answer, and what a failure means.

Not here: how it is sent (shell/sts_client.py) and how long an answer is used
(credential_state.py). Nothing that an STS says may reach a client but its error code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never
from urllib.parse import quote, urlencode

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.errors import ERRORS, BackendUnavailableError, S3Error
from bucketroute_dataplane.core.sts_document import StsDocumentError, parse_sts_document
from bucketroute_dataplane.core.web_identity_token import WebIdentityToken
from bucketroute_snapshot import Secret, WebIdentityAuth

NEGATIVE_CACHE_SECONDS = 30.0
# An STS that asks for more is asked again all the same: a stray header must not stop a route for
# an hour.
MAX_RETRY_AFTER_SECONDS = 60.0
# Credentials that end sooner would be gone before the request that asked for them is signed.
MIN_SERVE_SECONDS = 5.0

_MAX_MESSAGE_CHARACTERS = 512
# Some STS repeat the token, or the beginning of it: base64url of `{"` or `{ `.
_JWT = re.compile(r"ey[JA][A-Za-z0-9_.-]{8,}")
_FALLBACK_SESSION_NAME = "bucketroute"
_UNKNOWN_CODE = "Unknown"

# Source: AWS "STS common errors"; the names that AWS services use for one and the same thing.
_THROTTLING = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
# "AWS STS AssumeRoleWithWebIdentity" calls IDPCommunicationError one to retry. MinIO 20260212 says
# InvalidParameterValue for a wrong audience, a wrong role and "not loaded yet" alike.
_WORTH_A_RETRY = frozenset({"IDPCommunicationError", "InvalidParameterValue"})

_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_.:@+-]{1,128}")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,32768}")
_CODE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StsRefusal:
    """The STS said no. `message` is its own text: for the log only.

    It is not asked again for `negative_cache_seconds`; a `retryable` one backs off besides.
    """

    code: str
    message: str
    retryable: bool
    negative_cache_seconds: float

    @property
    def detail(self) -> str:
        """For the log."""
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class StsUnavailable:
    """No usable answer: not reached, out of order, garbage, or no token to send."""

    detail: str
    code: str = "StsUnavailable"
    negative_cache_seconds: float = 0.0


ExchangeFailure = StsRefusal | StsUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class StsAnswer:
    """An HTTP answer of an STS, body and all."""

    status: int
    body: bytes
    retry_after: str | None = None


def role_session_name(name: str) -> str:
    """Make a name fit the STS: `[A-Za-z0-9+=,.@_-]`, 2 to 64 characters.

    Source: AWS "AssumeRoleWithWebIdentity", RoleSessionName.
    """
    fitted = re.sub(r"[^A-Za-z0-9+=,.@_-]", "_", name)[:64]
    return fitted if len(fitted) >= 2 else _FALLBACK_SESSION_NAME


def exchange_form(auth: WebIdentityAuth, token: WebIdentityToken) -> bytes:
    """The body of the POST, `application/x-www-form-urlencoded`.

    Source: AWS "AssumeRoleWithWebIdentity", request parameters.
    """
    fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", auth.role_arn),
        ("RoleSessionName", role_session_name(auth.session_name)),
        ("WebIdentityToken", token.value.reveal()),
        ("DurationSeconds", str(auth.duration_seconds)),
    ]
    if auth.session_policy is not None:
        fields.append(("Policy", auth.session_policy))
    return urlencode(fields, quote_via=quote).encode()


def parse_sts_answer(answer: StsAnswer, *, now: float) -> Credentials | ExchangeFailure:
    """Judge an answer by its body, then by its status. `now` is in epoch seconds.

    Source: AWS "AssumeRoleWithWebIdentity", response elements; "STS common errors".
    """
    try:
        document = parse_sts_document(answer.body)
    except StsDocumentError as error:
        return _unavailable(answer, f"the STS answered {answer.status} with {error}", now=now)
    if document.error_code is not None:
        return _refusal(answer, document.error_code, document.error_message, now=now)
    if answer.status != 200:
        return _unavailable(answer, f"the STS answered credentials with {answer.status}", now=now)
    return _credentials(document.credentials, now=now)


def client_error(failure: ExchangeFailure, *, retry_after_seconds: int) -> S3Error:
    """The error that a client gets when its route's credentials cannot be had."""
    match failure:
        case StsUnavailable():
            return BackendUnavailableError(
                "ServiceUnavailable", failure.detail, retry_after_seconds=retry_after_seconds
            )
        case StsRefusal(code=code) if code in _THROTTLING:
            return BackendUnavailableError(
                "SlowDown", f"the STS throttles: {code}", retry_after_seconds=retry_after_seconds
            )
        case StsRefusal():
            return _refused(failure)
        case _:
            assert_never(failure)


def _refused(refusal: StsRefusal) -> S3Error:
    code, told = "BackendAuthenticationFailed", f" STS code: {refusal.code}."
    if refusal.code == "AccessDenied":
        code, told = "AccessDenied", ""
    spec = ERRORS[code]
    return S3Error(
        code,
        spec.status,
        f"{spec.message}{told}",
        detail=f"the STS refuses the role: {refusal.code}: {refusal.message}",
    )


def _refusal(
    answer: StsAnswer, code: str, message: str, *, now: float
) -> StsRefusal | StsUnavailable:
    code = code if _CODE.fullmatch(code) else _UNKNOWN_CODE
    printable = "".join(c if c.isprintable() else " " for c in message)
    text = _JWT.sub("***", printable)[:_MAX_MESSAGE_CHARACTERS]
    is_throttling = code in _THROTTLING or answer.status == 429
    if answer.status >= 500 and not is_throttling:
        return _unavailable(answer, f"the STS answered {answer.status} {code}: {text}", now=now)
    is_retryable = is_throttling or code in _WORTH_A_RETRY
    wait = _retry_after_seconds(answer, now=now) if is_retryable else NEGATIVE_CACHE_SECONDS
    return StsRefusal(code=code, message=text, retryable=is_retryable, negative_cache_seconds=wait)


def _unavailable(answer: StsAnswer, detail: str, *, now: float) -> StsUnavailable:
    return StsUnavailable(
        detail=detail, negative_cache_seconds=_retry_after_seconds(answer, now=now)
    )


def _retry_after_seconds(answer: StsAnswer, *, now: float) -> float:
    """0 where there is none, or none that can be read.  Source: RFC 9110 §10.2.3."""
    text = (answer.retry_after or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            date = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        except ValueError:
            return 0.0
        seconds = date.timestamp() - now
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _credentials(fields: dict[str, str], *, now: float) -> Credentials | StsUnavailable:
    for name in _FIELDS:
        pattern = _ACCESS_KEY_ID if name == "AccessKeyId" else _HEADER_SAFE
        if not pattern.fullmatch(fields.get(name, "")):
            return StsUnavailable(detail=f"the STS answered credentials without a valid {name}")
    expires_at = _epoch_seconds(fields["Expiration"])
    if expires_at is None:
        return StsUnavailable(detail="the STS answered an Expiration that is not ISO 8601")
    if expires_at - now <= MIN_SERVE_SECONDS:
        return StsUnavailable(
            detail=f"the STS answered credentials that end in {expires_at - now:.0f} s; "
            "are the clocks right?"
        )
    return Credentials(
        access_key_id=fields["AccessKeyId"],
        secret_access_key=Secret(fields["SecretAccessKey"]),
        session_token=Secret(fields["SessionToken"]),
        expires_at=expires_at,
    )


def _epoch_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
