"""Which of the data planes' words on a route are about the route as it is published now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bucketroute_operator.core.delta import RouteKey
from bucketroute_snapshot import Backend, Route, Snapshot, WebIdentityAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An object by its UID, as it was in one generation."""

    uid: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRoute:
    """`backend_since` is the first generation of the route, as far as is known, that its backend is
    that of: what was said of an earlier one was said of another bucket or role."""

    route: Route
    backend_since: int

    def has(self, revision: Revision) -> bool:
        """Whether it is that revision of the route, or a later one."""
        return revision.uid == self.route.uid and revision.generation <= self.route.generation

    def counts(self, about: Revision | None) -> bool:
        """Whether a word about `about` says anything of it. A data plane that is older names none,
        and its words count as they come."""
        if about is None:
            return True
        return about.uid == self.route.uid and about.generation >= self.backend_since


def published_routes(
    known: Mapping[str, PublishedRoute], changed: Collection[RouteKey], following: Snapshot
) -> dict[str, PublishedRoute]:
    """By `namespace/name`; `known` are those of the snapshot before, and `changed` its differences.

    A new leader cannot tell since when a route has its backend. It takes no word about an earlier
    generation than it finds, and need not: a new epoch has every data plane tell all it knows.
    """
    made = {}
    for route in following.routes:
        name = f"{route.namespace}/{route.name}"
        item = known.get(name)
        if item is None:
            item = PublishedRoute(route=route, backend_since=route.generation)
        elif item.route is not route:
            is_same = (route.namespace, route.name) not in changed or _is_same(item.route, route)
            since = item.backend_since if is_same else route.generation
            item = PublishedRoute(route=route, backend_since=since)
        made[name] = item
    return made


def _is_same(before: Route, route: Route) -> bool:
    """Whether words on the one hold for the other. Of a suspended route data planes know less."""
    return (before.uid, before.state, _without_policy(before.backend)) == (
        route.uid,
        route.state,
        _without_policy(route.backend),
    )


def _without_policy(backend: Backend | None) -> Backend | None:
    """The session policy is made of the route's access rules: another one is another exchange, but
    of the same role, and until there is a word on it that on the former stands."""
    if backend is None or not isinstance(backend.auth, WebIdentityAuth):
        return backend
    return replace(backend, auth=replace(backend.auth, session_policy=None))
