"""What requests share is never waited for: who finds it used up is told to slow down."""

from contextlib import ExitStack

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.resolve import RouteEntry
from bucketroute_dataplane.shell.limits import (
    BUFFERED_BUDGET_BYTES,
    BufferBudget,
    RouteLimits,
)
from bucketroute_snapshot.model import Limits
from bucketroute_testing.heads import route_entry


def entry(uid: str = "u", *, concurrent: int | None = None, rate: int | None = None) -> RouteEntry:
    limits = Limits(max_concurrent_requests=concurrent, requests_per_second=rate)
    return route_entry(uid=uid, limits=limits)


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(limits: RouteLimits, route: RouteEntry) -> bool:
    try:
        with limits.enter(route):
            return False
    except S3Error as error:
        return (error.code, error.status, error.retry_after_seconds) == ("SlowDown", 503, 1)


def test_buffered_bodies_share_a_budget_and_give_it_back() -> None:
    budget = BufferBudget(10)
    with budget.hold(6):
        with pytest.raises(S3Error, match="SlowDown"), budget.hold(5):
            pass
        with budget.hold(4):
            pass
    with budget.hold(10):
        pass


def test_a_failed_request_gives_its_share_of_the_budget_back() -> None:
    budget = BufferBudget(10)
    with pytest.raises(ZeroDivisionError), budget.hold(10):
        raise ZeroDivisionError
    with budget.hold(10):
        pass


def test_the_budget_is_64_mib() -> None:
    budget = BufferBudget()
    with budget.hold(BUFFERED_BUDGET_BYTES), pytest.raises(S3Error, match="SlowDown"):
        budget.hold(1).__enter__()
    assert BUFFERED_BUDGET_BYTES == 64 * 1024 * 1024


def test_a_route_without_limits_is_never_refused() -> None:
    limits = RouteLimits(Clock())
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(limits.enter(entry()))
    assert limits.is_unlimited(entry())


def test_concurrent_requests_are_counted_by_route() -> None:
    limits = RouteLimits(Clock())
    with limits.enter(entry("a", concurrent=2)), limits.enter(entry("a", concurrent=2)):
        assert refused(limits, entry("a", concurrent=2))
        assert not refused(limits, entry("b", concurrent=2))
    assert not refused(limits, entry("a", concurrent=2))


def test_a_route_that_was_never_used_has_its_whole_second_whatever_the_clock_says() -> None:
    limits = RouteLimits(Clock(0.0))
    assert [refused(limits, entry(rate=3)) for _ in range(4)] == [False, False, False, True]


def test_the_rate_fills_up_with_time_and_holds_one_second_at_most() -> None:
    clock = Clock(5.0)
    limits = RouteLimits(clock)
    assert [refused(limits, entry(rate=2)) for _ in range(3)] == [False, False, True]
    clock.now += 0.5
    assert [refused(limits, entry(rate=2)) for _ in range(2)] == [False, True]
    clock.now += 3600
    assert [refused(limits, entry(rate=2)) for _ in range(3)] == [False, False, True]


def test_a_request_refused_for_its_rate_does_not_count_as_running() -> None:
    limits = RouteLimits(Clock())
    route = entry(rate=1, concurrent=1)
    assert not refused(limits, route)
    assert refused(limits, route)
    assert refused(limits, route)


def test_a_changed_limit_holds_from_the_next_request_on() -> None:
    limits = RouteLimits(Clock())
    with limits.enter(entry(concurrent=1)):
        assert refused(limits, entry(concurrent=1))
        assert not refused(limits, entry(concurrent=2))


@pytest.mark.parametrize(("limit", "part"), [(1, 1), (3, 1), (4, 2), (7, 3), (9, 3)])
def test_workers_share_out_what_a_route_may(limit: int, part: int) -> None:
    """Rounded up: one that may do nothing would refuse all that the kernel gives it."""
    at_once, in_a_second = entry(concurrent=limit), entry("v", rate=limit)
    limits = RouteLimits(Clock(), workers=3)
    with ExitStack() as stack:
        for _ in range(part):
            stack.enter_context(limits.enter(at_once))
        assert refused(limits, at_once)
    assert [refused(limits, in_a_second) for _ in range(part + 1)] == [*[False] * part, True]
