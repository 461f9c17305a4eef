"""ForwardPlan → UpstreamRequest: target, headers, length, signature.

`compose` decides what is sent, `sign` proves it to the backend. Target and canonical request are
made of the same bytes, so no URL library stands between what is signed and what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from bucketroute_dataplane.core.authorize import CopySourcePlan, ForwardPlan
from bucketroute_dataplane.core.backend_credentials import Credentials, Unsigned
from bucketroute_dataplane.core.body import StreamPlan, Treatment
from bucketroute_dataplane.core.headers import forwarded_headers
from bucketroute_dataplane.core.messages import Header, UpstreamRequest
from bucketroute_dataplane.core.names import encode_key, encode_query_value
from bucketroute_dataplane.core.operations import BodyMode, Level, Operation
from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    encode_query,
    sign_headers,
)

# Sent unsigned: hops may rewrite the first, and the backend must not compress what we stream.
UNSIGNED_HEADERS = ((b"user-agent", b"bucketroute/0.1"), (b"accept-encoding", b"identity"))


class Outgoing(NamedTuple):
    """A backend request before it is signed; every header in `headers` will be."""

    method: bytes
    path: bytes
    query: bytes
    headers: Sequence[Header]
    payload_hash: bytes
    content_length: int | None
    is_retryable: bool


def compose_stream(plan: ForwardPlan, stream: StreamPlan) -> Outgoing:
    """A streamed upload: the planned framing, the client's checksums and description."""
    dropped = [b"content-encoding"]
    if stream.treatment is Treatment.DECODED and stream.incoming.trailer is not None:
        # It would name a checksum that no longer follows; the checksum was checked here.
        dropped.append(b"x-amz-sdk-checksum-algorithm")
    headers = [header for header in _client_headers(plan) if header[0] not in dropped]
    return _outgoing(
        plan,
        query=_query(plan.request.query, plan.request.operation),
        headers=[*headers, *stream.headers],
        payload_hash=stream.payload_hash,
        content_length=stream.content_length,
    )


def compose_bodiless(
    plan: ForwardPlan, *, query: Sequence[tuple[bytes, bytes]] | None = None
) -> Outgoing:
    """A request without a body; `query` replaces the client's parameters (lists)."""
    operation = plan.request.operation
    headers = _client_headers(plan)
    if plan.copy_source is not None:
        headers.append((b"x-amz-copy-source", copy_source_value(plan.copy_source)))
    return _outgoing(
        plan,
        query=query if query is not None else _query(plan.request.query, operation),
        headers=headers,
        payload_hash=EMPTY_SHA256,
        content_length=0 if operation.method in (b"PUT", b"POST") else None,
    )


def compose_buffered(plan: ForwardPlan, body: bytes, *, extra: Sequence[Header] = ()) -> Outgoing:
    """A small body that was read whole: its own SHA-256 is signed."""
    return _outgoing(
        plan,
        query=_query(plan.request.query, plan.request.operation),
        headers=[*_client_headers(plan), *extra],
        payload_hash=sha256(body).hexdigest().encode() if body else EMPTY_SHA256,
        content_length=len(body) if body or plan.request.head.method != b"DELETE" else None,
    )


def copy_source_value(source: CopySourcePlan) -> bytes:
    """`/bucket/encoded-key[?versionId=…]` as the backend knows the source."""
    names = source.target.names
    key = encode_key(names.prefix.encode() + source.key)
    value = b"/%s/%s" % (names.backend_bucket.encode(), key)
    if source.version_id:
        value += b"?versionId=" + encode_query_value(source.version_id)
    return value


def sign(
    target: BackendTarget,
    outgoing: Outgoing,
    *,
    credentials: Credentials | Unsigned,
    amz_date: bytes,
    keys: SigningKeys,
) -> UpstreamRequest:
    """The request as it goes on the wire; unsigned only where the backend says so."""
    headers = list(outgoing.headers)
    if not isinstance(credentials, Unsigned):
        headers += _signature(target, outgoing, credentials, amz_date, keys)
    headers += UNSIGNED_HEADERS
    return UpstreamRequest(
        method=outgoing.method,
        target=outgoing.path + b"?" + outgoing.query if outgoing.query else outgoing.path,
        host=target.host,
        headers=headers,
        content_length=outgoing.content_length,
        is_retryable=outgoing.is_retryable,
    )


def _signature(
    target: BackendTarget,
    outgoing: Outgoing,
    credentials: Credentials,
    amz_date: bytes,
    keys: SigningKeys,
) -> list[Header]:
    token = credentials.session_token
    return sign_headers(
        UnsignedRequest(
            method=outgoing.method,
            raw_path=outgoing.path,
            canonical_query=outgoing.query,
            headers=[(b"host", target.host), *outgoing.headers],
            payload_hash=outgoing.payload_hash,
        ),
        credentials=SigningCredentials(
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key.reveal(),
            session_token=token.reveal() if token is not None else None,
        ),
        region=target.backend.region.encode(),
        amz_date=amz_date,
        keys=keys,
    )


def _client_headers(plan: ForwardPlan) -> list[Header]:
    request = plan.request
    return forwarded_headers(
        request.operation, request.head, backend_is_tls=plan.target.endpoint.is_tls
    )


def _outgoing(
    plan: ForwardPlan,
    *,
    query: Sequence[tuple[bytes, bytes]],
    headers: Sequence[Header],
    payload_hash: bytes,
    content_length: int | None,
) -> Outgoing:
    request, target = plan.request, plan.target
    operation = request.operation
    is_object = operation.level is Level.OBJECT
    return Outgoing(
        method=operation.method,
        path=target.object_path(request.key) if is_object else target.bucket_path,
        query=encode_query(query) if query else b"",
        headers=headers,
        payload_hash=payload_hash,
        content_length=content_length,
        is_retryable=operation.is_idempotent and operation.body is BodyMode.NONE,
    )


def _query(query: Mapping[bytes, bytes], operation: Operation) -> list[tuple[bytes, bytes]]:
    """The client's parameters that the operation forwards, and its sub-resource.

    An empty versionId is left out: it was authorised as none.
    """
    pairs = [
        (name, value)
        for name, value in query.items()
        if name in operation.query and (value or name != b"versionId")
    ]
    subresource = operation.subresource
    if subresource is not None and subresource not in operation.query:
        pairs.append((subresource, b""))
    return pairs
