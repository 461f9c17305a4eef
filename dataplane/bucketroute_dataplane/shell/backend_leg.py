"""The exchange's leg to the backend: credentials, signature, connection, deadlines."""

from __future__ import annotations

from typing import NamedTuple

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.backend_credentials import Credentials, Unsigned
from bucketroute_dataplane.core.forward import Outgoing, sign
from bucketroute_dataplane.core.messages import Deadlines, UpstreamRequest
from bucketroute_dataplane.core.upload import UploadTransform
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.answers import Answering
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.relay import Relay, ResponseHead
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.upstream_ports import BackendError

# What the operations that make a backend copy bytes may take before their first byte.
SLOW_FIRST_BYTE_SECONDS = 300.0
_SLOW = frozenset(("CopyObject", "UploadPartCopy", "CompleteMultipartUpload"))


class Upload(NamedTuple):
    """A streamed body's request, and what is done to it on the way (None: nothing)."""

    outgoing: Outgoing
    transform: UploadTransform | None


class BackendLeg:
    """Sends what an exchange has planned."""

    __slots__ = ("answering", "client", "record", "services")

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.services: Services = answering.services
        self.client: ClientStream = answering.client
        self.record: AccessRecord = answering.record

    async def send(
        self, plan: ForwardPlan, outgoing: Outgoing, body: bytes
    ) -> tuple[Relay, ResponseHead]:
        """Sends a request whose body is at hand; once more if a kept-alive socket was dead."""
        request = await self._sign(plan, outgoing)
        relay = await self._relay(plan)
        try:
            relay.send(request, body, self.deadlines(plan))
            return relay, await self._await_head(relay)
        except BackendError as exc:
            if not (exc.is_stale and request.is_retryable):
                raise
        return await self.resend(plan, request, body)

    async def resend(
        self, plan: ForwardPlan, request: UpstreamRequest, body: bytes
    ) -> tuple[Relay, ResponseHead]:
        relay = Relay(self.client, await self.services.pools.dial(plan.target.endpoint))
        relay.send(request, body, self.deadlines(plan))
        return relay, await self._await_head(relay)

    async def send_streamed(self, plan: ForwardPlan, upload: Upload) -> tuple[Relay, ResponseHead]:
        request = await self._sign(plan, upload.outgoing)
        relay = await self._relay(plan)
        relay.send_streamed(request, upload.transform, self.deadlines(plan))
        return relay, await self._await_head(relay)

    async def _sign(self, plan: ForwardPlan, outgoing: Outgoing) -> UpstreamRequest:
        credentials = self.services.credentials.peek(plan.target.backend)
        if credentials is None:
            credentials = await self.services.credentials.get(plan.target.backend)
        self.record.credentials_ready = self.services.clock()
        return self.signed(plan, outgoing, credentials)

    def signed(
        self, plan: ForwardPlan, outgoing: Outgoing, credentials: Credentials | Unsigned
    ) -> UpstreamRequest:
        return sign(
            plan.target,
            outgoing,
            credentials=credentials,
            amz_date=self.services.amz_date(),
            keys=self.services.outbound_keys,
        )

    async def _relay(self, plan: ForwardPlan) -> Relay:
        pools, endpoint = self.services.pools, plan.target.endpoint
        connection = pools.take(endpoint) or await pools.dial(endpoint)
        self.record.backend_sent = self.services.clock()
        return Relay(self.client, connection)

    async def _await_head(self, relay: Relay) -> ResponseHead:
        head = await relay.head()
        self.record.first_byte = self.services.clock()
        return head

    def deadlines(self, plan: ForwardPlan) -> Deadlines:
        """How long the backend may be silent. What the route says counts before the first byte
        too, but never hurries a copy or a Complete."""
        settings = self.services.settings
        own = plan.entry.route.timeouts.idle_seconds
        first_byte = own or settings.first_byte_seconds
        if plan.request.operation.name in _SLOW:
            first_byte = max(first_byte, SLOW_FIRST_BYTE_SECONDS)
        return Deadlines(first_byte=first_byte, idle=own or settings.idle_seconds)
