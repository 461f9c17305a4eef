"""One S3 request from head to last byte, in a straight line.

    RequestHead → S3Request → Caller → RouteEntry → ForwardPlan → body → credentials
                → UpstreamRequest → response

Everything up to the ForwardPlan is synchronous over one snapshot. The order after it is the heart
of the product: a small body is read whole, in this task, before the first await on anything that
is shared (credentials, connections); a large one is never held, and starts to move only when the
backend is ready for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from bucketroute_dataplane.core.authenticate import BearerToken, Caller, authenticate
from bucketroute_dataplane.core.authorize import CopySourcePlan, ForwardPlan, authorize
from bucketroute_dataplane.core.body import (
    MAX_PUT_BYTES,
    IncomingBody,
    check_size,
    incoming_body,
    plan_stream,
)
from bucketroute_dataplane.core.buffered import checked_body
from bucketroute_dataplane.core.copying import copy_source
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.forward import (
    Outgoing,
    compose_bodiless,
    compose_buffered,
    compose_stream,
    sign,
)
from bucketroute_dataplane.core.list_query import backend_list_query
from bucketroute_dataplane.core.login_errors import in_terms_of_s3
from bucketroute_dataplane.core.messages import UpstreamRequest
from bucketroute_dataplane.core.operations import Answer, BodyMode
from bucketroute_dataplane.core.request import S3Request, parse_request
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.upload import UploadTransform, upload_transform
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.answers import (
    Answering,
    answer_empty_list,
    answer_forwarded,
    answer_locally,
    answer_preflight,
)
from bucketroute_dataplane.shell.batch_delete import delete_batch
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.relay import Deadlines, Relay, ResponseHead
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.upstream import BackendError

# What the operations that make a backend copy bytes may take before their first byte.
SLOW_FIRST_BYTE_SECONDS = 300.0
_SLOW = frozenset(("CopyObject", "UploadPartCopy", "CompleteMultipartUpload"))
# A body that must be checked before its (empty) request may go out is framing only.
_EMPTY_FRAMING_BYTES = 64 * 1024


@dataclass(slots=True)
class Exchange:
    """The state that the steps of one request share."""

    answering: Answering
    index: RouteIndex
    services: Services = field(init=False)
    client: ClientStream = field(init=False)
    record: AccessRecord = field(init=False)
    request: S3Request | None = None
    held_body: bytes | None = None

    def __post_init__(self) -> None:
        answering = self.answering
        self.services, self.client = answering.services, answering.client
        self.record = answering.record

    async def run(self) -> None:
        """Raises: S3Error, BackendError, ClientGoneError; nothing has been answered then, or the
        response is under way and must be broken off."""
        services, client = self.services, self.client
        if client.head.method == b"OPTIONS":
            self.record.operation = "Preflight"
            answer_preflight(self.answering, self.index)
            return
        request = self.request = parse_request(client.head, self.index.domains)
        self._note_request(request)
        caller = authenticate(
            client.head,
            self.index,
            now=services.now(),
            keys=services.inbound_keys,
            trust=services.trust,
        )
        if isinstance(caller, BearerToken):
            caller = await self._prove(caller, request)
        self.record.caller = str(caller.identity)
        if request.operation.answer is Answer.LOCAL:
            answer_locally(self.answering, request, self.index, caller.identity)
            return
        plan = self._authorize(request, caller)
        self.record.authorized = services.clock()
        incoming = incoming_body(client.head, caller.payload_hash)
        with services.limits.enter(plan.entry):
            match request.operation.body:
                case BodyMode.STREAMED:
                    await self._forward_streamed(plan, caller, incoming)
                case BodyMode.BUFFERED:
                    await self._forward_buffered(plan, caller, incoming)
                case BodyMode.NONE:
                    await self._forward_bodiless(plan)
                case _:
                    assert_never(request.operation.body)

    def _note_request(self, request: S3Request) -> None:
        record = self.record
        record.operation = request.operation.name
        record.bucket, record.key = request.bucket, request.key.decode()

    def _authorize(self, request: S3Request, caller: Caller) -> ForwardPlan:
        entry = self.index.find(request.bucket, caller.identity)
        self.record.route = entry.label
        self.answering.entry = entry
        source: CopySourcePlan | None = None
        if request.operation.is_copy:
            source = copy_source(request, self.index, entry, caller.identity)
        return authorize(request, entry, caller.identity, copy_source=source)

    async def _prove(self, bearer: BearerToken, request: S3Request) -> Caller:
        """Proves a token whose key must be fetched: after the small body is in, since nothing that
        is shared is awaited while one is still on the wire."""
        services = self.services
        is_buffered = request.operation.body is BodyMode.BUFFERED
        limit = request.operation.body_limit_bytes if is_buffered else 0
        with services.buffer_budget.hold(limit):
            if is_buffered:
                self.held_body = await self.client.read_body(limit)
            try:
                key = await services.issuer_keys.find(bearer.issuer, bearer.token.key_id)
            except S3Error as error:
                raise in_terms_of_s3(error) from error
        return bearer.caller(key, services.now())

    # -- the three kinds of body -----------------------------------------------------------------

    async def _forward_buffered(
        self, plan: ForwardPlan, caller: Caller, incoming: IncomingBody
    ) -> None:
        operation = plan.request.operation
        check_size(incoming, operation.body_limit_bytes)
        held = incoming.wire_length if incoming.wire_length is not None else incoming.payload_length
        reserved = operation.body_limit_bytes if held is None else held
        with self.services.buffer_budget.hold(reserved):
            raw = self.held_body
            if raw is None:
                raw = await self.client.read_body(operation.body_limit_bytes)
            body = checked_body(raw, incoming, caller.signature, operation.body_limit_bytes)
            self.record.body_read = self.services.clock()
            if operation.answer is Answer.BATCH_DELETE:
                await delete_batch(self.answering, plan, body, self._send_buffered)
                return
            relay, head = await self._send(plan, compose_buffered(plan, body), body)
        await answer_forwarded(self.answering, plan, relay, head)

    async def _send_buffered(
        self, plan: ForwardPlan, outgoing: Outgoing, body: bytes
    ) -> tuple[Relay, ResponseHead]:
        return await self._send(plan, outgoing, body)

    async def _forward_streamed(
        self, plan: ForwardPlan, caller: Caller, incoming: IncomingBody
    ) -> None:
        limit = plan.entry.route.limits.max_object_size_bytes
        check_size(incoming, min(limit or MAX_PUT_BYTES, MAX_PUT_BYTES))
        stream = plan_stream(incoming, self.client.head, plan.target.backend.profile)
        transform = upload_transform(stream, caller.signature)
        outgoing = compose_stream(plan, stream)
        if transform is not None and not stream.content_length:
            # An empty object is complete with its head, so the check comes first.
            transform.feed(await self.client.read_body(_EMPTY_FRAMING_BYTES))
            transform.finish()
            relay, head = await self._send(plan, outgoing, b"")
        else:
            relay, head = await self._send_streamed(plan, outgoing, transform)
        await answer_forwarded(self.answering, plan, relay, head)

    async def _forward_bodiless(self, plan: ForwardPlan) -> None:
        query: Sequence[tuple[bytes, bytes]] | None = None
        request = plan.request
        if request.operation.answer is Answer.LIST:
            query = backend_list_query(
                request.operation.name, request.query, plan.target.names, self.services.sealer(plan)
            )
            if query is None:
                answer_empty_list(self.answering, plan)
                return
        relay, head = await self._send(plan, compose_bodiless(plan, query=query), b"")
        await answer_forwarded(self.answering, plan, relay, head)

    # -- to the backend --------------------------------------------------------------------------

    async def _send(
        self, plan: ForwardPlan, outgoing: Outgoing, body: bytes
    ) -> tuple[Relay, ResponseHead]:
        """Sends a request whose body is at hand; once more if a kept-alive socket was dead."""
        request = await self._sign(plan, outgoing)
        relay = await self._relay(plan)
        try:
            relay.send(request, body, self._deadlines(plan))
            return relay, await self._head(relay)
        except BackendError as exc:
            if not (exc.is_stale and request.is_retryable):
                raise
        relay = Relay(self.client, await self.services.pools.dial(plan.target.endpoint))
        relay.send(request, body, self._deadlines(plan))
        return relay, await self._head(relay)

    async def _send_streamed(
        self, plan: ForwardPlan, outgoing: Outgoing, transform: UploadTransform | None
    ) -> tuple[Relay, ResponseHead]:
        request = await self._sign(plan, outgoing)
        relay = await self._relay(plan)
        relay.send_streamed(request, transform, self._deadlines(plan))
        return relay, await self._head(relay)

    async def _sign(self, plan: ForwardPlan, outgoing: Outgoing) -> UpstreamRequest:
        services = self.services
        backend = plan.target.backend
        credentials = services.credentials.peek(backend)
        if credentials is None:
            credentials = await services.credentials.get(backend)
        self.record.credentials_ready = services.clock()
        return sign(
            plan,
            outgoing,
            credentials=credentials,
            amz_date=services.amz_date(),
            keys=services.outbound_keys,
        )

    async def _relay(self, plan: ForwardPlan) -> Relay:
        pools, endpoint = self.services.pools, plan.target.endpoint
        connection = pools.take(endpoint) or await pools.dial(endpoint)
        self.record.backend_sent = self.services.clock()
        return Relay(self.client, connection)

    async def _head(self, relay: Relay) -> ResponseHead:
        head = await relay.head()
        self.record.first_byte = self.services.clock()
        return head

    def _deadlines(self, plan: ForwardPlan) -> Deadlines:
        """How long the backend may be silent. What the route says counts before the first byte
        too, but never hurries a copy or a Complete."""
        settings = self.services.settings
        own = plan.entry.route.timeouts.idle_seconds
        first_byte = own or settings.first_byte_seconds
        if plan.request.operation.name in _SLOW:
            first_byte = max(first_byte, SLOW_FIRST_BYTE_SECONDS)
        return Deadlines(first_byte=first_byte, idle=own or settings.idle_seconds)
