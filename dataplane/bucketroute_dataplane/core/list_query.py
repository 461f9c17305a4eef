"""List operations, the way in: what a client asks for → what the backend is asked for.

The four operations differ in names only; `SHAPES` has them, one row each. The backend is always
asked for encoding-type=url: XML 1.0 cannot hold every byte that a key can.
Source: AWS "ListObjectsV2", "ListObjects", "ListObjectVersions", "ListMultipartUploads".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.names import BucketNames
from bucketroute_dataplane.core.sealing import SealError, TokenSealer

MAX_PAGE_SIZE = 1000  # what S3 caps a page at
_MAX_INTEGER = 2**31 - 1  # S3 reads the page size as a 32-bit integer


@dataclass(frozen=True, slots=True, kw_only=True)
class ListShape:
    """The names of one list operation.

    `fixed` are the parameters that select it; `key_marker` names a key and so gets the backend's
    prefix; `id_marker`, parameter and element, tells apart what has the same key; `passed` are
    forwarded as they are.
    """

    root: str
    bucket_element: str
    entry_elements: frozenset[str]
    size_parameter: bytes
    size_element: str
    fixed: tuple[tuple[bytes, bytes], ...]
    key_marker: bytes
    key_marker_element: str
    passed: tuple[bytes, ...] = ()
    id_marker: tuple[bytes, str] | None = None


SHAPES: Mapping[str, ListShape] = {
    "ListObjects": ListShape(
        root="ListBucketResult",
        bucket_element="Name",
        entry_elements=frozenset(("Contents",)),
        size_parameter=b"max-keys",
        size_element="MaxKeys",
        fixed=(),
        key_marker=b"marker",
        key_marker_element="Marker",
    ),
    "ListObjectsV2": ListShape(
        root="ListBucketResult",
        bucket_element="Name",
        entry_elements=frozenset(("Contents",)),
        size_parameter=b"max-keys",
        size_element="MaxKeys",
        fixed=((b"list-type", b"2"),),
        key_marker=b"start-after",
        key_marker_element="StartAfter",
        passed=(b"fetch-owner",),
    ),
    "ListObjectVersions": ListShape(
        root="ListVersionsResult",
        bucket_element="Name",
        entry_elements=frozenset(("Version", "DeleteMarker")),
        size_parameter=b"max-keys",
        size_element="MaxKeys",
        fixed=((b"versions", b""),),
        key_marker=b"key-marker",
        key_marker_element="KeyMarker",
        id_marker=(b"version-id-marker", "VersionIdMarker"),
    ),
    "ListMultipartUploads": ListShape(
        root="ListMultipartUploadsResult",
        bucket_element="Bucket",
        entry_elements=frozenset(("Upload",)),
        size_parameter=b"max-uploads",
        size_element="MaxUploads",
        fixed=((b"uploads", b""),),
        key_marker=b"key-marker",
        key_marker_element="KeyMarker",
        id_marker=(b"upload-id-marker", "UploadIdMarker"),
    ),
}


def backend_list_query(
    operation_name: str, query: Mapping[bytes, bytes], names: BucketNames, tokens: TokenSealer
) -> list[tuple[bytes, bytes]] | None:
    """The decoded parameters to send; None where the client asks for a page of no entries.

    Raises: S3Error InvalidArgument.
    """
    shape = SHAPES[operation_name]
    size = page_size(shape, query)
    _check_encoding(query)
    pairs = [*shape.fixed, (b"encoding-type", b"url"), (shape.size_parameter, b"%d" % size)]
    prefix = names.prefix.encode() + query.get(b"prefix", b"")
    pairs += [(b"prefix", prefix)] if prefix else []
    pairs += [(name, query[name]) for name in (b"delimiter", *shape.passed) if query.get(name)]
    pairs += _position(shape, query, names, tokens)
    return pairs if size else None


def page_size(shape: ListShape, query: Mapping[bytes, bytes]) -> int:
    """How many entries the client wants at most.

    Raises: S3Error InvalidArgument.
    """
    value = query.get(shape.size_parameter)
    if value is None:
        return MAX_PAGE_SIZE
    if not value.isdigit() or len(value) > 10 or int(value) > _MAX_INTEGER:
        name = shape.size_parameter.decode()
        raise s3_error(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            ArgumentName=name,
        )
    return min(int(value), MAX_PAGE_SIZE)


def _check_encoding(query: Mapping[bytes, bytes]) -> None:
    if query.get(b"encoding-type") not in (None, b"", b"url"):
        raise s3_error(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
        )


def _position(
    shape: ListShape, query: Mapping[bytes, bytes], names: BucketNames, tokens: TokenSealer
) -> list[tuple[bytes, bytes]]:
    """Where the page starts. A token wins over start-after, as it does for S3."""
    if (
        shape is SHAPES["ListObjectsV2"]
        and (sealed := query.get(b"continuation-token")) is not None
    ):
        return [(b"continuation-token", _open(sealed, query, names, tokens))]
    marker = query.get(shape.key_marker)
    pairs = [(shape.key_marker, names.prefix.encode() + marker)] if marker else []
    if shape.id_marker is None or not (value := query.get(shape.id_marker[0])):
        return pairs
    if marker:
        return [*pairs, (shape.id_marker[0], value)]
    if shape.id_marker[0] == b"version-id-marker":
        raise s3_error(
            "InvalidArgument", "A version-id marker cannot be specified without a key marker."
        )
    return pairs  # S3 ignores an upload-id-marker without a key-marker


def _open(
    sealed: bytes, query: Mapping[bytes, bytes], names: BucketNames, tokens: TokenSealer
) -> bytes:
    try:
        return tokens.open(sealed, names, query.get(b"prefix", b"")).encode()
    except SealError:
        raise s3_error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        ) from None
