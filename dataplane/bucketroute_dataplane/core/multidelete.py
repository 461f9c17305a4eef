"""DeleteObjects: the client's body in, the backend's body out, one merged result back.

Keys here are exempt from the checks of keys in a path: a batch is how objects with odd names,
written before those checks, can be removed.
Source: AWS "DeleteObjects".
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import md5
from xml.etree.ElementTree import Element

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.checksums import (
    HEADER_PREFIX,
    DigestCheck,
    checksum_algorithm,
    content_md5_check,
    decode_digest,
)
from bucketroute_dataplane.core.errors import ERRORS, BackendUnavailableError, s3_error
from bucketroute_dataplane.core.messages import Header, Headers
from bucketroute_dataplane.core.names import MAX_KEY_BYTES, BucketNames

MAX_OBJECTS = 1000  # AWS "DeleteObjects"

_OPAQUE = frozenset(("Code", "VersionId", "DeleteMarker", "DeleteMarkerVersionId"))
_NO_DIGEST = frozenset(HEADER_PREFIX + name for name in (b"algorithm", b"mode", b"type"))
_CONDITIONS = ("ETag", "LastModifiedTime", "Size")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectIdentifier:
    """One object to delete. `conditions` are (element, text) of a conditional delete."""

    key: str
    version_id: str | None = None
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRequest:
    """What the client asks to delete; `is_quiet` leaves successes out of the result."""

    objects: tuple[ObjectIdentifier, ...]
    is_quiet: bool


def parse_delete(body: bytes) -> DeleteRequest:
    """Reads the body of a DeleteObjects request.

    Raises: S3Error MalformedXML unless it names 1 to 1,000 objects; KeyTooLongError.
    """
    try:
        root = xml.parse(body)
    except xml.XMLSyntaxError:
        raise s3_error("MalformedXML") from None
    objects = tuple(map(_identifier, root.findall("Object")))
    if root.tag != "Delete" or not 1 <= len(objects) <= MAX_OBJECTS:
        raise s3_error("MalformedXML")
    quiet = (root.findtext("Quiet") or "false").strip().lower()
    if quiet not in ("true", "false"):
        raise s3_error("MalformedXML")
    return DeleteRequest(objects=objects, is_quiet=quiet == "true")


def _identifier(element: Element) -> ObjectIdentifier:
    key = element.findtext("Key")
    if not key:
        raise s3_error("MalformedXML")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise s3_error("KeyTooLongError")
    found = [(tag, element.findtext(tag)) for tag in _CONDITIONS]
    return ObjectIdentifier(
        key=key,
        version_id=element.findtext("VersionId") or None,
        conditions=tuple([(tag, text) for tag, text in found if text]),
    )


def split_denied(
    request: DeleteRequest, may_delete: Callable[[ObjectIdentifier], bool]
) -> tuple[list[ObjectIdentifier], list[ObjectIdentifier]]:
    """The objects that may be deleted, and those that may not."""
    allowed: list[ObjectIdentifier] = []
    denied: list[ObjectIdentifier] = []
    for item in request.objects:
        (allowed if may_delete(item) else denied).append(item)
    return allowed, denied


def backend_delete_body(objects: Sequence[ObjectIdentifier], names: BucketNames) -> bytes:
    """The body for the backend. Never quiet: only then is every key's fate known."""
    entries = "".join([_write_object(item, names) for item in objects])
    return xml.document("Delete", f"<Quiet>false</Quiet>{entries}")


def integrity_headers(body: bytes) -> tuple[Header, ...]:
    """Content-MD5, which S3 demands of this operation (a signed SHA-256 goes with every body)."""
    digest = md5(body, usedforsecurity=False).digest()
    return ((b"content-md5", b64encode(digest)),)


def _write_object(item: ObjectIdentifier, names: BucketNames) -> str:
    fields = [("Key", names.to_backend_key(item.key))]
    fields += [("VersionId", item.version_id)] if item.version_id else []
    inner = "".join([xml.leaf(tag, text) for tag, text in (*fields, *item.conditions)])
    return f"<Object>{inner}</Object>"


