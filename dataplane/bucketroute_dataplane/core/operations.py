"""The S3 operations, one row each: how a request is recognised, what it needs, how it is answered.

To support another operation, add a row. What S3 knows and this table does not is refused in
classify.py.
Source: AWS "Amazon S3 API operations"; AWS "Actions, resources, and condition keys for S3".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

KiB = 1024
MiB = 1024 * KiB


class Level(Enum):
    """What the path names."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


class BodyMode(Enum):
    """How the request body is treated, decided from the head alone."""

    NONE = "none"
    BUFFERED = "buffered"
    STREAMED = "streamed"


class Answer(Enum):
    """Who makes the response."""

    STREAM = "stream"  # the backend's, passed through
    XML = "xml"  # the backend's XML document, its names rewritten
    LIST = "list"  # a list page of the backend, its keys rewritten
    BATCH_DELETE = "batch-delete"  # per-key authorisation, merged result
    LOCAL = "local"  # from the snapshot alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`action` is what the caller must be granted; None means that any grant on the route will do.

    `versioned_action` replaces it when the request names a versionId. `query` are the parameters
    that reach the backend. `body_limit_bytes` bounds a buffered body.
    """

    name: str
    method: bytes
    level: Level
    answer: Answer
    action: str | None = None
    versioned_action: str | None = None
    subresource: bytes | None = None
    body: BodyMode = BodyMode.NONE
    body_limit_bytes: int = 0
    query: frozenset[bytes] = frozenset()
    is_idempotent: bool = False
    is_copy: bool = False


def _names(text: bytes) -> frozenset[bytes]:
    return frozenset(text.split())


_VERSION = _names(b"versionId")
_GET = _VERSION | _names(
    b"partNumber response-cache-control response-content-disposition response-content-encoding "
    b"response-content-language response-content-type response-expires"
)
_PART = _names(b"partNumber uploadId")
_LIST = _names(b"delimiter encoding-type max-keys prefix")
_SERVICE, _BUCKET, _OBJECT = Level.SERVICE, Level.BUCKET, Level.OBJECT

_LOCAL = tuple(
    Operation(name=name, method=method, level=level, answer=Answer.LOCAL, subresource=subresource)
    for name, method, level, subresource in (
        ("ListBuckets", b"GET", _SERVICE, None),
        ("HeadBucket", b"HEAD", _BUCKET, None),
        ("CreateBucket", b"PUT", _BUCKET, None),
        ("DeleteBucket", b"DELETE", _BUCKET, None),
        ("GetBucketLocation", b"GET", _BUCKET, b"location"),
        ("GetBucketVersioning", b"GET", _BUCKET, b"versioning"),
        ("GetBucketAcl", b"GET", _BUCKET, b"acl"),
    )
)

# Buffered bodies: DeleteObjects holds up to 1,000 keys of 1 KiB, CompleteMultipartUpload up to
# 10,000 parts with their checksums (about 1.5 MiB); the others carry next to nothing.
OPERATIONS: tuple[Operation, ...] = (
    *_LOCAL,
    Operation(
        name="ListObjects",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucket",
        query=_LIST | _names(b"marker"),
        is_idempotent=True,
    ),
    Operation(
        name="ListObjectsV2",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucket",
        query=_LIST | _names(b"list-type continuation-token fetch-owner start-after"),
        is_idempotent=True,
    ),
    Operation(
        name="ListObjectVersions",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucketVersions",
        subresource=b"versions",
        query=_LIST | _names(b"key-marker version-id-marker"),
        is_idempotent=True,
    ),
    Operation(
        name="ListMultipartUploads",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucketMultipartUploads",
        subresource=b"uploads",
        query=_names(b"delimiter encoding-type key-marker max-uploads prefix upload-id-marker"),
        is_idempotent=True,
    ),
    Operation(
        name="DeleteObjects",
        method=b"POST",
        level=_BUCKET,
        answer=Answer.BATCH_DELETE,
        action="s3:DeleteObject",
        versioned_action="s3:DeleteObjectVersion",
        subresource=b"delete",
        body=BodyMode.BUFFERED,
        body_limit_bytes=2 * MiB,
    ),
    Operation(
        name="GetObject",
        method=b"GET",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:GetObject",
        versioned_action="s3:GetObjectVersion",
        query=_GET,
        is_idempotent=True,
    ),
    Operation(
        name="HeadObject",
        method=b"HEAD",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:GetObject",
        versioned_action="s3:GetObjectVersion",
        query=_GET,
        is_idempotent=True,
    ),
    Operation(
        name="GetObjectAttributes",
        method=b"GET",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:GetObjectAttributes",
        versioned_action="s3:GetObjectVersionAttributes",
        subresource=b"attributes",
        query=_VERSION,
        is_idempotent=True,
    ),
    Operation(
        name="GetObjectTagging",
        method=b"GET",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:GetObjectTagging",
        versioned_action="s3:GetObjectVersionTagging",
        subresource=b"tagging",
        query=_VERSION,
        is_idempotent=True,
    ),
    Operation(
        name="PutObjectTagging",
        method=b"PUT",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:PutObjectTagging",
        versioned_action="s3:PutObjectVersionTagging",
        subresource=b"tagging",
        body=BodyMode.BUFFERED,
        body_limit_bytes=64 * KiB,
        query=_VERSION,
    ),
    Operation(
        name="DeleteObjectTagging",
        method=b"DELETE",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:DeleteObjectTagging",
        versioned_action="s3:DeleteObjectVersionTagging",
        subresource=b"tagging",
        query=_VERSION,
    ),
    Operation(
        name="PutObject",
        method=b"PUT",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:PutObject",
        body=BodyMode.STREAMED,
    ),
    Operation(
        name="CopyObject",
        method=b"PUT",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:PutObject",
        is_copy=True,
    ),
    Operation(
        name="DeleteObject",
        method=b"DELETE",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:DeleteObject",
        versioned_action="s3:DeleteObjectVersion",
        query=_VERSION,
    ),
    Operation(
        name="CreateMultipartUpload",
        method=b"POST",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:PutObject",
        subresource=b"uploads",
        body=BodyMode.BUFFERED,
        body_limit_bytes=64 * KiB,
    ),
    Operation(
        name="UploadPart",
        method=b"PUT",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:PutObject",
        subresource=b"uploadId",
        body=BodyMode.STREAMED,
        query=_PART,
    ),
    Operation(
        name="UploadPartCopy",
        method=b"PUT",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:PutObject",
        subresource=b"uploadId",
        query=_PART,
        is_copy=True,
    ),
    Operation(
        name="CompleteMultipartUpload",
        method=b"POST",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:PutObject",
        subresource=b"uploadId",
        body=BodyMode.BUFFERED,
        body_limit_bytes=4 * MiB,
        query=_names(b"uploadId"),
    ),
    Operation(
        name="AbortMultipartUpload",
        method=b"DELETE",
        level=_OBJECT,
        answer=Answer.STREAM,
        action="s3:AbortMultipartUpload",
        subresource=b"uploadId",
        body=BodyMode.BUFFERED,
        body_limit_bytes=64 * KiB,
        query=_names(b"uploadId"),
    ),
    Operation(
        name="ListParts",
        method=b"GET",
        level=_OBJECT,
        answer=Answer.XML,
        action="s3:ListMultipartUploadParts",
        subresource=b"uploadId",
        query=_names(b"encoding-type max-parts part-number-marker uploadId"),
        is_idempotent=True,
    ),
)

BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
