"""The two calls of AWS STS that callers log in with: what they ask, and what they are answered.

STS and S3 share an address here. S3 has no POST on `/` without a sub-resource and no parameter
named Action, so a request is known as STS's by its head (a form's body then says which call).
Source: AWS STS API reference, AssumeRoleWithWebIdentity and GetCallerIdentity.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import Identity, IdentityKind
from bucketroute_dataplane.core.identity_token import VerifiedToken
from bucketroute_dataplane.core.login_errors import STS_NAMESPACE, sts_error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.session import Session
from bucketroute_dataplane.core.sigv4 import split_query
from bucketroute_dataplane.core.xml import leaf

MAX_FORM_BYTES = 64 * 1024
MIN_DURATION_SECONDS = 900
MAX_DURATION_SECONDS = 12 * 3600
DEFAULT_DURATION_SECONDS = 3600
DEFAULT_SESSION_NAME = "session"
# There is no account behind a gateway; AWS's IDs have twelve digits and SDKs check that.
ACCOUNT = "000000000000"

ASSUME_ROLE = "AssumeRoleWithWebIdentity"
GET_CALLER_IDENTITY = "GetCallerIdentity"
_ACTIONS = frozenset((ASSUME_ROLE, GET_CALLER_IDENTITY))

_FORM_TYPE = b"application/x-www-form-urlencoded"
_has_action = re.compile(rb"(?:^|&)Action=").search
# Syntax only: the token decides who the caller is. MinIO's roles have neither region nor account.
_is_role_arn = re.compile(r"arn:[\w-]+:iam::\d{0,12}:role/[\w+=,.@/-]{1,512}", re.ASCII).fullmatch
_is_session_name = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII).fullmatch
_outside_names = re.compile(r"[^\w+=,.@-]", re.ASCII)

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """AssumeRoleWithWebIdentity, its parameters checked; the token is not."""

    role_arn: str
    session_name: str
    token: str = field(repr=False)
    duration_seconds: int


def is_sts_request(head: RequestHead) -> bool:
    """Whether this is a call of STS: an Action in the query of `/`, or a small form posted to it.

    A larger form, or one of unknown length, is left to S3, which refuses it.
    """
    if head.raw_path != b"/" or head.method not in (b"GET", b"POST"):
        return False
    if _has_action(head.raw_query):
        return True
    return head.method == b"POST" and not head.raw_query and _is_small_form(head)


def _is_small_form(head: RequestHead) -> bool:
    media_type = (head.get(b"content-type") or b"").partition(b";")[0]
    length = head.get(b"content-length") or b""
    return (
        media_type.strip().lower() == _FORM_TYPE
        and length.isdigit()
        and len(length) <= 6
        and int(length) <= MAX_FORM_BYTES
    )


def sts_parameters(head: RequestHead, form: bytes) -> Parameters:
    """Of the query where it names an action, else of the form; never of both.

    Raises: S3Error InvalidParameterValue for a parameter that repeats or is not UTF-8.
    """
    raw = head.raw_query if _has_action(head.raw_query) else form
    parameters: dict[str, str] = {}
    for name, value in split_query(raw):
        try:
            key, text = name.decode(), value.decode()
        except UnicodeDecodeError:
            raise sts_error("InvalidParameterValue", "A parameter is not UTF-8.") from None
        if key in parameters:
            raise sts_error("InvalidParameterValue", "A parameter appears more than once.")
        parameters[key] = text
    return parameters


def sts_action(parameters: Parameters) -> str:
    """Raises: S3Error MissingAction, InvalidAction."""
    action = parameters.get("Action")
    if not action:
        raise sts_error("MissingAction")
    if action not in _ACTIONS:
        raise sts_error(
            "InvalidAction", f"The action {action[:64]} is not valid for this endpoint."
        )
    return action


def login_request(parameters: Parameters) -> LoginRequest:
    """Raises: S3Error InvalidParameterValue, ValidationError."""
    for name in ("RoleArn", "WebIdentityToken"):
        if not parameters.get(name):
            raise sts_error("InvalidParameterValue", f"The parameter {name} is missing.")
    if any(name.startswith("Policy") for name in parameters):
        # To ignore it would give the session more than was asked for.
        raise sts_error("ValidationError", "Session policies are not supported.")
    role_arn = parameters["RoleArn"]
    if not _is_role_arn(role_arn):
        raise _constraint("roleArn")
    session_name = parameters.get("RoleSessionName", DEFAULT_SESSION_NAME)
    if not _is_session_name(session_name):
        raise _constraint("roleSessionName")
    return LoginRequest(
        role_arn=role_arn,
        session_name=session_name,
        token=parameters["WebIdentityToken"],
        duration_seconds=_duration(parameters.get("DurationSeconds")),
    )


def _duration(text: str | None) -> int:
    """Clamped to what AWS allows."""
    if not text:
        return DEFAULT_DURATION_SECONDS
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _constraint("durationSeconds")
    return min(max(int(text), MIN_DURATION_SECONDS), MAX_DURATION_SECONDS)


def _constraint(name: str) -> S3Error:
    return sts_error(
        "ValidationError",
        f"1 validation error detected: Value at '{name}' failed to satisfy its constraint",
    )


def login_result(token: VerifiedToken, session: Session, sealed: str, *, request_id: str) -> bytes:
    """The answer to AssumeRoleWithWebIdentity; `sealed` is the session token."""
    user = leaf("AssumedRoleId", _user_id(session.identity, session.session_name)) + leaf(
        "Arn", caller_arn(session.identity, session.session_name)
    )
    credentials = (
        leaf("AccessKeyId", session.access_key_id)
        + leaf("SecretAccessKey", session.secret_access_key.reveal())
        + leaf("SessionToken", sealed)
        + leaf("Expiration", session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"))
    )
    inner = (
        leaf("SubjectFromWebIdentityToken", token.subject)
        + leaf("Audience", token.audience)
        + leaf("Provider", token.issuer)
        + f"<AssumedRoleUser>{user}</AssumedRoleUser><Credentials>{credentials}</Credentials>"
    )
    return _result(ASSUME_ROLE, inner, request_id)


def caller_identity_result(
    identity: Identity, session_name: str | None, *, request_id: str
) -> bytes:
    """The answer to GetCallerIdentity; an access key has no session name."""
    inner = (
        leaf("Arn", caller_arn(identity, session_name))
        + leaf("UserId", _user_id(identity, session_name))
        + leaf("Account", ACCOUNT)
    )
    return _result(GET_CALLER_IDENTITY, inner, request_id)


def caller_arn(identity: Identity, session_name: str | None) -> str:
    """From who the caller is, not from the role that they named: that one decides nothing."""
    if identity.kind is IdentityKind.ACCESS_KEY:
        return f"arn:aws:iam::{ACCOUNT}:user/{identity.namespace}/{identity.name}"
    is_service_account = identity.kind is IdentityKind.SERVICE_ACCOUNT
    role = f"{identity.namespace}.{identity.name}" if is_service_account else identity.name
    name = _outside_names.sub("_", role)
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session_name}"


def _user_id(identity: Identity, session_name: str | None) -> str:
    """An ID in AWS's form that stays the same for the same caller."""
    unique = b32encode(sha256(str(identity).encode()).digest()[:10]).decode()
    return f"AIDA{unique}" if session_name is None else f"AROA{unique}:{session_name}"


def _result(action: str, inner: str, request_id: str) -> bytes:
    return (
        f'<{action}Response xmlns="{STS_NAMESPACE}"><{action}Result>{inner}</{action}Result>'
        f"<ResponseMetadata>{leaf('RequestId', request_id)}</ResponseMetadata></{action}Response>"
    ).encode()
