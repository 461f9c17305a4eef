"""What the hot path leaves behind, what it needs at hand, and what a new snapshot does to it."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from bucketroute_dataplane.core.shapes import Shapes
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.direct import DirectOwner
from bucketroute_dataplane.shell.hot import HotPath
from bucketroute_dataplane.shell.hot_exchange import HotExchange
from bucketroute_snapshot import RouteState
from bucketroute_testing import heads
from bucketroute_testing.garbage import garbage_of_ours
from bucketroute_testing.hot_plane import (
    HotPlane,
    Reply,
    Request,
    hot_plane,
    routes,
    secrets_of,
    snapshot,
)
from bucketroute_testing.transports import ClientLeg, settle, until

BODY = b"twenty bytes of body"
GET = Request()
PUT = Request(method="PUT", headers=[("Content-Length", "20")], body=BODY)
HASHED = PUT.but(payload_hash=sha256(BODY).hexdigest())
NOT_FOUND = Reply(
    answer=b"HTTP/1.1 404 Not Found\r\nContent-Length: 38\r\n\r\n"
    b"<Error><Code>NoSuchKey</Code></Error>\n"
)


@pytest.fixture
async def plane() -> AsyncIterator[HotPlane]:
    async with hot_plane() as running:
        await running.learn(GET, PUT)
        yield running


# -- all must be at hand -------------------------------------------------------------------------


class Offered:
    """A hot path that is offered one request at a time, and what it said."""

    is_leaving = False

    def __init__(self, plane: HotPlane) -> None:
        self.records: list[AccessRecord] = []
        self.path = HotPath(
            plane.services, next_id=lambda: "ID", take_over=self._refuse, end=self.records.append
        )
        self.stream: ClientStream | None = None
        self.is_taken = False

    def begin(self, client: ClientStream) -> None:
        self.stream = client
        self.is_taken = self.path.begin(client)

    def refuse(self, error: object, client_address: str) -> bytes:
        raise AssertionError(error)

    def _refuse(self, hot: HotExchange) -> DirectOwner:
        raise AssertionError("an answer that the ordinary way must give")


async def offer(plane: HotPlane, request: Request) -> tuple[Offered, ClientLeg]:
    offered = Offered(plane)
    leg = ClientLeg(offered)
    leg.receive(plane.raw(request) + request.body)
    return offered, leg


async def test_a_request_is_taken_when_all_is_at_hand(plane: HotPlane) -> None:
    plane.backend.is_held = True
    offered, leg = await offer(plane, GET)
    assert offered.is_taken
    assert plane.services.metrics.in_flight == 1
    plane.backend.is_held = False
    await until(lambda: offered.records)
    assert plane.services.metrics.in_flight == 0
    assert leg.sent.startswith(b"HTTP/1.1 200 OK\r\nserver: BucketRoute\r\n")


@pytest.mark.parametrize("request_", [GET, PUT], ids=["GET", "PUT"])
@pytest.mark.parametrize("absent", ["snapshot", "shape", "credentials", "connection"])
async def test_a_request_that_lacks_something_is_left_without_a_trace(
    plane: HotPlane, absent: str, request_: Request
) -> None:
    services = plane.services
    index = services.store.index
    assert index is not None
    target = index.entries[0].target
    assert target is not None
    match absent:
        case "snapshot":
            services.store.index = None
        case "shape":
            services.store.shapes = Shapes()
        case "credentials":
            services.credentials.update_secrets(replace(secrets_of(), static=()))
        case "connection":
            while (connection := services.pools.take(target.endpoint)) is not None:
                connection.abort()
    before = plane.counted()
    offered, leg = await offer(plane, request_)
    await settle(20)
    assert not offered.is_taken
    assert offered.stream is not None
    assert offered.stream.queued_body() == request_.body
    assert (leg.sent, plane.backend.exchanges, offered.records) == (b"", [], [])
    assert plane.counted() == before
    if absent != "connection":
        assert services.pools.take(target.endpoint) is not None


# -- a new snapshot ------------------------------------------------------------------------------


async def swap(plane: HotPlane, *, caller_secret: str | None = None, **changed: Any) -> None:
    """Serves the same routes, `photos` changed; None takes it away."""
    served = routes(plane.backend.port)
    if "photos" in changed:
        del served["photos"]
    elif changed:
        served["photos"] = replace(served["photos"], **changed)
    secrets = secrets_of() if caller_secret is None else secrets_of(caller_secret)
    await plane.services.store.swap(snapshot(*served.values()), secrets)


@pytest.mark.rule("3.12.18")
@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"access": (heads.rule("PutObject"),)}, 403),
        ({"access": (heads.rule(prefixes=["other/"]),)}, 403),
        ({"state": RouteState.SUSPENDED}, 503),
        ({"photos": None}, 404),
        ({"caller_secret": "rotated"}, 403),
    ],
    ids=["the action", "the prefix", "suspended", "the route", "the secret"],
)
async def test_what_a_new_snapshot_takes_away_is_refused_at_once(
    plane: HotPlane, changed: dict[str, Any], status: int
) -> None:
    await plane.send(GET)
    assert plane.was_hot
    plane.forget()
    await swap(plane, **changed)
    await plane.send(GET)
    assert [record["status"] for record in plane.records()] == [status]
    assert plane.backend.exchanges == []


async def test_a_request_keeps_the_snapshot_that_it_began_with(plane: HotPlane) -> None:
    plane.backend.replies = [NOT_FOUND]
    plane.backend.is_held = True
    plane.leg.receive(plane.raw(GET))
    await until(lambda: plane.backend.exchanges)
    await swap(plane, photos=None)
    plane.backend.is_held = False
    await until(lambda: plane.is_answered)
    (record,) = plane.records()
    assert (record["status"], record["errorCode"]) == (404, "NoSuchKey")


async def test_a_dead_connection_is_replaced_also_after_the_route_has_gone(
    plane: HotPlane,
) -> None:
    plane.backend.replies = [Reply(answer=b"", then="close"), Reply()]
    plane.backend.is_held = True
    plane.leg.receive(plane.raw(GET))
    await until(lambda: plane.backend.exchanges)
    await swap(plane, photos=None)
    plane.backend.is_held = False
    await until(lambda: plane.is_answered)
    first, second = [item.head for item in plane.backend.exchanges]
    assert first == second
    assert plane.records()[0]["status"] == 200


async def test_new_backend_credentials_are_used_from_the_next_request_on(plane: HotPlane) -> None:
    (static,) = secrets_of().static
    rotated = replace(secrets_of(), static=(replace(static, access_key_id="AKIDROTATED"),))
    await plane.send(GET)
    plane.services.credentials.update_secrets(rotated)
    await plane.send(GET)
    assert plane.was_hot
    told = [b"Credential=AKIDROTATED/" in item.head for item in plane.backend.exchanges]
    assert told == [False, True]


async def test_a_new_second_is_signed_as_such(plane: HotPlane) -> None:
    await plane.send(GET)
    plane.epoch += 1
    await plane.send(GET)
    assert plane.was_hot
    dates = [item.head.partition(b"x-amz-date: ")[2][:16] for item in plane.backend.exchanges]
    assert dates == [b"20260102T030405Z", b"20260102T030406Z"]


# -- what is left behind -------------------------------------------------------------------------


@pytest.mark.rule("3.1.8")
async def test_waiting_for_the_backend_is_not_told_as_waiting_for_credentials(
    plane: HotPlane,
) -> None:
    ticks = [1.0]
    plane.services.clock = lambda: ticks[0]
    plane.backend.replies = [NOT_FOUND]
    plane.backend.is_held = True
    plane.leg.receive(plane.raw(GET))
    await until(lambda: plane.backend.exchanges)
    ticks[0] += 7
    plane.backend.is_held = False
    await until(lambda: plane.is_answered)
    (record,) = plane.records()
    assert (record["credentialsMs"], record["backendMs"]) == (0.0, 7000.0)
    assert b"credentials;dur=0.0, backend;dur=7000.0" in plane.leg.sent


LISTING = Request(target="/photos?list-type=2")
LIST_PAGE = Reply(
    answer=b"HTTP/1.1 200 OK\r\nContent-Length: 67\r\n\r\n"
    b"<ListBucketResult><Name>acme-backend</Name></ListBucketResult>     "
)
USUAL = {
    "a read": (GET, Reply()),
    "an upload": (PUT, Reply()),
    "an upload of a hash": (HASHED, Reply()),
    "no such key": (GET, NOT_FOUND),
    "not modified": (GET, Reply(answer=b"HTTP/1.1 304 Not Modified\r\n\r\n")),
    "a key that is encoded": (GET.but(target="/photos/a%20b"), Reply()),
    "a listing": (LISTING, LIST_PAGE),
    "a refusal": (GET.but(target="/closed/a"), Reply()),
    "no such bucket": (GET.but(target="/nowhere/a"), Reply()),
    "a wrong signature": (GET.but(signature="0" * 64), Reply()),
}


@pytest.mark.parametrize(("request_", "reply"), USUAL.values(), ids=USUAL)
async def test_a_request_leaves_nothing_for_the_garbage_collector(
    plane: HotPlane, request_: Request, reply: Reply
) -> None:
    plane.backend.replies = [reply]
    await plane.send(request_)
    with garbage_of_ours() as ours:
        for _ in range(10):
            await plane.send(request_)
    assert ours == Counter()
