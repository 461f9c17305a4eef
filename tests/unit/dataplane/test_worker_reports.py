"""One word on each route's credentials, where several workers get their own."""

from dataclasses import replace

import pytest

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.worker_reports import WorkerReports


def health(code: str, at: float | None = None, *, route: str = "team-a/one") -> RouteHealth:
    state = {"Exchanged": "True", "NotNeeded": "True", "NotTried": "Unknown"}.get(code, "False")
    return RouteHealth(route=route, state=state, code=code, at=at)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([], health("NotTried"), id="nobody has tried"),
        pytest.param([health("NotTried")], health("NotTried"), id="one is new, the other silent"),
        pytest.param([health("Exchanged", 1.0)], health("Exchanged", 1.0), id="one is silent"),
        pytest.param(
            [health("NotTried"), health("Exchanged", 1.0)],
            health("Exchanged", 1.0),
            id="a new one takes nothing back",
        ),
        pytest.param(
            [health("Exchanged", 2.0), health("AccessDenied", 1.0)],
            health("AccessDenied", 1.0),
            id="the worst counts",
        ),
        pytest.param(
            [health("ExpiredToken", 1.0), health("AccessDenied", 2.0)],
            health("AccessDenied", 2.0),
            id="the later of two that are as bad",
        ),
        pytest.param([health("NotNeeded"), health("NotNeeded")], health("NotNeeded"), id="no time"),
    ],
)
def test_the_worst_of_those_who_have_tried_is_told(
    told: list[RouteHealth], expected: RouteHealth
) -> None:
    for order in (told, told[::-1]):
        reports = WorkerReports()
        for worker, item in enumerate(order):
            reports.heard(worker, [item])
        assert list(reports.of(["team-a/one"])) == [expected]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["Found", "NotFound"], "NotFound"),
        (["Found", "Unknown"], "Found"),
        (["Forbidden", "Found"], "Found"),
        (["Unknown", "Forbidden"], "Forbidden"),
    ],
)
def test_what_one_worker_has_seen_of_a_bucket_counts(told: list[str], expected: str) -> None:
    reports = WorkerReports()
    for worker, bucket in enumerate(told):
        reports.heard(worker, [replace(health("Exchanged", 1.0), bucket=bucket)])
    (said,) = reports.of(["team-a/one"])
    assert said.bucket == expected


def test_a_worker_that_has_ended_has_no_say() -> None:
    reports = WorkerReports()
    reports.heard(1, [health("AccessDenied", 1.0)])
    reports.heard(2, [health("Exchanged", 2.0)])
    reports.forget(1)
    reports.forget(3)
    assert list(reports.of(["team-a/one"])) == [health("Exchanged", 2.0)]


def test_later_news_replace_what_a_worker_said_of_that_route_only() -> None:
    reports = WorkerReports()
    two = health("Exchanged", 1.0, route="team-a/two")
    reports.heard(1, [health("AccessDenied", 1.0), two])
    reports.heard(1, [health("Exchanged", 2.0)])
    assert list(reports.of(["team-a/one", "team-a/two"])) == [health("Exchanged", 2.0), two]


def test_a_route_that_is_made_anew_begins_anew() -> None:
    reports = WorkerReports()
    reports.heard(1, [health("AccessDenied", 1.0)])
    reports.retain(set())
    assert list(reports.of(["team-a/one"])) == [health("NotTried")]
