"""Which buckets a gateway asks for, when it does so again, and what it says meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bucketroute_dataplane.core.resolve import BackendTarget
from bucketroute_dataplane.core.sts import StsUnavailable
from bucketroute_dataplane.shell import bucket_checks
from bucketroute_dataplane.shell.bucket_checks import CHECK_SECONDS, CHECKS_AT_ONCE, BucketChecks
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport, key_of
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_snapshot import Backend, Route, RouteState, WebIdentityAuth
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.heads import backend, route, route_index
from bucketroute_testing.swaps import take_up
from bucketroute_testing.transports import settle, until
from bucketroute_testing.web_identity import web_identity_auth

FOUND, NOT_FOUND, UNKNOWN = BucketState.FOUND, BucketState.NOT_FOUND, BucketState.UNKNOWN


class World:
    """Backends whose answers a test decides; `asked` counts the questions, by bucket."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, BucketState | Exception] = {}
        self.gate: asyncio.Event | None = None
        self.at_once = self.most_at_once = 0
        self.news = 0
        self.has_credentials = True
        self.prefetched: list[CredentialKey] = []
        self.checks = BucketChecks(
            self._ask,
            has_credentials=lambda _backend: self.has_credentials,
            prefetch=self.prefetched.append,
            clock=lambda: self.now,
            again_after_seconds=0.01,
        )
        self.checks.on_news = self._on_news

    def serve(self, *routes: Route) -> None:
        """As a swap does, all in one go."""
        take_up(self.checks.prepare(route_index(*routes).entries))

    async def said_of(self, served: Route) -> BucketState:
        """Once there is something to say."""
        await until(lambda: self.checks.state_of(served.uid) is not None)
        state = self.checks.state_of(served.uid)
        assert state is not None
        return state

    async def _ask(self, target: BackendTarget) -> BucketState:
        bucket = target.backend.bucket
        self.asked[bucket] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        answer = self.answers.get(bucket, FOUND)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _on_news(self) -> None:
        self.news += 1


def _backend(served: Route) -> Backend:
    assert served.backend is not None
    return served.backend


def to(bucket: str, *, state: RouteState = RouteState.ACTIVE, **fields: object) -> Route:
    """`fields` are the backend's."""
    return route(bucket, backend=backend(bucket=bucket, **fields), state=state, uid=bucket)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    running = asyncio.create_task(made.checks.run())
    yield made
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_new_bucket_is_asked_for_and_nothing_is_said_before_the_answer(
    world: World,
) -> None:
    world.gate = asyncio.Event()
    one = to("one")
    world.serve(one)
    await until(lambda: world.asked["one"])
    assert world.checks.state_of(one.uid) is None
    world.gate.set()
    assert await world.said_of(one) is FOUND
    assert world.news == 1


async def test_a_route_is_asked_for_again_only_if_its_backend_changed(world: World) -> None:
    """A snapshot that came as a whole has a new object for everything in it."""
    one = to("one")
    world.serve(one)
    await world.said_of(one)
    world.serve(replace(to("one"), generation=2, access=()), to("two"))
    await until(lambda: world.asked["two"])
    await settle()
    assert (world.asked["one"], world.checks.state_of("one")) == (1, FOUND)
    moved = replace(to("one", region="eu-west-2"), generation=3)
    world.serve(moved)
    assert world.checks.state_of("one") is None
    assert await world.said_of(moved) is FOUND
    assert world.asked["one"] == 2


async def test_what_was_seen_holds_until_the_answer_where_the_route_was_not_edited(
    world: World,
) -> None:
    """Its class was, and thousands of routes with it."""
    one = to("one")
    world.serve(one)
    await world.said_of(one)
    world.answers["one"] = NOT_FOUND
    world.serve(to("one", region="eu-west-2"))
    assert world.checks.state_of("one") is FOUND
    await until(lambda: world.checks.state_of("one") is NOT_FOUND)


async def test_an_edit_that_was_taken_up_before_is_none(world: World) -> None:
    world.serve(to("one"))
    assert await world.said_of(to("one")) is FOUND
    edited = replace(to("one"), generation=2, access=())
    world.serve(edited)
    world.gate = asyncio.Event()
    world.serve(replace(edited, backend=backend(bucket="one", region="eu-west-2")))
    assert world.checks.state_of("one") is FOUND


async def test_who_gives_no_answer_once_takes_nothing_back(world: World) -> None:
    world.answers["one"] = NOT_FOUND
    one = to("one")
    world.serve(one)
    await world.said_of(one)
    world.answers["one"] = BackendError("cannot connect")
    asked = world.asked["one"]
    await until(lambda: world.asked["one"] > asked + 1)
    assert (world.checks.state_of("one"), world.news) == (NOT_FOUND, 1)


async def test_a_missing_bucket_is_asked_for_until_it_is_there(world: World) -> None:
    world.answers["one"] = NOT_FOUND
    one = to("one")
    world.serve(one)
    assert await world.said_of(one) is NOT_FOUND
    await until(lambda: world.asked["one"] >= 3)
    assert world.news == 1, "the same answer again is no news"
    world.answers["one"] = FOUND
    await until(lambda: world.checks.state_of(one.uid) is FOUND)
    assert world.news == 2
    asked = world.asked["one"]
    await asyncio.sleep(0.05)
    assert world.asked["one"] == asked


