"""Copies: what x-amz-copy-source names, and which backends can copy between each other.

Source: AWS "CopyObject" and "UploadPartCopy", request header x-amz-copy-source.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.names import check_key
from bucketroute_snapshot import Backend

_VERSION = b"versionId="


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """The object that a copy reads: virtual bucket, decoded key, version (None: the current)."""

    bucket: str
    key: bytes
    version_id: bytes | None


def parse_copy_source(value: bytes) -> CopySource:
    """Reads `[/]bucket/percent-encoded-key[?versionId=id]`, decoding each part once.

    Raises: S3Error InvalidArgument; NotImplemented for the ARN of an access point; what
    `check_key` raises for the key.
    """
    path, has_query, raw_query = value.strip().partition(b"?")
    if has_query and (not raw_query.startswith(_VERSION) or b"&" in raw_query):
        raise _invalid("may be followed by versionId only; a question mark in a key is %3F")
    decoded = _decode(path).removeprefix(b"/")
    if decoded.startswith(b"arn:"):
        raise s3_error("NotImplemented", "Access points are not supported as a copy source.")
    # Decoded before it is split: some SDKs encode the slash after the bucket, too.
    bucket, _, key = decoded.partition(b"/")
    if not bucket or not key:
        raise _invalid("must name a bucket and a key")
    check_key(key)
    return CopySource(
        bucket=bucket.decode(),
        key=key,
        version_id=_decode(raw_query.removeprefix(_VERSION)) or None,
    )


def same_backend(a: Backend, b: Backend) -> bool:
    """Whether one backend can read the other's objects in a copy of its own.

    Buckets and credentials may differ: the copy is signed for the destination, and the backend
    decides whether those credentials may read the source.
    """
    return a.endpoint == b.endpoint and a.region == b.region


def _decode(raw: bytes) -> bytes:
    decoded = unquote_to_bytes(raw)
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise _invalid("is not valid UTF-8") from None
    return decoded


def _invalid(what: str) -> S3Error:
    return s3_error("InvalidArgument", f"The copy source {what}.", ArgumentName="x-amz-copy-source")
