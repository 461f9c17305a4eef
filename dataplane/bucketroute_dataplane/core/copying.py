"""The source of a copy: named by the client, found, authorised, and reachable in one request."""

from __future__ import annotations

from bucketroute_dataplane.core.authorize import CopySourcePlan, authorize_copy_source
from bucketroute_dataplane.core.copy import parse_copy_source, same_backend
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.identity import Identity
from bucketroute_dataplane.core.request import S3Request
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_snapshot import Backend, StaticAuth, WebIdentityAuth


def copy_source(
    request: S3Request, index: RouteIndex, destination: RouteEntry, identity: Identity
) -> CopySourcePlan:
    """The authorised source. The copy is signed with the destination's credentials, so both ends
    must be on one endpoint, and those credentials must be able to read the source.

    Raises: S3Error NoSuchBucket, AccessDenied, NotImplemented, InvalidArgument.
    """
    named = parse_copy_source(request.head.get(b"x-amz-copy-source") or b"")
    entry = index.find(named.bucket, identity)
    source = authorize_copy_source(entry, identity, named.key, named.version_id)
    if entry is destination or destination.target is None:
        return source
    ends = source.target.backend, destination.target.backend
    if not same_backend(*ends):
        raise s3_error("NotImplemented", "Copies between different backends are not supported.")
    if not _shares_identity(*ends):
        raise s3_error("AccessDenied")
    return source


def _shares_identity(source: Backend, destination: Backend) -> bool:
    """Whether the destination's credentials are known to reach the source.

    A web identity under a session policy is narrowed to its own route, so the same role does not
    help there; the same Secret, or the same role without a policy, does.
    """
    a, b = source.auth, destination.auth
    if isinstance(a, WebIdentityAuth) and isinstance(b, WebIdentityAuth):
        return a.role_arn == b.role_arn and b.session_policy is None
    if isinstance(a, StaticAuth) and isinstance(b, StaticAuth):
        return a == b
    return False
