"""Tokens are reviewed once a minute at most, and never trusted beyond their own end."""

import base64
import json
from dataclasses import dataclass

import pytest

from bucketroute_operator.shell.callers import Callers, UnauthenticatedError, caller_of
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import review_of

NOW = 1_800_000_000.0


@dataclass(slots=True)
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _token(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


async def _reviews(token: str, *, after: float) -> int:
    """How many reviews two requests take that are `after` seconds apart."""
    kube, clock = FakeKube(), Seconds()
    kube.reviews[token] = review_of()
    callers = Callers(kube, clock=clock, now=lambda: NOW)
    await callers.authenticate(f"Bearer {token}")
    clock.now = after
    await callers.authenticate(f"Bearer {token}")
    return kube.calls["create", "TokenReview"]


@pytest.mark.parametrize(
    ("expires", "after", "reviews"),
    [
        (NOW + 3600, 59, 1),
        (NOW + 3600, 61, 2),
        (NOW + 20, 19, 1),
        (NOW + 20, 21, 2),
    ],
    ids=["within-a-minute", "after-a-minute", "before-its-end", "after-its-end"],
)
async def test_a_review_is_remembered(expires: float, after: float, reviews: int) -> None:
    assert await _reviews(_token(expires), after=after) == reviews


async def test_a_token_whose_end_cannot_be_read_is_reviewed_each_time() -> None:
    assert await _reviews("opaque", after=0) == 2


async def test_a_refusal_is_not_remembered() -> None:
    kube = FakeKube()
    callers = Callers(kube)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await callers.authenticate("Bearer unknown")
    assert kube.calls["create", "TokenReview"] == 2


@pytest.mark.parametrize("value", [None, "", "Basic abc", "Bearer", "Bearer " + "x" * 20_000])
async def test_what_is_no_bearer_token_is_not_even_reviewed(value: str | None) -> None:
    kube = FakeKube()
    with pytest.raises(UnauthenticatedError):
        await Callers(kube).authenticate(value)
    assert not kube.calls


@pytest.mark.parametrize("uids", [[], ["one", "two"], "one", None])
def test_a_pod_is_known_only_if_there_is_exactly_one(uids: object) -> None:
    review = review_of()
    review["user"]["extra"] = {"authentication.kubernetes.io/pod-uid": uids}
    assert caller_of(review).pod_uid is None
