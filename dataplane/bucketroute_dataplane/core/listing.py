"""List operations, the way back: the backend's page → the page that the client sees.

What the client asked with is echoed from its own request, never from the backend's echo. Keys
lose the route's prefix; those outside of it are never shown, nor is an object named exactly as
the prefix (for the client it would have an empty key). Entries keep all their other fields.
Source: AWS "ListObjectsV2" and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from xml.etree.ElementTree import Element

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.list_query import SHAPES, ListShape, page_size
from bucketroute_dataplane.core.names import BucketNames, encode_key
from bucketroute_dataplane.core.sealing import TokenSealer

# Whom the backend takes the requests of all callers for: the role that they are signed as.
_PERSONS = frozenset(("Owner", "Initiator"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListRequest:
    """What the client asked, and how names are shown to it (`show` gives escaped text)."""

    shape: ListShape
    query: Mapping[bytes, bytes]
    names: BucketNames
    show: Callable[[str], str]

    def text(self, parameter: bytes) -> str:
        return self.query.get(parameter, b"").decode()

    def shown(self, tag: str, name: str) -> str:
        return f"<{tag}>{self.show(name)}</{tag}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What is left of the backend's page: written entries, and virtual names in its order."""

    entries: list[str]
    common_prefixes: list[str]
    last_key: str | None
    is_truncated: bool


def rewrite_list_result(
    operation_name: str,
    body: bytes,
    query: Mapping[bytes, bytes],
    names: BucketNames,
    tokens: TokenSealer,
) -> bytes:
    """The client's page of a backend's answer of status 200.

    Raises: BackendUnavailableError where the answer is no list result.
    """
    request = _request(operation_name, query, names)
    root = _parse(body, request.shape.root)
    decode = _decode_url if root.findtext("EncodingType") == "url" else _decode_raw
    page = _page(root, request, decode)
    is_v2 = operation_name == "ListObjectsV2"
    count = len(page.entries) + len(page.common_prefixes) if is_v2 else None
    parts = [
        *_head(request, count=count, is_truncated=page.is_truncated),
        *_next_page(operation_name, root, request, page, decode, tokens),
        *page.entries,
        *[
            f"<CommonPrefixes>{request.shown('Prefix', prefix)}</CommonPrefixes>"
            for prefix in page.common_prefixes
        ],
    ]
    return xml.document(request.shape.root, "".join(parts))


def empty_list_result(
    operation_name: str, query: Mapping[bytes, bytes], names: BucketNames
) -> bytes:
    """The page of a client that asks for no entries."""
    request = _request(operation_name, query, names)
    count = 0 if operation_name == "ListObjectsV2" else None
    return xml.document(
        request.shape.root, "".join(_head(request, count=count, is_truncated=False))
    )


def _request(operation_name: str, query: Mapping[bytes, bytes], names: BucketNames) -> _ListRequest:
    show = _encode if query.get(b"encoding-type") == b"url" else xml.escape
    return _ListRequest(shape=SHAPES[operation_name], query=query, names=names, show=show)


def _parse(body: bytes, root_tag: str) -> Element:
    try:
        root = xml.parse(body)
    except xml.XMLSyntaxError as exc:
        raise BackendUnavailableError("ServiceUnavailable", f"list result: {exc}") from exc
    if root.tag != root_tag:
        detail = f"list result: expected {root_tag}, the backend sent {root.tag[:64]}"
        raise BackendUnavailableError("ServiceUnavailable", detail)
    return root


def _page(root: Element, request: _ListRequest, decode: Callable[[str], str]) -> _Page:
    names, shape = request.names, request.shape
    found = (
        names.from_backend_key(decode(element.findtext("Prefix") or ""))
        for element in root.iter("CommonPrefixes")
    )
    common_prefixes = [prefix for prefix in found if prefix]
    seen = frozenset(common_prefixes)
    entries: list[str] = []
    last_key = None
    for entry in root:
        if entry.tag not in shape.entry_elements:
            continue
        key = names.from_backend_key(decode(entry.findtext("Key") or ""))
        if not key:
            continue
        last_key = key
        # Some backends list a folder's zero-byte marker beside the common prefix it rolls up in.
        if key in seen and entry.findtext("Size") == "0":
            continue
        entries.append(_entry(entry, request.shown("Key", key), names))
    return _Page(
        entries=entries,
        common_prefixes=common_prefixes,
        last_key=last_key,
        is_truncated=root.findtext("IsTruncated") == "true",
    )


