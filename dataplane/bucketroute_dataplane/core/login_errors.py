"""Errors of the login endpoint: AWS STS's own codes and statuses.

They are S3Errors, so that one handler serves both endpoints; only the document differs.
Source: AWS STS API reference, AssumeRoleWithWebIdentity "Errors", and "Common Error Types".
"""

from __future__ import annotations

from collections.abc import Mapping

from bucketroute_dataplane.core.errors import ErrorSpec, S3Error, s3_error
from bucketroute_dataplane.core.xml import escape

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

STS_ERRORS: Mapping[str, ErrorSpec] = {
    "ExpiredTokenException": ErrorSpec(400, "The web identity token has expired."),
    "IDPCommunicationError": ErrorSpec(
        400, "The keys of the token's issuer could not be read. Try again."
    ),
    "InvalidAction": ErrorSpec(400, "The action is not valid for this endpoint."),
    "InvalidClientTokenId": ErrorSpec(
        403, "The security token included in the request is invalid."
    ),
    "InvalidIdentityToken": ErrorSpec(400, "The web identity token is not valid."),
    "InvalidParameterValue": ErrorSpec(400, "A parameter is missing or not valid."),
    "MissingAction": ErrorSpec(400, "The request is missing an action."),
    "MissingAuthenticationToken": ErrorSpec(403, "The request is not signed."),
    "ValidationError": ErrorSpec(400, "A parameter does not satisfy its constraints."),
}

# What the signature check and the session say in S3's words, in STS's. Statuses are STS's too.
_OF_S3 = {
    "ExpiredToken": ("ExpiredToken", 403),
    "InvalidAccessKeyId": ("InvalidClientTokenId", 403),
    "InvalidToken": ("InvalidClientTokenId", 403),
    "AuthorizationHeaderMalformed": ("IncompleteSignature", 400),
    "AuthorizationQueryParametersError": ("IncompleteSignature", 400),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", 403),
}
# What a token is refused with where it stands in a request to S3.
_TO_S3 = {"ExpiredTokenException": "ExpiredToken", "IDPCommunicationError": "ServiceUnavailable"}


def sts_error(code: str, message: str | None = None) -> S3Error:
    """The error of the table with that code, its own message where none is given."""
    spec = STS_ERRORS[code]
    return S3Error(code, spec.status, message or spec.message)


def in_terms_of_sts(error: S3Error) -> S3Error:
    """The error as STS would name it; those that STS knows stay."""
    code, status = _OF_S3.get(error.code, (error.code, error.status))
    renamed = S3Error(code, status, error.message)
    renamed.retry_after_seconds = error.retry_after_seconds
    return renamed


def in_terms_of_s3(error: S3Error) -> S3Error:
    """A refused bearer token as S3 would name it."""
    if error.code not in STS_ERRORS:
        return error
    code = _TO_S3.get(error.code, "InvalidToken")
    return s3_error(code, None if code == "ServiceUnavailable" else error.message)


def sts_error_document(error: S3Error, *, request_id: str) -> bytes:
    """The body of an error response of STS."""
    kind = "Sender" if error.status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>{kind}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    ).encode()