@pytest.mark.parametrize(
    "failure",
    [
        BackendError("cannot connect"),
        TimeoutError(),
        UnicodeError("label too long"),
    ],
    ids=["no connection", "too late", "a fault of ours"],
)
async def test_who_cannot_be_asked_is_unknown_and_asked_again(
    world: World, failure: Exception
) -> None:
    world.answers["one"] = failure
    one = to("one")
    world.serve(one)
    assert await world.said_of(one) is UNKNOWN
    world.answers["one"] = FOUND
    await until(lambda: world.checks.state_of(one.uid) is FOUND)


async def test_a_backend_that_does_not_tell_is_not_pestered(world: World) -> None:
    world.answers["one"] = BucketState.FORBIDDEN
    one = to("one")
    world.serve(one)
    assert await world.said_of(one) is BucketState.FORBIDDEN
    await asyncio.sleep(0.05)
    assert world.asked["one"] == 1


async def test_an_answer_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.gate = asyncio.Event()
    one = to("one")
    world.serve(one)
    await until(lambda: world.asked["one"])
    world.now += CHECK_SECONDS
    assert world.checks.state_of(one.uid) is UNKNOWN
    monkeypatch.setattr(bucket_checks, "CHECK_SECONDS", 0.01)
    two = to("two")
    world.serve(two)
    await until(lambda: world.asked["two"] >= 2)


async def test_that_there_is_no_answer_yet_is_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_checks, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(bucket_checks, "PAUSE_SECONDS", 0.01)
    world.gate = asyncio.Event()
    world.serve(*(to(f"bucket-{number}") for number in range(CHECKS_AT_ONCE + 1)))
    last = f"bucket-{CHECKS_AT_ONCE}"
    await until(lambda: world.at_once == CHECKS_AT_ONCE)
    world.now += 1
    await until(lambda: world.news >= CHECKS_AT_ONCE + 1)
    assert world.checks.state_of(last) is UNKNOWN


async def test_a_new_route_comes_before_those_that_gave_no_answer(world: World) -> None:
    dead = [to(f"dead-{number}") for number in range(2 * CHECKS_AT_ONCE)]
    for served in dead:
        world.answers[served.bucket] = BackendError("cannot connect")
    world.serve(*dead)
    for served in dead:
        await world.said_of(served)
    await asyncio.sleep(0.02)  # all of them are due again
    before = world.asked.total()
    world.serve(*dead, to("new"))
    await until(lambda: world.asked["new"])
    assert world.asked.total() - before <= CHECKS_AT_ONCE + 1


async def test_a_backend_that_gives_no_answer_is_asked_ever_less_often(world: World) -> None:
    world.answers["one"] = BackendError("cannot connect")
    world.serve(to("one"))
    await until(lambda: world.asked["one"] >= 3)
    asked = world.asked["one"]
    await asyncio.sleep(0.04)
    assert world.asked["one"] <= asked + 1


@pytest.mark.parametrize(
    "served",
    [
        to("one", state=RouteState.SUSPENDED),
        route("one", backend=None, state=RouteState.UNRESOLVED),
    ],
    ids=["suspended", "unresolved"],
)
async def test_a_route_that_serves_nobody_is_not_asked_for(world: World, served: Route) -> None:
    world.serve(served, to("two"))
    await until(lambda: world.asked["two"])
    assert set(world.asked) == {"two"}


def exchange(served: Route, *, is_granted: bool) -> ExchangeReport:
    auth = _backend(served).auth
    assert isinstance(auth, WebIdentityAuth)
    return ExchangeReport(
        key=key_of(_backend(served), auth),
        failure=None if is_granted else StsUnavailable(detail="no answer"),
        at=1.0,
        duration_seconds=0.1,
        expires_at=3600.0 if is_granted else None,
        token_issued_at=None,
    )


async def test_a_role_is_not_asked_for_before_its_time(world: World) -> None:
    world.has_credentials = False
    one, two = to("one", auth=web_identity_auth()), to("two", auth=web_identity_auth())
    gone = to("gone", auth=web_identity_auth())
    world.serve(one, gone)
    world.serve(one, two)
    assert set(world.prefetched) == {exchange(one, is_granted=True).key}
    world.checks.exchanged(exchange(one, is_granted=False))
    await settle()
    assert world.asked.total() == 0
    assert world.checks.state_of(one.uid) is UNKNOWN, "why there are none is told at once"
    world.checks.exchanged(exchange(one, is_granted=True))
    assert world.checks.state_of(one.uid) is None
    assert [await world.said_of(item) for item in (one, two)] == [FOUND, FOUND]
    world.checks.exchanged(exchange(one, is_granted=True))
    await settle()
    assert world.asked == {"one": 1, "two": 1}


async def test_a_route_that_is_gone_is_not_asked_for_again(world: World) -> None:
    world.answers["one"] = NOT_FOUND
    one = to("one")
    world.serve(one)
    await world.said_of(one)
    world.serve()
    asked = world.asked["one"]
    await asyncio.sleep(0.05)
    assert world.asked["one"] <= asked + 1
    assert world.checks.state_of(one.uid) is UNKNOWN


async def test_only_so_many_are_asked_for_at_once(world: World) -> None:
    world.gate = asyncio.Event()
    routes = [to(f"bucket-{number}") for number in range(3 * CHECKS_AT_ONCE)]
    world.serve(*routes)
    await until(lambda: world.at_once == CHECKS_AT_ONCE)
    world.gate.set()
    await until(lambda: len(world.asked) == len(routes))
    assert world.most_at_once == CHECKS_AT_ONCE
