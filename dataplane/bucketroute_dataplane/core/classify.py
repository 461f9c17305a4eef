"""Which operation a request asks for, from its head alone.

Everything that S3 knows and the operations table does not is listed here and answered 501: a
`PUT ?retention` that was taken for a PutObject would overwrite the object with an XML document.
"""

from __future__ import annotations

from collections.abc import Mapping

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.operations import BY_NAME, OPERATIONS, Level, Operation

# Query parameters that turn a request into another operation. `partNumber`, `versionId` and
# `response-*` are not here: they only qualify the plain one.
SUBRESOURCES: frozenset[bytes] = frozenset(
    b"abac accelerate acl analytics attributes cors delete encryption intelligent-tiering "
    b"inventory legal-hold lifecycle location logging metadataConfiguration "
    b"metadataInventoryTable metadataJournalTable metadataTable metrics notification object-lock "
    b"ownershipControls policy policyStatus publicAccessBlock renameObject replication "
    b"requestPayment restore retention select session tagging torrent uploadId uploads "
    b"versioning versions website".split()
)

# Headers that do the same: an append taken for a PutObject would replace the object.
OPERATION_HEADERS: frozenset[bytes] = frozenset(
    (b"x-amz-write-offset-bytes", b"x-amz-rename-source")
)

_COPY_SOURCE = b"x-amz-copy-source"
_BY_SELECTOR: Mapping[tuple[bytes, Level, bytes | None, bool], Operation] = {
    (op.method, op.level, op.subresource, op.is_copy): op
    for op in OPERATIONS
    if op.name != "ListObjectsV2"
}
_METHODS: frozenset[bytes] = frozenset(op.method for op in OPERATIONS)


def classify(
    method: bytes, level: Level, query: Mapping[bytes, bytes], headers: Mapping[bytes, bytes]
) -> Operation:
    """The operation that a request asks for, from its head alone.

    Raises: S3Error NotImplemented for an operation that S3 knows and this proxy does not,
    MethodNotAllowed for a method that S3 does not know there.
    """
    if method not in _METHODS:
        raise s3_error("MethodNotAllowed")
    selectors = query.keys() & SUBRESOURCES if query else ()
    if len(selectors) > 1 or not OPERATION_HEADERS.isdisjoint(headers):
        raise s3_error("NotImplemented")
    subresource = next(iter(selectors), None)
    is_copy = method == b"PUT" and level is Level.OBJECT and _COPY_SOURCE in headers
    operation = _BY_SELECTOR.get((method, level, subresource, is_copy))
    if operation is None:
        # POST without a sub-resource is the browser form upload; a method on `/` is unknown to S3.
        known = subresource is not None or method == b"POST"
        raise s3_error("NotImplemented" if known else "MethodNotAllowed")
    if operation.name == "ListObjects" and query.get(b"list-type") == b"2":
        return BY_NAME["ListObjectsV2"]
    return operation
