"""DeleteObjects: every key is authorised alone, what is denied is never sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bucketroute_dataplane.core.authorize import ForwardPlan, may
from bucketroute_dataplane.core.forward import Outgoing, compose_buffered
from bucketroute_dataplane.core.multidelete import (
    ObjectIdentifier,
    backend_delete_body,
    integrity_headers,
    merge_delete_result,
    parse_delete,
    split_denied,
    verify_digests,
)
from bucketroute_dataplane.shell.answers import (
    MAX_DOCUMENT_BYTES,
    XML_TYPE,
    Answering,
    answer_forwarded,
)
from bucketroute_dataplane.shell.relay import Relay, ResponseHead

SendBuffered = Callable[[ForwardPlan, Outgoing, bytes], Awaitable[tuple[Relay, ResponseHead]]]


async def delete_batch(
    answering: Answering, plan: ForwardPlan, body: bytes, send: SendBuffered
) -> None:
    """Raises: S3Error MalformedXML, BadDigest; BackendError."""
    verify_digests(plan.request.head.headers, body)
    request = parse_delete(body)
    allowed, denied = split_denied(request, lambda item: _may_delete(plan, item))
    backend_body: bytes | None = None
    if allowed:
        outgoing_body = backend_delete_body(allowed, plan.target.names)
        outgoing = compose_buffered(plan, outgoing_body, extra=integrity_headers(outgoing_body))
        relay, head = await send(plan, outgoing, outgoing_body)
        if head.status >= 300:
            await answer_forwarded(answering, plan, relay, head)
            return
        backend_body = await relay.collect(MAX_DOCUMENT_BYTES)
    merged = merge_delete_result(request, denied, backend_body, plan.target.names)
    answering.respond(200, [XML_TYPE], merged)


def _may_delete(plan: ForwardPlan, item: ObjectIdentifier) -> bool:
    action = "s3:DeleteObjectVersion" if item.version_id else "s3:DeleteObject"
    return may(plan.entry, plan.identity, action, item.key.encode())
