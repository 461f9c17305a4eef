"""How a request body comes in and how it goes out, decided from the head alone.

Incoming: plain with a length, or one of the three aws-chunked forms, each with or without
Content-Length. Outgoing: always an exact Content-Length, never Transfer-Encoding.

| incoming                  | to a backend that takes trailers  | to any other            |
|---------------------------|-----------------------------------|-------------------------|
| plain                     | as it is, UNSIGNED-PAYLOAD        | the same                |
| unsigned chunks, length   | the same bytes, checked           | decoded, checked, plain |
| unsigned chunks, no length| re-framed with its trailer        | decoded, checked, plain |
| signed chunks             | verified, decoded, plain          | the same                |
| signed chunks and trailer | verified, re-framed with trailer  | verified, checked, plain|

Source: AWS "Signature calculations: transferring payload in multiple chunks", "… with trailers".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from bucketroute_dataplane.core.aws_chunked_encode import trailer_frame_length
from bucketroute_dataplane.core.checksums import checksum_algorithm
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.headers import check_value, without_aws_chunked
from bucketroute_dataplane.core.messages import Header, RequestHead
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    check_payload_hash,
)
from bucketroute_snapshot import Backend, BackendProfile, UnsignedAuth

MAX_PUT_BYTES = 5 * 1024**3  # AWS "Uploading objects": a single PUT and a part
REFRAMED_CHUNK_BYTES = 256 * 1024

_TRAILER_PROFILES = frozenset((BackendProfile.AWS, BackendProfile.MINIO, BackendProfile.R2))
_is_checksum_name = re.compile(rb"x-amz-checksum-[a-z0-9-]{1,32}").fullmatch
_CHUNKED = frozenset((STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER))


class Treatment(Enum):
    """What happens to a streamed body on its way."""

    AS_IS = "as-is"  # the same bytes
    HASHED = "hashed"  # the same bytes, their SHA-256 checked
    CHECKED = "checked"  # the same bytes, their framing and trailing checksum checked
    DECODED = "decoded"  # chunks taken off, signatures and trailing checksum checked
    REFRAMED = "reframed"  # chunks verified and made anew, with the trailing checksum


class IncomingBody(NamedTuple):
    """What the client announced. `wire_length` is None inside `Transfer-Encoding: chunked`.

    `payload_length` is the decoded length in bytes. `payload_hash` is the value of
    x-amz-content-sha256, UNSIGNED-PAYLOAD where nothing was declared.
    """

    payload_hash: bytes
    wire_length: int | None
    payload_length: int | None
    trailer: bytes | None

    @property
    def is_chunked(self) -> bool:
        return self.payload_hash in _CHUNKED

    @property
    def is_hashed(self) -> bool:
        return len(self.payload_hash) == len(EMPTY_SHA256)

    @property
    def declared_bytes(self) -> int:
        """The larger of what was declared, for limits."""
        return max(self.wire_length or 0, self.payload_length or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """How a streamed body goes out: `content_length` bytes under `payload_hash`."""

    incoming: IncomingBody
    treatment: Treatment
    content_length: int
    payload_hash: bytes
    headers: tuple[Header, ...] = ()


def incoming_body(head: RequestHead, payload_hash: bytes | None) -> IncomingBody:
    """Reads the framing headers. `payload_hash` is the verified claim's, None for a caller without
    a signature: what they declare is checked as well.

    Raises: S3Error NotImplemented, InvalidRequest, InvalidArgument, MissingContentLength.
    """
    if payload_hash is None:
        payload_hash = _declared_hash(head)
    wire_length = _length(head, b"content-length")
    if payload_hash not in _CHUNKED:
        if payload_hash.startswith(b"STREAMING-"):
            raise s3_error("NotImplemented", f"{payload_hash.decode()} is not supported.")
        return IncomingBody(
            payload_hash=payload_hash,
            wire_length=wire_length,
            payload_length=wire_length,
            trailer=None,
        )
    decoded_length = _length(head, b"x-amz-decoded-content-length")
    if decoded_length is None:
        raise s3_error("MissingContentLength")
    has_trailer = payload_hash != STREAMING_SIGNED
    return IncomingBody(
        payload_hash=payload_hash,
        wire_length=wire_length,
        payload_length=decoded_length,
        trailer=_trailer(head) if has_trailer else None,
    )


def _declared_hash(head: RequestHead) -> bytes:
    """Of a request that is not signed. SDKs set x-amz-content-sha256 as they sign, so chunks may
    come without it."""
    declared = head.get(b"x-amz-content-sha256")
    if declared is None:
        codings = b",".join(_values(head, b"content-encoding"))
        is_chunked = codings != without_aws_chunked(codings)
        return STREAMING_UNSIGNED_TRAILER if is_chunked else UNSIGNED_PAYLOAD
    check_payload_hash(declared)
    if declared in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER):
        raise s3_error("InvalidRequest", "Signed chunks need a signed request.")
    return declared


def check_size(incoming: IncomingBody, limit_bytes: int) -> None:
    """Raises: S3Error EntityTooLarge, with the limit, before a byte of the body is read."""
    if incoming.declared_bytes > limit_bytes:
        raise s3_error(
            "EntityTooLarge",
            ProposedSize=str(incoming.declared_bytes),
            MaxSizeAllowed=str(limit_bytes),
        )


def chunk_profile(backend: Backend) -> BackendProfile:
    """The dialect that chunks can be sent in. Servers know them by x-amz-content-sha256, which goes
    with a signature."""
    return BackendProfile.GENERIC if isinstance(backend.auth, UnsignedAuth) else backend.profile


def plan_stream(incoming: IncomingBody, head: RequestHead, profile: BackendProfile) -> StreamPlan:
    """Raises: S3Error MissingContentLength, NotImplemented (unknown trailing checksum)."""
    length = incoming.payload_length
    if length is None:
        raise s3_error("MissingContentLength")
    if not incoming.is_chunked:
        return StreamPlan(
            incoming=incoming,
            treatment=Treatment.HASHED if incoming.is_hashed else Treatment.AS_IS,
            content_length=length,
            payload_hash=UNSIGNED_PAYLOAD,
            headers=_content_encoding(head, is_chunked=False),
        )
    if incoming.trailer is None or profile not in _TRAILER_PROFILES:
        return StreamPlan(
            incoming=incoming,
            treatment=Treatment.DECODED,
            content_length=length,
            payload_hash=UNSIGNED_PAYLOAD,
            headers=_content_encoding(head, is_chunked=False),
        )
    return _plan_trailer(incoming, head, length)


def _plan_trailer(incoming: IncomingBody, head: RequestHead, length: int) -> StreamPlan:
    trailer = incoming.trailer
    assert trailer is not None
    algorithm = checksum_algorithm(trailer)
    # Who keeps the bytes may keep a checksum that only the backend knows.
    treatment = Treatment.CHECKED if algorithm is not None else Treatment.AS_IS
    wire_length = incoming.wire_length
    if wire_length is None or incoming.payload_hash != STREAMING_UNSIGNED_TRAILER:
        if algorithm is None:
            raise s3_error("NotImplemented", f"The trailer {trailer.decode()} is not supported.")
        treatment = Treatment.REFRAMED
        wire_length = trailer_frame_length(
            length,
            chunk_bytes=REFRAMED_CHUNK_BYTES,
            trailer_name=trailer,
            trailer_value_bytes=algorithm.value_bytes,
        )
    return StreamPlan(
        incoming=incoming,
        treatment=treatment,
        content_length=wire_length,
        payload_hash=STREAMING_UNSIGNED_TRAILER,
        headers=(
            *_content_encoding(head, is_chunked=True),
            (b"x-amz-decoded-content-length", b"%d" % length),
            (b"x-amz-trailer", trailer),
        ),
    )


def _content_encoding(head: RequestHead, *, is_chunked: bool) -> tuple[Header, ...]:
    """The Content-Encoding that goes out instead of the client's; it is planned here alone."""
    value = b",".join(_values(head, b"content-encoding"))
    check_value(value)
    kept = without_aws_chunked(value)
    codings = [b"aws-chunked"] if is_chunked else []
    codings += [kept] if kept else []
    return ((b"content-encoding", b",".join(codings)),) if codings else ()


def _length(head: RequestHead, name: bytes) -> int | None:
    value = head.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise s3_error("InvalidArgument", f"{name.decode()} is not a length.")
    return int(value)


def _trailer(head: RequestHead) -> bytes | None:
    """The trailing checksum that x-amz-trailer announces; None where it announces nothing.

    Raises: S3Error InvalidRequest for several names, or one that is no checksum's.
    """
    names = [
        name.strip().lower() for name in b",".join(_values(head, b"x-amz-trailer")).split(b",")
    ]
    names = [name for name in names if name]
    if len(names) > 1 or not all(map(_is_checksum_name, names)):
        raise s3_error("InvalidRequest", "x-amz-trailer must announce one x-amz-checksum- name.")
    return names[0] if names else None


def _values(head: RequestHead, name: bytes) -> list[bytes]:
    """Every value of a header that may repeat."""
    return [value for given, value in head.headers if given == name]
