"""The Lease: one holder at a time, taken over only when it has run out by our own clock."""

import asyncio
from dataclasses import dataclass

import pytest

from bucketroute_operator.shell.kube_api import LEASES, ConflictError, KubeError
from bucketroute_operator.shell.leader import LeaderElection, LeadershipLostError, LeaseTimes
from bucketroute_testing.kube import FakeKube

NAMESPACE, NAME = "bucketroute-system", "bucketroute-operator"
QUICK = LeaseTimes(duration=15.0, renew_deadline=10.0, retry=0.001)


@dataclass(slots=True)
class Seconds:
    """A monotonic clock that a test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _election(kube: FakeKube, identity: str, clock: Seconds) -> LeaderElection:
    return LeaderElection(
        kube, namespace=NAMESPACE, name=NAME, identity=identity, times=QUICK, clock=clock
    )


def _holder(kube: FakeKube) -> str:
    return str(kube.peek(LEASES, NAMESPACE, NAME)["spec"]["holderIdentity"])


async def _acquires(election: LeaderElection) -> bool:
    try:
        async with asyncio.timeout(0.05):
            await election.acquire()
    except TimeoutError:
        return False
    return True


async def test_the_first_leads_and_the_second_waits() -> None:
    kube, clock = FakeKube(), Seconds()
    assert await _acquires(_election(kube, "one", clock))
    assert not await _acquires(_election(kube, "two", clock))
    assert _holder(kube) == "one"


async def test_a_lease_that_nobody_renews_is_taken_over() -> None:
    kube, clock = FakeKube(), Seconds()
    await _election(kube, "one", clock).acquire()
    second = _election(kube, "two", clock)
    assert not await _acquires(second)
    clock.now = 15.5
    assert await _acquires(second)
    spec = kube.peek(LEASES, NAMESPACE, NAME)["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_a_lease_that_is_renewed_is_not_taken_over() -> None:
    kube, clock = FakeKube(), Seconds()
    await _election(kube, "one", clock).acquire()
    second = _election(kube, "two", clock)
    assert not await _acquires(second)
    clock.now = 15.5
    kube.put(LEASES, kube.peek(LEASES, NAMESPACE, NAME))
    assert not await _acquires(second)


async def test_a_released_lease_is_free_at_once() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _election(kube, "one", clock)
    await first.acquire()
    await first.release()
    assert await _acquires(_election(kube, "two", clock))


async def test_a_holder_that_was_replaced_ends() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _election(kube, "one", clock)
    await first.acquire()
    lease = kube.peek(LEASES, NAMESPACE, NAME)
    kube.put(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "two"}})
    with pytest.raises(LeadershipLostError, match="taken over"):
        await first.hold()


async def test_a_renewal_whose_answer_was_lost_is_no_loss() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _election(kube, "one", clock)
    await first.acquire()
    lost = [KubeError(0, "the answer was lost")]
    kube.fault_after = lambda verb, resource, name: (
        lost.pop() if verb == "replace" and lost else None
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await first.hold()
    assert _holder(kube) == "one"


async def test_a_holder_that_cannot_renew_ends_before_another_may_lead() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _election(kube, "one", clock)
    await first.acquire()

    def fail(verb: str, resource: object, name: str) -> KubeError | None:
        clock.now += 3.0
        return KubeError(500, "away")

    kube.fault = fail
    with pytest.raises(LeadershipLostError, match="in time"):
        await first.hold()
    assert clock.now < QUICK.duration


async def test_two_that_come_at_once_do_not_both_lead() -> None:
    kube, clock = FakeKube(), Seconds()
    kube.fault = lambda verb, resource, name: (
        ConflictError(409, "the other was first") if verb == "create" else None
    )
    assert not await _acquires(_election(kube, "one", clock))
