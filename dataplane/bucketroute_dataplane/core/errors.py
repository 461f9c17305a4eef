"""Every error that a client can see, in one table.

    S3Error                     code, HTTP status and message of an S3 error response
      BackendUnavailableError   the backend or its STS cannot be used now; may carry Retry-After

`s3_error("NoSuchBucket")` is the way to make one; a code that is not in the table is a bug and
raises KeyError. Messages of status 5xx are generic: what happened in detail goes to the log only.
Source: AWS "Error responses" (S3 API reference), and STS "Common errors" for the login endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    status: int
    message: str


ERRORS: Mapping[str, ErrorSpec] = {
    "AccessDenied": ErrorSpec(403, "Access Denied"),
    "AuthorizationHeaderMalformed": ErrorSpec(400, "The authorization header is malformed."),
    "AuthorizationQueryParametersError": ErrorSpec(
        400, "The query-string authorization parameters are malformed."
    ),
    "BackendAuthenticationFailed": ErrorSpec(
        502, "The backend's credentials could not be obtained."
    ),
    "BadDigest": ErrorSpec(400, "The checksum you specified did not match what we received."),
    "BadGateway": ErrorSpec(502, "The backend answered something that is not HTTP."),
    "BucketAlreadyOwnedByYou": ErrorSpec(409, "The bucket exists and you may already use it."),
    "EntityTooLarge": ErrorSpec(400, "Your upload exceeds the maximum allowed size."),
    "EntityTooSmall": ErrorSpec(400, "Your upload is smaller than the minimum allowed size."),
    "ExpiredToken": ErrorSpec(400, "The provided token has expired."),
    "GatewayTimeout": ErrorSpec(504, "The backend did not answer in time."),
    "IllegalLocationConstraintException": ErrorSpec(400, "The location constraint is not valid."),
    "IncompleteBody": ErrorSpec(
        400, "You did not provide the number of bytes specified by the Content-Length header."
    ),
    "InternalError": ErrorSpec(500, "Internal server error"),
    "InvalidAccessKeyId": ErrorSpec(
        403, "The access key ID you provided does not exist in our records."
    ),
    "InvalidArgument": ErrorSpec(400, "Invalid argument"),
    "InvalidBucketName": ErrorSpec(400, "The specified bucket is not valid."),
    "InvalidChunkSizeError": ErrorSpec(400, "A chunk of the aws-chunked body is malformed."),
    "InvalidDigest": ErrorSpec(400, "The Content-MD5 or checksum value is not valid."),
    "InvalidIdentityToken": ErrorSpec(400, "The web identity token is not valid."),
    "InvalidPart": ErrorSpec(400, "One or more of the specified parts could not be found."),
    "InvalidPartOrder": ErrorSpec(400, "The list of parts was not in ascending order."),
    "InvalidRange": ErrorSpec(416, "The requested range is not satisfiable."),
    "InvalidRequest": ErrorSpec(400, "Invalid Request"),
    "InvalidToken": ErrorSpec(400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": ErrorSpec(400, "Couldn't parse the specified URI."),
    "KeyTooLongError": ErrorSpec(400, "Your key is too long (limit: 1024 bytes of UTF-8)."),
    "MalformedTrailerError": ErrorSpec(400, "The trailer of the aws-chunked body is malformed."),
    "MalformedXML": ErrorSpec(
        400, "The XML you provided was not well-formed or did not validate against our schema."
    ),
    "MetadataTooLarge": ErrorSpec(400, "Your metadata headers exceed the maximum of 2 KiB."),
    "MethodNotAllowed": ErrorSpec(
        405, "The specified method is not allowed against this resource."
    ),
    "MissingContentLength": ErrorSpec(
        411, "You must provide the Content-Length (or x-amz-decoded-content-length) header."
    ),
    "MissingSecurityHeader": ErrorSpec(400, "Your request is missing a required header."),
    "NoSuchBucket": ErrorSpec(404, "The specified bucket does not exist."),
    "NoSuchKey": ErrorSpec(404, "The specified key does not exist."),
    "NoSuchUpload": ErrorSpec(404, "The specified multipart upload does not exist."),
    "NotImplemented": ErrorSpec(
        501, "A header, parameter or operation that you used is not implemented."
    ),
    "PreconditionFailed": ErrorSpec(
        412, "At least one of the preconditions you specified did not hold."
    ),
    "RequestHeaderSectionTooLarge": ErrorSpec(
        400, "Your request's header section exceeds the maximum allowed size."
    ),
    "RequestTimeTooSkewed": ErrorSpec(
        403, "The difference between the request time and the server's time is too large."
    ),
    "RequestTimeout": ErrorSpec(
        400, "Your socket connection was not read from or written to within the timeout period."
    ),
    "ServiceUnavailable": ErrorSpec(503, "Service unavailable"),
    "SignatureDoesNotMatch": ErrorSpec(
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your secret access key and signing method.",
    ),
    "SlowDown": ErrorSpec(503, "Please reduce your request rate."),
    "XAmzContentSHA256Mismatch": ErrorSpec(
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}


class S3Error(Exception):
    """An error response: `code`, `status`, `message`, and extra XML elements in `fields`.

    `retry_after_seconds` becomes a Retry-After header; `detail` is for the log, not the client.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after_seconds: int | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.fields: Mapping[str, str] = fields or {}
        self.retry_after_seconds = retry_after_seconds
        self.detail = detail


class BackendUnavailableError(S3Error):
    """The backend or its STS cannot be used now; `detail` says why."""

    detail: str

    def __init__(self, code: str, detail: str, *, retry_after_seconds: int | None = None) -> None:
        spec = ERRORS[code]
        super().__init__(
            code,
            spec.status,
            spec.message,
            retry_after_seconds=retry_after_seconds,
            detail=detail,
        )


def s3_error(code: str, message: str | None = None, **fields: str) -> S3Error:
    """The error of the catalogue with that code, its own message where none is given."""
    spec = ERRORS[code]
    return S3Error(code, spec.status, message or spec.message, fields=fields)
