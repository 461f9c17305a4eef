"""Answers about buckets that need no backend: a bucket here is a BucketRoute, made with Kubernetes.

Source: AWS "ListBuckets", "GetBucketLocation", "GetBucketVersioning", "GetBucketAcl",
"CreateBucket", "DeleteBucket".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.sealing import SealError, SealingRing

MAX_BUCKETS = 10_000  # AWS "ListBuckets", max-buckets

_OWNER = f"<Owner>{xml.leaf('ID', 'bucketroute')}{xml.leaf('DisplayName', 'bucketroute')}</Owner>"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_PURPOSE = b"bucket-list-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketEntry:
    """One line of ListBuckets. `created_at` is RFC 3339."""

    name: str
    created_at: str


def list_buckets_result(
    buckets: Iterable[BucketEntry],
    query: Mapping[bytes, bytes],
    ring: SealingRing,
    *,
    region: str,
) -> bytes:
    """One page of the buckets that the caller may see, by name.

    Raises: S3Error InvalidArgument.
    """
    prefix = query.get(b"prefix", b"").decode()
    after = _position(query, ring)
    wanted = query.get(b"bucket-region", b"").decode() in ("", region)
    limit = _limit(query)
    left = sorted(
        [entry for entry in buckets if entry.name.startswith(prefix) and entry.name > after],
        key=lambda entry: entry.name,
    )
    left = left if wanted else []
    page = left[:limit]
    parts = [_OWNER, f"<Buckets>{''.join([_bucket(entry, region) for entry in page])}</Buckets>"]
    if len(left) > limit:
        token = ring.seal(page[-1].name.encode(), _PURPOSE)
        parts.append(xml.leaf("ContinuationToken", token))
    if prefix:
        parts.append(xml.leaf("Prefix", prefix))
    return xml.document("ListAllMyBucketsResult", "".join(parts))


def _bucket(entry: BucketEntry, region: str) -> str:
    moment = datetime.fromisoformat(entry.created_at).astimezone(UTC)
    created = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    fields = (("Name", entry.name), ("CreationDate", created), ("BucketRegion", region))
    return f"<Bucket>{''.join([xml.leaf(tag, text) for tag, text in fields])}</Bucket>"


def _limit(query: Mapping[bytes, bytes]) -> int:
    value = query.get(b"max-buckets")
    if value is None:
        return MAX_BUCKETS
    if not value.isdigit() or len(value) > 6 or not 1 <= int(value) <= MAX_BUCKETS:
        raise _invalid("max-buckets", f"max-buckets must be an integer from 1 to {MAX_BUCKETS}")
    return int(value)


def _position(query: Mapping[bytes, bytes], ring: SealingRing) -> str:
    token = query.get(b"continuation-token")
    if not token:
        return ""
    try:
        return ring.open(token.decode(errors="replace"), _PURPOSE).decode()
    except SealError:
        raise _invalid(
            "continuation-token", "The continuation token provided is incorrect"
        ) from None


def location_result(region: str) -> bytes:
    """us-east-1 is the empty constraint, as S3 has it from the time when it was the only region."""
    return xml.document("LocationConstraint", "" if region == "us-east-1" else xml.escape(region))


def versioning_result() -> bytes:
    """Says nothing either way: whether the backend keeps versions is not this proxy's to tell."""
    return xml.document("VersioningConfiguration", "")


def acl_result() -> bytes:
    """A private bucket: access is what the BucketRoute grants, and ACLs have no part in it."""
    fields = f"{xml.leaf('ID', 'bucketroute')}{xml.leaf('DisplayName', 'bucketroute')}"
    grantee = f'<Grantee xmlns:xsi="{_XSI}" xsi:type="CanonicalUser">{fields}</Grantee>'
    grant = f"<Grant>{grantee}{xml.leaf('Permission', 'FULL_CONTROL')}</Grant>"
    return xml.document(
        "AccessControlPolicy", f"{_OWNER}<AccessControlList>{grant}</AccessControlList>"
    )


def create_bucket_error(bucket: str, *, may_write: bool) -> S3Error:
    """What CreateBucket answers. Clients that create before they upload go on after the 409."""
    if may_write:
        return s3_error("BucketAlreadyOwnedByYou", BucketName=bucket)
    return s3_error("MethodNotAllowed", "Create a BucketRoute object (bucketroute.io) instead.")


def delete_bucket_error() -> S3Error:
    return s3_error("MethodNotAllowed", "Delete the BucketRoute object (bucketroute.io) instead.")


def _invalid(parameter: str, message: str) -> S3Error:
    return s3_error("InvalidArgument", message, ArgumentName=parameter)
