"""Bodies of callers who have proved nothing yet: a login's form, or what comes with a token whose
key must be fetched. They share little room, and have little time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bucketroute_dataplane.core.body import incoming_body
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.limits import BufferBudget, room_for_incoming
from bucketroute_dataplane.shell.services import Services

# For a body as a whole; between bytes the usual deadline holds as well.
UNPROVED_BODY_SECONDS = 30.0


@contextmanager
def room_for_unproved(
    services: Services, own: BufferBudget, client: ClientStream, limit_bytes: int
) -> Iterator[None]:
    """Room for what the client has declared, in `own`, the small part of the budget that such
    strangers may take. Raises, when entered: S3Error EntityTooLarge, SlowDown."""
    size = room_for_incoming(incoming_body(client.head, None), limit_bytes)
    with own.hold(size), services.buffer_budget.hold(size):
        yield


async def read_unproved(client: ClientStream, limit_bytes: int) -> bytes:
    """Raises: S3Error EntityTooLarge, RequestTimeout; ClientGoneError."""
    return await client.read_body(limit_bytes, within_seconds=UNPROVED_BODY_SECONDS)
