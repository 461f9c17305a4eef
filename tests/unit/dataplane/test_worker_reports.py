"""One word on each route's credentials, where several workers get their own."""

from dataclasses import replace

import pytest

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.worker_reports import WorkerReports
from bucketroute_snapshot import Route
from bucketroute_testing.operator_objects import route

ONE, TWO = route("one"), route("two")


def health(code: str, at: float | None = None, *, of: Route = ONE) -> RouteHealth:
    state = {"Exchanged": "True", "NotNeeded": "True", "NotTried": "Unknown"}.get(code, "False")
    return RouteHealth(
        route=f"{of.namespace}/{of.name}",
        uid=of.uid,
        generation=of.generation,
        state=state,
        code=code,
        at=at,
    )


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
        assert list(reports.of([ONE])) == [expected]


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
    (said,) = reports.of([ONE])
    assert said.bucket == expected


def test_a_worker_that_has_ended_has_no_say() -> None:
    reports = WorkerReports()
    reports.heard(1, [health("AccessDenied", 1.0)])
    reports.heard(2, [health("Exchanged", 2.0)])
    reports.forget(1)
    reports.forget(3)
    assert list(reports.of([ONE])) == [health("Exchanged", 2.0)]


def test_later_news_replace_what_a_worker_said_of_that_route_only() -> None:
    reports = WorkerReports()
    two = health("Exchanged", 1.0, of=TWO)
    reports.heard(1, [health("AccessDenied", 1.0), two])
    reports.heard(1, [health("Exchanged", 2.0)])
    assert list(reports.of([ONE, TWO])) == [health("Exchanged", 2.0), two]


def test_a_route_that_is_made_anew_begins_anew() -> None:
    reports = WorkerReports()
    reports.heard(1, [health("AccessDenied", 1.0)])
    reports.retain(set())
    assert list(reports.of([ONE])) == [health("NotTried")]


@pytest.mark.parametrize("first", ["1", "2"])
def test_of_an_edited_route_those_count_that_have_the_edit(first: str) -> None:
    edited = route("one", generation=2)
    words = {"1": health("AccessDenied", 2.0), "2": health("Exchanged", 1.0, of=edited)}
    reports = WorkerReports()
    reports.heard(1, [words.pop(first)])
    reports.heard(2, words.values())
    assert list(reports.of([edited])) == [health("Exchanged", 1.0, of=edited)]


def test_until_a_worker_has_the_edit_what_was_told_goes_under_the_generation_it_is_of() -> None:
    """It is for the operator to know whether that says anything of the route as it is now."""
    reports = WorkerReports()
    reports.heard(1, [health("Exchanged", 1.0)])
    assert list(reports.of([route("one", generation=2)])) == [health("Exchanged", 1.0)]


def test_another_route_of_the_same_name_inherits_nothing() -> None:
    reports = WorkerReports()
    reports.heard(1, [health("AccessDenied", 1.0)])
    other = route("one", uid="another")
    assert list(reports.of([other])) == [health("NotTried", of=other)]