def merge_delete_result(
    request: DeleteRequest,
    denied: Collection[ObjectIdentifier],
    backend_body: bytes | None,
    names: BucketNames,
) -> bytes:
    """The client's result: what the backend did, and AccessDenied for what was never sent.

    `backend_body` is None where everything was denied and so nothing was sent.
    Raises: BackendUnavailableError where the backend's answer is no result.
    """
    entries: list[str] = []
    if backend_body is not None:
        refused = frozenset(denied)
        sent = [item for item in request.objects if item not in refused]
        entries = _backend_entries(_parse_result(backend_body), sent, names, request.is_quiet)
    entries += [_error_entry(item, "AccessDenied") for item in denied]
    return xml.document("DeleteResult", "".join(entries))


def _parse_result(body: bytes) -> Element:
    try:
        root = xml.parse(body)
    except xml.XMLSyntaxError as exc:
        raise BackendUnavailableError("ServiceUnavailable", f"delete result: {exc}") from exc
    if root.tag != "DeleteResult":
        detail = f"delete result: the backend sent {root.tag[:64]}"
        raise BackendUnavailableError("ServiceUnavailable", detail)
    return root


def _backend_entries(
    root: Element, sent: Sequence[ObjectIdentifier], names: BucketNames, is_quiet: bool
) -> list[str]:
    """The backend's entries in the client's names, and errors for what it says nothing about."""
    count_by_key = Counter(item.key for item in set(sent))
    answered: set[tuple[str, str | None]] = set()
    entries: list[str] = []
    for element in root:
        if element.tag not in ("Deleted", "Error"):
            continue
        key = names.from_backend_key(element.findtext("Key") or "")
        if key is None or key not in count_by_key:
            continue
        # A version that is not echoed is no question while the key was sent only once.
        version_id = element.findtext("VersionId") or None
        answered.add((key, version_id if count_by_key[key] > 1 else None))
        if element.tag == "Error" or not is_quiet:
            entries.append(_entry(element, key, names))
    for item in dict.fromkeys(sent):
        version_id = item.version_id if count_by_key[item.key] > 1 else None
        if (item.key, version_id) not in answered:
            entries.append(_error_entry(item, "InternalError"))
    return entries


def _entry(element: Element, key: str, names: BucketNames) -> str:
    fields = []
    for child in element:
        text = child.text or ""
        if child.tag == "Key":
            text = key
        elif child.tag not in _OPAQUE and names.reveals(text):
            text = "The object could not be deleted." if child.tag == "Message" else ""
        fields.append(xml.leaf(child.tag, text))
    return f"<{element.tag}>{''.join(fields)}</{element.tag}>"


def _error_entry(item: ObjectIdentifier, code: str) -> str:
    version_id = [("VersionId", item.version_id)] if item.version_id else []
    fields = [("Key", item.key), *version_id, ("Code", code), ("Message", ERRORS[code].message)]
    return f"<Error>{''.join([xml.leaf(tag, text) for tag, text in fields])}</Error>"


def verify_digests(headers: Headers, body: bytes) -> None:
    """Checks Content-MD5 and every x-amz-checksum-* that the client sent; it needs to send none.

    Raises: S3Error BadDigest, InvalidDigest, NotImplemented (an algorithm that is not known here;
    the backend cannot check it either, as it gets another body).
    """
    for name, value in headers:
        if name == b"content-md5":
            check = content_md5_check(value)
            check.update(body)
            check.verify()
        elif name.startswith(HEADER_PREFIX) and name not in _NO_DIGEST:
            _verify_checksum(name, value, body)


def _verify_checksum(name: bytes, value: bytes, body: bytes) -> None:
    algorithm = checksum_algorithm(name)
    if algorithm is None:
        raise s3_error("NotImplemented", f"{name.decode('ascii', 'replace')} is not supported.")
    expected = decode_digest(value.strip(), algorithm.digest_bytes)
    if expected is None:
        raise s3_error("InvalidDigest")
    check = DigestCheck(algorithm.new(), expected, code="BadDigest")
    check.update(body)
    check.verify()
