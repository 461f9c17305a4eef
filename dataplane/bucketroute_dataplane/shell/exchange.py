"""One S3 request from head to last byte, in a straight line.

    RequestHead → S3Request → Caller → RouteEntry → ForwardPlan → body → credentials
                → UpstreamRequest → response

Everything up to the ForwardPlan is synchronous over one snapshot. The order after it is the heart
of the product: a small body is read whole, in this task, before the first await on anything that
is shared (credentials, connections); a large one is never held, and starts to move only when the
backend is ready for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

from bucketroute_dataplane.core.authenticate import BearerToken, Caller, authenticate
from bucketroute_dataplane.core.authorize import CopySourcePlan, ForwardPlan, authorize
from bucketroute_dataplane.core.body import (
    MAX_PUT_BYTES,
    IncomingBody,
    check_size,
    chunk_profile,
    incoming_body,
    plan_stream,
)
from bucketroute_dataplane.core.buffered import checked_body
from bucketroute_dataplane.core.copying import copy_source
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.forward import (
    compose_bodiless,
    compose_buffered,
    compose_stream,
)
from bucketroute_dataplane.core.identity import Identity
from bucketroute_dataplane.core.list_query import backend_list_query
from bucketroute_dataplane.core.login_errors import in_terms_of_s3
from bucketroute_dataplane.core.messages import UpstreamRequest
from bucketroute_dataplane.core.operations import Answer, BodyMode
from bucketroute_dataplane.core.request import S3Request, parse_request
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.upload import upload_transform
from bucketroute_dataplane.shell.answers import (
    Answering,
    answer_empty_list,
    answer_forwarded,
    answer_locally,
    answer_preflight,
)
from bucketroute_dataplane.shell.backend_leg import BackendLeg, Upload
from bucketroute_dataplane.shell.batch_delete import delete_batch
from bucketroute_dataplane.shell.direct import DirectOwner, DirectRelay
from bucketroute_dataplane.shell.limits import BufferHold, room_for_incoming
from bucketroute_dataplane.shell.relay import ResponseHead
from bucketroute_dataplane.shell.unproved import read_unproved, room_for_unproved

# A body that must be checked before its (empty) request may go out is framing only.
_EMPTY_FRAMING_BYTES = 64 * 1024


class Planned(NamedTuple):
    """An authorised request, before anything has been waited for."""

    plan: ForwardPlan
    caller: Caller
    incoming: IncomingBody


class Exchange(BackendLeg):
    """The state that the steps of one request share."""

    __slots__ = ("held_body", "index", "request", "sent")

    def __init__(self, answering: Answering, index: RouteIndex) -> None:
        super().__init__(answering)
        self.index = index
        self.request: S3Request | None = None
        self.sent: UpstreamRequest | None = None
        self.held_body: bytes | None = None

    def begin(self, owner: DirectOwner) -> Awaitable[None] | None:
        """Takes every step that waits for nothing, over one snapshot.

        Returns what is left to be awaited. None: the request is answered, or goes on by itself and
        `owner` hears of its end.
        Raises: S3Error; nothing has been answered then.
        """
        services, client = self.services, self.client
        if client.head.method == b"OPTIONS":
            self.record.operation = "Preflight"
            answer_preflight(self.answering, self.index)
            return None
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
            return self._run_bearer(caller, request)
        planned = self._plan(request, caller)
        if planned is None or self._begin_directly(planned, owner):
            return None
        return self._forward(planned, self._hold(planned))

    def _plan(self, request: S3Request, caller: Caller) -> Planned | None:
        """What the caller may have done; None if the snapshot alone has answered."""
        self.record.caller = str(caller.identity)
        if request.operation.answer is Answer.LOCAL:
            answer_locally(self.answering, request, self.index, caller.identity)
            return None
        plan = self._authorize(request, caller)
        self.record.authorized = self.services.clock()
        return Planned(plan, caller, incoming_body(self.client.head, caller.payload_hash))

    async def _run_bearer(self, bearer: BearerToken, request: S3Request) -> None:
        planned = self._plan(request, await self._prove(bearer, request))
        if planned is not None:
            await self._forward(planned, self._hold(planned))

    def _hold(self, planned: Planned) -> BufferHold:
        """The room for a buffered body, taken before the body is let in: what cannot be held is
        refused while the rest of it is still on the socket. Raises: S3Error."""
        operation, incoming = planned.plan.request.operation, planned.incoming
        if operation.body is not BodyMode.BUFFERED:
            return self.services.buffer_budget.hold(0)
        return self.services.buffer_budget.hold(
            room_for_incoming(incoming, operation.body_limit_bytes)
        )

    async def _forward(self, planned: Planned, hold: BufferHold) -> None:
        """Raises: S3Error, BackendError, ClientGoneError; nothing has been answered then, or the
        response is under way and must be broken off."""
        with hold, self.services.limits.enter(planned.plan.entry):
            match planned.plan.request.operation.body:
                case BodyMode.STREAMED:
                    await self._forward_streamed(planned)
                case BodyMode.BUFFERED:
                    await self._forward_buffered(planned)
                case BodyMode.NONE:
                    await self._forward_bodiless(planned.plan)

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
        services, operation = self.services, request.operation
        is_buffered = operation.body is BodyMode.BUFFERED
        limit = operation.body_limit_bytes if is_buffered else 0
        room = room_for_unproved(services, services.unproved_budget, self.client, limit)
        with room if is_buffered else nullcontext():
            if is_buffered:
                self.held_body = await read_unproved(self.client, limit)
            try:
                key = await services.issuer_keys.find(bearer.issuer, bearer.token.key_id)
            except S3Error as error:
                raise in_terms_of_s3(error) from error
        return bearer.caller(key, services.now())

    # -- with nothing to wait for ----------------------------------------------------------------

    def _begin_directly(self, planned: Planned, owner: DirectOwner) -> bool:
        """Sends an object request whose credentials and connection are at hand."""
        services, plan = self.services, planned.plan
        operation = plan.request.operation
        is_simple = operation.answer is Answer.STREAM and operation.body is not BodyMode.BUFFERED
        if not is_simple or not services.limits.is_unlimited(plan.entry):
            return False
        credentials = services.credentials.peek(plan.target.backend)
        if credentials is None:
            return False
        self.record.credentials_ready = services.clock()
        upload = self._upload(planned) if operation.body is BodyMode.STREAMED else None
        if upload is not None and not upload.outgoing.content_length:
            return False
        outgoing = upload.outgoing if upload is not None else compose_bodiless(plan)
        request = self.signed(plan, outgoing, credentials)
        connection = services.pools.take(plan.target.endpoint)
        if connection is None:
            return False
        self.sent = request
        self.record.backend_sent = services.clock()
        relay = DirectRelay(self.answering, plan, connection, owner)
        if upload is None:
            relay.send(request, b"", self.deadlines(plan))
        else:
            relay.send_streamed(request, upload.transform, self.deadlines(plan))
        if self.index is services.store.index:
            services.store.shapes.learn(plan, planned.caller, self.deadlines(plan))
        return True

    def resume(self, identity: Identity) -> ForwardPlan:
        """The plan of a request that the hot path has sent: it takes the same decisions."""
        request = self.request = parse_request(self.client.head, self.index.domains)
        entry = self.index.find(request.bucket, identity)
        self.answering.entry = entry
        return authorize(request, entry, identity)

    def answer(self, relay: DirectRelay, head: ResponseHead) -> Awaitable[None]:
        """What is left of a direct exchange whose answer is not to be passed on."""
        return answer_forwarded(self.answering, relay.plan, relay, head)

    def send_again(self, relay: DirectRelay) -> Awaitable[None] | None:
        """The same request on a new connection, after a kept-alive one was dead; None if it must
        not be repeated."""
        request = self.sent or self._sent_by_hot_path(relay.plan)
        if request is None or not request.is_retryable or self.client.response_started:
            return None
        return self._send_again(relay.plan, request)

    def _sent_by_hot_path(self, plan: ForwardPlan) -> UpstreamRequest | None:
        credentials = self.services.credentials.peek(plan.target.backend)
        if plan.request.operation.body is not BodyMode.NONE or credentials is None:
            return None
        return self.signed(plan, compose_bodiless(plan), credentials)

    async def _send_again(self, plan: ForwardPlan, request: UpstreamRequest) -> None:
        relay, head = await self.resend(plan, request, b"")
        await answer_forwarded(self.answering, plan, relay, head)

    # -- the three kinds of body -----------------------------------------------------------------

    async def _forward_buffered(self, planned: Planned) -> None:
        plan, caller, incoming = planned
        limit = plan.request.operation.body_limit_bytes
        raw = self.held_body
        if raw is None:
            raw = await self.client.read_body(limit)
        body = checked_body(raw, incoming, caller.signature, limit)
        self.record.body_read = self.services.clock()
        if plan.request.operation.answer is Answer.BATCH_DELETE:
            await delete_batch(self.answering, plan, body, self.send)
            return
        relay, head = await self.send(plan, compose_buffered(plan, body), body)
        await answer_forwarded(self.answering, plan, relay, head)

    async def _forward_streamed(self, planned: Planned) -> None:
        upload = self._upload(planned)
        if upload.transform is not None and not upload.outgoing.content_length:
            # An empty object is complete with its head, so the check comes first.
            upload.transform.feed(await self.client.read_body(_EMPTY_FRAMING_BYTES))
            upload.transform.finish()
            relay, head = await self.send(planned.plan, upload.outgoing, b"")
        else:
            relay, head = await self.send_streamed(planned.plan, upload)
        await answer_forwarded(self.answering, planned.plan, relay, head)

    def _upload(self, planned: Planned) -> Upload:
        plan, caller, incoming = planned
        limit = plan.entry.route.limits.max_object_size_bytes
        check_size(incoming, min(limit or MAX_PUT_BYTES, MAX_PUT_BYTES))
        stream = plan_stream(incoming, self.client.head, chunk_profile(plan.target.backend))
        transform = upload_transform(stream, caller.signature)
        return Upload(compose_stream(plan, stream), transform)

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
        relay, head = await self.send(plan, compose_bodiless(plan, query=query), b"")
        await answer_forwarded(self.answering, plan, relay, head)
