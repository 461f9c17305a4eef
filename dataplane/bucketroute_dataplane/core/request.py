"""RequestHead → S3Request: bucket, key and operation, decoded exactly once.

Verification uses the raw bytes of the head; routing uses what this module decodes. Nothing here
normalises: `a//b` and `dir/` are keys of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from bucketroute_dataplane.core.classify import classify
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.headers import check_name, check_value
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.names import check_key
from bucketroute_dataplane.core.operations import Level, Operation

MAX_PART_NUMBER = 10_000  # AWS "Amazon S3 multipart upload limits"

# Source: AWS "Authenticating Requests: Using Query Parameters".
_SIGNATURE_PARAMETERS = frozenset(
    b"x-amz-algorithm x-amz-credential x-amz-date x-amz-expires x-amz-signedheaders "
    b"x-amz-signature x-amz-security-token x-amz-content-sha256".split()
)
_NO_QUERY: Mapping[bytes, bytes] = MappingProxyType({})


class S3Request(NamedTuple):
    """What a client asks for. `key` is the decoded key as bytes of UTF-8, empty for a bucket.

    `query` holds the decoded parameters; a flag such as `?uploads` has an empty value.
    """

    head: RequestHead
    operation: Operation
    bucket: str
    key: bytes
    query: Mapping[bytes, bytes]

    @property
    def version_id(self) -> bytes | None:
        """The requested version; an empty versionId counts as absent, as it does for S3."""
        return self.query.get(b"versionId") or None

    @property
    def action(self) -> str | None:
        """The S3 action that the caller must be granted."""
        versioned = self.operation.versioned_action
        return versioned if versioned and self.version_id else self.operation.action

    @property
    def resource(self) -> str:
        """The path as error documents name it."""
        return f"/{self.bucket}/{self.key.decode()}" if self.bucket else "/"


def parse_request(head: RequestHead, domains: Sequence[bytes] = ()) -> S3Request:
    """Reads the head as an S3 request; `domains` are the suffixes of virtual-hosted style.

    Raises: S3Error InvalidURI, InvalidRequest, InvalidArgument, KeyTooLongError, NotImplemented,
    MethodNotAllowed.
    """
    raw_bucket, raw_key = _split(head, domains)
    bucket, key = _decode(raw_bucket).decode(), _decode(raw_key)
    query = parse_query(head.raw_query) if head.raw_query else _NO_QUERY
    head = _with_hoisted(head, query)
    level = Level.OBJECT if key else Level.BUCKET if bucket else Level.SERVICE
    operation = classify(head.method, level, query, head.by_name)
    if key:
        check_key(key)
    _check_parameters(operation, query)
    return S3Request(head=head, operation=operation, bucket=bucket, key=key, query=query)


def _with_hoisted(head: RequestHead, query: Mapping[bytes, bytes]) -> RequestHead:
    """The head with the x-amz-* headers that SDKs write into a presigned URL, as S3 reads them.

    Not so checksums: SDKs put that of the empty body there, whatever is uploaded later.

    Raises: S3Error InvalidRequest where a header is given in both places, or what would be a
    header's name or value is none.
    """
    if b"X-Amz-Signature" not in query:
        return head
    hoisted = [(name.lower(), value) for name, value in query.items() if _is_hoisted(name.lower())]
    for name, value in hoisted:
        if name in head.by_name:
            raise s3_error("InvalidRequest", "A header stands in the URL and in the request.")
        check_name(name)  # no parser of HTTP has seen it
        check_value(value)
    if not hoisted:
        return head
    return RequestHead(
        head.method,
        head.raw_path,
        head.raw_query,
        (*head.headers, *hoisted),
        head.is_tls,
        head.client_address,
    )


def _is_hoisted(name: bytes) -> bool:
    return (
        name.startswith(b"x-amz-")
        and name not in _SIGNATURE_PARAMETERS
        and not name.startswith((b"x-amz-checksum-", b"x-amz-sdk-checksum-"))
    )


def bucket_of(head: RequestHead, domains: Sequence[bytes] = ()) -> str:
    """The bucket that a request names, whatever it asks for. Raises: S3Error InvalidURI."""
    return _decode(_split(head, domains)[0]).decode()


def parse_query(raw_query: bytes) -> dict[bytes, bytes]:
    """Decoded parameters of a raw query string; `+` stands for a space, as S3 reads it.

    Raises: S3Error InvalidArgument if a parameter repeats (which of the two is meant, the
    authorised one or the forwarded one, must never be a question).
    """
    query: dict[bytes, bytes] = {}
    for part in raw_query.split(b"&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition(b"=")
        name = _decode(raw_name.replace(b"+", b" "))
        if name in query:
            raise s3_error("InvalidArgument", "A query parameter appears more than once.")
        query[name] = _decode(raw_value.replace(b"+", b" "))
    return query


def _split(head: RequestHead, domains: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Bucket and key, still percent-encoded."""
    path = head.raw_path
    if not path.startswith(b"/"):
        raise s3_error("InvalidURI")
    host_bucket = _bucket_of_host(head.get(b"host") or b"", domains) if domains else b""
    if host_bucket:
        return host_bucket, path[1:]
    bucket, _, key = path.lstrip(b"/").partition(b"/")
    return bucket, key


def _bucket_of_host(host: bytes, domains: Sequence[bytes]) -> bytes:
    """The bucket in front of one of the domains; empty means path style.

    Source: AWS "Virtual hosting of buckets"; host names compare without case (RFC 9110 §4.2.3).
    """
    name = host.lower()
    if not name.endswith(b"]"):
        name = name.rpartition(b":")[0] or name
    for domain in domains:
        if name.endswith(b"." + domain):
            return name[: -len(domain) - 1]
    return b""


def _decode(raw: bytes) -> bytes:
    if b"%" not in raw and raw.isascii():
        return raw
    decoded = unquote_to_bytes(raw)
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise s3_error("InvalidURI", "The URI is not valid UTF-8.") from None
    return decoded


def _check_parameters(operation: Operation, query: Mapping[bytes, bytes]) -> None:
    part_number = query.get(b"partNumber")
    if operation.name in ("UploadPart", "UploadPartCopy") and part_number is None:
        raise s3_error("InvalidRequest", "missing partNumber")
    if part_number is not None:
        if operation.name in ("PutObject", "CopyObject"):
            raise s3_error("InvalidRequest", "partNumber needs an uploadId")
        if not part_number.isdigit() or not 1 <= int(part_number[:6]) <= MAX_PART_NUMBER:
            raise s3_error(
                "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"
            )
    if (
        query.get(b"versionId")
        and operation.level is Level.OBJECT
        and not operation.versioned_action
    ):
        raise s3_error("InvalidArgument", "This operation does not accept a version-id.")
    if query.get(b"uploadId") == b"":
        raise s3_error("InvalidArgument", "The uploadId is empty.")
