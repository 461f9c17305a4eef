"""The hot path: an object request of a known shape, served in the calls that bring its bytes.

What a request may do is decided in `core`, here as on the ordinary way; a shape is what core has
decided before. `begin` takes a request only if everything is at hand: a shape, a route, a right
signature, credentials, an idle connection. If anything is missing nothing has been done, and the
ordinary way serves the request from its beginning; if anything turns out otherwise later (an
error, a redirect, a lost connection) it takes the exchange over as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.shapes import RequestShape, ShapeRoute
from bucketroute_dataplane.core.sigv4 import UNSIGNED_PAYLOAD
from bucketroute_dataplane.core.upload import HashedUpload, UploadTransform
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.direct import DirectOwner
from bucketroute_dataplane.shell.hot_exchange import HotExchange
from bucketroute_dataplane.shell.services import Services

_is_sha256 = re.compile(rb"[0-9a-f]{64}").fullmatch
_is_length = re.compile(rb"[0-9]{1,18}").fullmatch


class _Body(NamedTuple):
    """Of a request: its length (None: it has no body), what has come of it, what is done to the
    rest."""

    length: int | None
    early: bytes
    transform: UploadTransform | None


_NO_BODY = _Body(None, b"", None)


class HotPath:
    """`take_over` makes an exchange an ordinary one; `end` counts and logs one that is over."""

    def __init__(
        self,
        services: Services,
        *,
        next_id: Callable[[], str],
        take_over: Callable[[HotExchange], DirectOwner],
        end: Callable[[AccessRecord], None],
    ) -> None:
        self.services = services
        self.next_id = next_id
        self.take_over = take_over
        self.end = end

    def begin(self, client: ClientStream) -> bool:
        """Whether the request is on its way to the backend. False: nothing has been done."""
        services, head = self.services, client.head
        index, shape = services.store.index, services.store.shapes.find(head)
        if shape is None or index is None or not head.raw_path.startswith(b"/"):
            return False
        started = services.clock()
        bucket, _, key = head.raw_path[1:].partition(b"/")
        route = shape.routes.get(bucket)
        if (
            route is None
            or not route.admits(key)
            or not shape.is_proved(head.raw_path, head.by_name, services.epoch())
        ):
            return False
        credentials = services.credentials.peek(route.target.backend)
        if shape.is_upload:
            body = _upload(client, route, head.by_name)
        else:
            body = _NO_BODY if _is_bodiless(client, shape, head.by_name) else None
        if body is None or not isinstance(credentials, Credentials):
            return False
        request = route.template.filled(
            route.path + key,
            head.by_name,
            body.length,
            credentials=credentials,
            amz_date=services.amz_date(),
            keys=services.outbound_keys,
        )
        connection = services.pools.take(route.target.endpoint) if request is not None else None
        if request is None or connection is None:
            return False
        services.metrics.in_flight += 1
        exchange = HotExchange(self, client, connection, index, shape, route)
        exchange.key, exchange.started, exchange.sent_at = key, started, services.clock()
        if body.length is None:
            exchange.send(request, b"", route.deadlines)
        elif client.body_complete:
            client.send_continue()  # it may wait for one all the same
            exchange.send(request, body.early, route.deadlines)
        else:
            exchange.send_streamed(request, body.transform, route.deadlines)
        return True


def _is_bodiless(client: ClientStream, shape: RequestShape, values: Mapping[bytes, bytes]) -> bool:
    return client.body_complete and shape.has_no_payload(values)


def _upload(client: ClientStream, route: ShapeRoute, values: Mapping[bytes, bytes]) -> _Body | None:
    """None: an upload for the ordinary way, which says what is wrong if anything is."""
    payload_hash, declared = values[b"x-amz-content-sha256"], values[b"content-length"]
    is_hashed = payload_hash != UNSIGNED_PAYLOAD
    if not _is_length(declared) or (is_hashed and not _is_sha256(payload_hash)):
        return None
    length = int(declared)
    if not 0 < length <= route.max_bytes:
        return None
    if not client.body_complete:
        return _Body(length, b"", HashedUpload(payload_hash) if is_hashed else None)
    early = client.queued_body()
    if is_hashed and sha256(early).hexdigest().encode() != payload_hash:
        return None
    return _Body(length, early, None)
