"""Three bad routes among a hundred: each says what is wrong with it, and no other one notices."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bucketroute_testing.cluster import Json, wait_until
from bucketroute_testing.operator_beside import CLASS
from bucketroute_testing.operator_world import World
from bucketroute_testing.route_churn import churned_route, names

GOOD = names("good", 97)
HOLDER = "good-0"
SECONDS = 60.0
# The condition that is False, its reason, and words that say where, what and how to put it right.
BAD: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "invalid": (
        "Accepted",
        "InvalidSpec",
        ("spec.backend.endpoint", "must have a name or a canonical IP address"),
    ),
    "conflicting": (
        "Accepted",
        "BucketNameConflict",
        ("spec.bucket:", "Another route", "create it with another name"),
    ),
    "dangling": (
        "ResolvedRefs",
        "BackendNotFound",
        ("spec.backend.ref:", "no valid BucketBackend", "Create it"),
    ),
}


@pytest.fixture(scope="module")
def good(world: World) -> Mapping[str, Json]:
    """Ninety-seven routes, and no others, as they are once all of them are served."""
    world.churn.clear()
    world.churn.put(*GOOD)
    world.await_converged()
    found = world.routes()
    return {name: found[name] for name in GOOD}


def bad_routes(tenant: str) -> list[Json]:
    """The CRD takes all three."""
    invalid, conflicting, dangling = (churned_route(name, tenant, CLASS) for name in BAD)
    invalid["spec"]["backend"]["endpoint"] = "https://s3.example.0x7f"  # an address to some
    conflicting["spec"]["bucket"] = HOLDER
    dangling["spec"]["backend"] = {"bucket": "acme", "ref": {"name": "nowhere"}}
    return [invalid, conflicting, dangling]


def conditions_of(route: Json) -> dict[str, Json]:
    return {item["type"]: item for item in route.get("status", {}).get("conditions", [])}


def test_the_others_stay_untouched_and_each_bad_one_says_what_where_and_how(
    world: World, good: Mapping[str, Json]
) -> None:
    since = len(world.proxy.seen)
    world.cluster.apply(*bad_routes(world.tenant))
    routes = wait_until(
        world.routes,
        lambda found: all(
            conditions_of(found[name]).get("Ready", {}).get("status") == "False" for name in BAD
        ),
        seconds=SECONDS,
    )
    for name, (kind, reason, words) in BAD.items():
        said = conditions_of(routes[name])
        assert (said[kind]["status"], said[kind]["reason"]) == ("False", reason), said
        assert [word for word in words if word not in said[kind]["message"]] == [], said
        assert said["Ready"]["message"] == said[kind]["message"]

    world.await_lists(1)
    assert world.status_writes(since).keys() == BAD.keys()
    routes = world.routes()
    touched = {
        name: routes[name]
        for name, was in good.items()
        if routes[name]["metadata"]["resourceVersion"] != was["metadata"]["resourceVersion"]
    }
    assert touched == {}
    served = {follower.digest for follower in world.gateways.followers}
    assert served == {world.pointer()["digest"]}


def test_a_bad_route_that_is_put_right_is_served(world: World, good: Mapping[str, Json]) -> None:
    world.cluster.apply(*(churned_route(name, world.tenant, CLASS) for name in ("dangling",)))
    world.cluster.await_condition(
        "bucketroute", "dangling", world.tenant, is_now=("Ready", "True"), seconds=SECONDS
    )
    world.churn.remove(*BAD)
    world.await_converged()
