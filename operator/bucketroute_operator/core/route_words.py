"""Which of the data planes' words on a route are about the route as it is published now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bucketroute_operator.core.delta import RouteKey
from bucketroute_snapshot import Route, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A route as it was from one generation of its object on."""

    uid: str
    generation: int

    def is_met_by(self, about: Revision | None) -> bool:
        """Whether a word about that is one about this. None is what an older data plane names: its
        words count as they come."""
        return about is None or (about.uid == self.uid and about.generation >= self.generation)


def backend_revisions(
    known: Mapping[str, Revision],
    changed: Collection[RouteKey],
    previous: Snapshot | None,
    following: Snapshot,
) -> dict[str, Revision]:
    """Since when each route (`namespace/name`) has its backend: what was said of an earlier
    revision was said of another bucket or role.

    `known` are those of `previous`, and `changed` the routes that differ. A new leader, which knows
    none, takes the backends that it finds for those of all generations.
    """
    before = {
        _key(route): route
        for route in (() if previous is None else previous.routes)
        if _key(route) in changed
    }
    revisions = {}
    for route in following.routes:
        key = _key(route)
        is_same = key not in changed or _is_same(before.get(key), route)
        made = Revision(uid=route.uid, generation=0 if is_same else route.generation)
        revisions["/".join(key)] = known.get("/".join(key), made) if is_same else made
    return revisions


def _is_same(before: Route | None, route: Route) -> bool:
    """For all that a data plane tells of it."""
    return before is not None and (before.uid, before.state, before.backend) == (
        route.uid,
        route.state,
        route.backend,
    )


def _key(route: Route) -> RouteKey:
    return (route.namespace, route.name)
