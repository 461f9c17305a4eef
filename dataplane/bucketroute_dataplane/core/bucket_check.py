"""Whether a backend has the bucket of a route: what it is asked, and what its answer tells."""

from __future__ import annotations

from bucketroute_dataplane.core.forward import Outgoing
from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_dataplane.core.results import backend_error
from bucketroute_dataplane.core.sigv4 import EMPTY_SHA256, encode_query
from bucketroute_snapshot.update import BucketState


def compose_bucket_check(target: BackendTarget) -> Outgoing:
    """A listing of one key below the route's prefix.

    A HEAD of the bucket would be refused where a policy grants lists of that prefix only.
    """
    query = [(b"list-type", b"2"), (b"max-keys", b"1")]
    if target.names.prefix:
        query.append((b"prefix", target.names.prefix.encode()))
    return Outgoing(
        method=b"GET",
        path=target.bucket_path,
        query=encode_query(query),
        headers=(),
        payload_hash=EMPTY_SHA256,
        content_length=None,
        is_retryable=True,
    )


def bucket_state(status: int, body: bytes, target: BackendTarget) -> BucketState:
    """What the answer tells, in the terms of the error that a client would get for it."""
    if status == 200:
        return BucketState.FOUND
    error = backend_error(status, body, target.names, is_object=False)
    if error.code == "NoSuchBucket":
        return BucketState.NOT_FOUND
    return BucketState.FORBIDDEN if error.status == 403 else BucketState.UNKNOWN
