"""The S3 operations, one row each: how a request is recognised, what it needs, how it is answered.

To support another operation, add a row. Everything that S3 knows and this table does not is
listed in SUBRESOURCES and answered 501: a `PUT ?retention` that was taken for a PutObject would
overwrite the object with an XML document.
Source: AWS "Amazon S3 API operations"; AWS "Actions, resources, and condition keys for S3".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bucketroute_dataplane.core.errors import s3_error

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


def _names(*names: bytes) -> frozenset[bytes]:
    return frozenset(names)


_VERSION = _names(b"versionId")
_GET = _VERSION | _names(
    b"partNumber",
    b"response-cache-control",
    b"response-content-disposition",
    b"response-content-encoding",
    b"response-content-language",
    b"response-content-type",
    b"response-expires",
)
_PART = _names(b"partNumber", b"uploadId")
_LIST = _names(b"delimiter", b"encoding-type", b"max-keys", b"prefix")
_SERVICE, _BUCKET, _OBJECT = Level.SERVICE, Level.BUCKET, Level.OBJECT

# Buffered bodies: DeleteObjects holds up to 1,000 keys of 1 KiB, CompleteMultipartUpload up to
# 10,000 parts with their checksums (about 1.5 MiB); the others carry next to nothing.
OPERATIONS: tuple[Operation, ...] = (
    Operation(name="ListBuckets", method=b"GET", level=_SERVICE, answer=Answer.LOCAL),
    Operation(name="HeadBucket", method=b"HEAD", level=_BUCKET, answer=Answer.LOCAL),
    Operation(name="CreateBucket", method=b"PUT", level=_BUCKET, answer=Answer.LOCAL),
    Operation(name="DeleteBucket", method=b"DELETE", level=_BUCKET, answer=Answer.LOCAL),
    Operation(
        name="GetBucketLocation",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LOCAL,
        subresource=b"location",
    ),
    Operation(
        name="GetBucketVersioning",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LOCAL,
        subresource=b"versioning",
    ),
    Operation(
        name="GetBucketAcl",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LOCAL,
        subresource=b"acl",
    ),
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
        query=_LIST | _names(b"list-type", b"continuation-token", b"fetch-owner", b"start-after"),
        is_idempotent=True,
    ),
    Operation(
        name="ListObjectVersions",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucketVersions",
        subresource=b"versions",
        query=_LIST | _names(b"key-marker", b"version-id-marker"),
        is_idempotent=True,
    ),
    Operation(
        name="ListMultipartUploads",
        method=b"GET",
        level=_BUCKET,
        answer=Answer.LIST,
        action="s3:ListBucketMultipartUploads",
        subresource=b"uploads",
        query=_names(
            b"delimiter",
            b"encoding-type",
            b"key-marker",
            b"max-uploads",
            b"prefix",
            b"upload-id-marker",
        ),
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
        query=_names(b"encoding-type", b"max-parts", b"part-number-marker", b"uploadId"),
        is_idempotent=True,
    ),
)

BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}

# Query parameters that turn a request into another operation. `partNumber`, `versionId` and
# `response-*` are not here: they only qualify the plain one.
SUBRESOURCES: frozenset[bytes] = _names(
    *(b"accelerate acl analytics attributes cors delete encryption intelligent-tiering").split(),
    *(b"inventory legal-hold lifecycle location logging metadataConfiguration").split(),
    *(b"metadataTable metrics notification object-lock ownershipControls policy").split(),
    *(b"policyStatus publicAccessBlock renameObject replication requestPayment restore").split(),
    *(b"retention select session tagging torrent uploadId uploads versioning versions").split(),
    *(b"website x-amz-object-annotation annotation abac encryption-context").split(),
)

# Headers that do the same: an append taken for a PutObject would replace the object.
OPERATION_HEADERS: frozenset[bytes] = _names(b"x-amz-write-offset-bytes", b"x-amz-rename-source")

_COPY_SOURCE = b"x-amz-copy-source"
_BY_SELECTOR: Mapping[tuple[bytes, Level, bytes | None, bool], Operation] = {
    (op.method, op.level, op.subresource, op.is_copy): op
    for op in OPERATIONS
    if op.name != "ListObjectsV2"
}
_METHODS: frozenset[bytes] = frozenset(op.method for op in OPERATIONS)


def classify(
    method: bytes, level: Level, query: Mapping[bytes, bytes], header_names: Iterable[bytes]
) -> Operation:
    """The operation that a request asks for, from its head alone.

    Raises: S3Error NotImplemented for an operation that S3 knows and this proxy does not,
    MethodNotAllowed for a method that S3 does not know there.
    """
    if method not in _METHODS:
        raise s3_error("MethodNotAllowed")
    names = frozenset(header_names)
    selectors = query.keys() & SUBRESOURCES
    if len(selectors) > 1 or names & OPERATION_HEADERS:
        raise s3_error("NotImplemented")
    subresource = next(iter(selectors), None)
    is_copy = method == b"PUT" and level is Level.OBJECT and _COPY_SOURCE in names
    operation = _BY_SELECTOR.get((method, level, subresource, is_copy))
    if operation is None:
        # POST without a sub-resource is the browser form upload; a method on `/` is unknown to S3.
        known = subresource is not None or method == b"POST"
        raise s3_error("NotImplemented" if known else "MethodNotAllowed")
    if operation.name == "ListObjects" and query.get(b"list-type") == b"2":
        return BY_NAME["ListObjectsV2"]
    return operation