def _entry(entry: Element, key: str, names: BucketNames) -> str:
    fields = []
    for child in entry:
        if child.tag == "Key":
            fields.append(key)
        elif child.tag in _PERSONS:
            told = [item for item in child if not names.reveals(item.text or "")]
            fields.append(f"<{child.tag}>{''.join(map(xml.write, told))}</{child.tag}>")
        else:
            fields.append(xml.write(child))
    return f"<{entry.tag}>{''.join(fields)}</{entry.tag}>"


def _head(request: _ListRequest, *, count: int | None, is_truncated: bool) -> Iterator[str]:
    shape = request.shape
    yield xml.leaf(shape.bucket_element, request.names.virtual_bucket)
    yield request.shown("Prefix", request.text(b"prefix"))
    marker = request.text(shape.key_marker)
    if marker or shape.key_marker_element != "StartAfter":
        yield request.shown(shape.key_marker_element, marker)
    if shape.id_marker is not None:
        yield xml.leaf(shape.id_marker[1], request.text(shape.id_marker[0]))
    if count is not None:
        yield xml.leaf("KeyCount", str(count))
    yield xml.leaf(shape.size_element, str(page_size(shape, request.query)))
    if delimiter := request.text(b"delimiter"):
        yield request.shown("Delimiter", delimiter)
    if request.query.get(b"encoding-type"):
        yield xml.leaf("EncodingType", "url")
    yield xml.leaf("IsTruncated", "true" if is_truncated else "false")


def _next_page(
    operation_name: str,
    root: Element,
    request: _ListRequest,
    page: _Page,
    decode: Callable[[str], str],
    tokens: TokenSealer,
) -> Iterator[str]:
    """What the client needs to go on. Tokens and IDs are opaque, so they are never encoded."""
    match operation_name:
        case "ListObjectsV2":
            if token := request.text(b"continuation-token"):
                yield xml.leaf("ContinuationToken", token)
            if following := root.findtext("NextContinuationToken"):
                prefix = request.query.get(b"prefix", b"")
                sealed = tokens.seal(following, request.names, prefix)
                yield xml.leaf("NextContinuationToken", sealed)
        case "ListObjects":
            if page.is_truncated and (marker := _next_marker(root, request.names, page, decode)):
                yield request.shown("NextMarker", marker)
        case _:
            key = decode(root.findtext("NextKeyMarker") or "")
            if marker := request.names.from_backend_key(key):
                yield request.shown("NextKeyMarker", marker)
                for tag in ("NextVersionIdMarker", "NextUploadIdMarker"):
                    if following := root.findtext(tag):
                        yield xml.leaf(tag, following)


def _next_marker(
    root: Element, names: BucketNames, page: _Page, decode: Callable[[str], str]
) -> str | None:
    """The last name on the page, which is what S3 defines it as.

    Backends leave it out, encode it or not, or add a cursor of their own; theirs is used only for
    a page with nothing on it.
    """
    last = [page.last_key] if page.last_key is not None else []
    last += page.common_prefixes[-1:]
    if last:
        return max(last, key=_to_bytes)
    return names.from_backend_key(decode(root.findtext("NextMarker") or ""))


def _decode_raw(text: str) -> str:
    return text


def _decode_url(text: str) -> str:
    """`+` is a space: S3 and MinIO write it so, and all write a plus as %2B."""
    if "%" not in text and "+" not in text:
        return text
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")


def _encode(name: str) -> str:
    return encode_key(_to_bytes(name)).decode()


def _to_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
