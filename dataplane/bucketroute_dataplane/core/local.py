"""Operations that the snapshot alone answers; no backend is asked."""

from __future__ import annotations

from bucketroute_dataplane.core.authorize import available_target, may_anything, may_somewhere
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.identity import Identity, IdentityKind
from bucketroute_dataplane.core.local_answers import (
    BucketEntry,
    acl_result,
    create_bucket_error,
    delete_bucket_error,
    list_buckets_result,
    location_result,
    versioning_result,
)
from bucketroute_dataplane.core.messages import Header, Response
from bucketroute_dataplane.core.request import S3Request
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_snapshot import RouteState

_XML: tuple[Header, ...] = ((b"content-type", b"application/xml"),)


def local_answer(
    request: S3Request, index: RouteIndex, identity: Identity, ring: SealingRing
) -> Response:
    """Raises: S3Error AccessDenied, NoSuchBucket, ServiceUnavailable where the route is not active,
    and what creating or deleting a bucket gives.
    """
    operation = request.operation.name
    if operation == "ListBuckets":
        return Response(200, _XML, _list_buckets(request, index, identity, ring))
    if operation in ("CreateBucket", "DeleteBucket") and identity.kind is IdentityKind.ANONYMOUS:
        raise s3_error("AccessDenied")
    if operation == "CreateBucket":
        raise _create_bucket(request, index, identity)
    entry = index.find(request.bucket, identity)
    if entry.route.state is not RouteState.UNRESOLVED and not may_anything(entry, identity):
        raise s3_error("AccessDenied")
    available_target(entry)
    match operation:
        case "HeadBucket":
            return Response(200, ((b"x-amz-bucket-region", index.settings.region.encode()),))
        case "GetBucketLocation":
            return Response(200, _XML, location_result(index.settings.region))
        case "GetBucketVersioning":
            return Response(200, _XML, versioning_result())
        case "GetBucketAcl":
            return Response(200, _XML, acl_result())
        case _:
            raise delete_bucket_error()


def _list_buckets(
    request: S3Request, index: RouteIndex, identity: Identity, ring: SealingRing
) -> bytes:
    if identity.kind is IdentityKind.ANONYMOUS:
        raise s3_error("AccessDenied")
    entries = (
        BucketEntry(name=entry.route.bucket, created_at=entry.route.created_at)
        for entry in index.visible(identity)
        if may_anything(entry, identity)
    )
    return list_buckets_result(entries, request.query, ring, region=index.settings.region)


def _create_bucket(request: S3Request, index: RouteIndex, identity: Identity) -> Exception:
    entry: RouteEntry | None = index.lookup(request.bucket, identity)
    may_write = entry is not None and may_somewhere(entry, identity, "s3:PutObject")
    return create_bucket_error(request.bucket, may_write=may_write)
