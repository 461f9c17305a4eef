"""The parts of one class's snapshot that sidecars get: made once for all who may know the same.

Sidecars are many, and most publications do not concern most of them. So a part is kept over
publications until a route that names its namespace changes, its digest alone tells those who have
it that nothing is new, and making one takes no turn of the event loop from others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bucketroute_operator.core.delta import Rendering, RouteKey, full_update, render
from bucketroute_operator.core.parts import (
    NamespaceRoutes,
    namespaces_named,
    part_for,
    routes_by_namespace,
    settings_for_sidecars,
)
from bucketroute_operator.shell.callers import Caller
from bucketroute_operator.shell.publication import Answer, Publication, compressed
from bucketroute_snapshot.update import NO_SECRETS

# A part of 100 routes is 8 KiB compressed, one of 5,000 is 400 KiB.
MAX_KEPT_BYTES = 32 * 1024 * 1024


# No service account's name.
_OTHERS = ""


@dataclass(slots=True, kw_only=True, eq=False)
class _Part:
    """`answer` is None once it has made room for others; the digest stays."""

    digest: str
    answer: Answer | None

    def is_enough_for(self, digest: str) -> bool:
        """Whether nothing has to be made for whoever has something of this digest."""
        return self.answer is not None or self.digest == digest


@dataclass(slots=True, kw_only=True)
class _Namespace:
    """Its parts: one for each service account of `named`, and one for all others.

    It keeps no route, since each compilation makes them anew.
    """

    named: frozenset[str]
    parts: dict[str, _Part] = field(default_factory=dict)

    def view_of(self, caller: Caller) -> str:
        return caller.service_account if caller.service_account in self.named else _OTHERS


class Parts:
    """Tell it of each publication by `published`, then ask `answer` for each poll."""

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept_bytes = max_kept_bytes
        self._kept_bytes = 0
        self._current: Rendering | None = None
        self._index: Mapping[str, NamespaceRoutes] | None = None
        self._namespaces: dict[str, _Namespace] = {}
        # Those that have an answer, the one that was wanted last at the end.
        self._kept: OrderedDict[_Part, None] = OrderedDict()
        # One at a time: the rest of the machine is for those who wait for less.
        self._making = asyncio.Lock()

    def published(self, now: Rendering, changed: Collection[RouteKey]) -> None:
        """Forgets the parts that may differ; `changed` are the routes that do."""
        before, self._current, self._index = self._current, now, None
        if before is None or _settings_differ(before, now):
            touched = set(self._namespaces)
        else:
            touched = _namespaces_of(before, changed) | _namespaces_of(now, changed)
        for namespace in touched & self._namespaces.keys():
            for part in self._namespaces.pop(namespace).parts.values():
                self._drop(part)

    async def answer(self, publication: Publication, caller: Caller, digest: str) -> Answer | None:
        """What the caller may know, never a secret; None if it has just that (by its digest)."""
        part = self._find(caller)
        if part is None or not part.is_enough_for(digest):
            async with self._making:
                part = self._find(caller)
                if part is None or not part.is_enough_for(digest):
                    part = await self._make(publication, caller)
        if part.digest == digest:
            return None
        if part in self._kept:
            self._kept.move_to_end(part)
        return part.answer

    def _find(self, caller: Caller) -> _Part | None:
        known = self._namespaces.get(caller.namespace)
        return None if known is None else known.parts.get(known.view_of(caller))

    async def _make(self, publication: Publication, caller: Caller) -> _Part:
        rendering = publication.rendering
        index = self._index
        if index is None or rendering is not self._current:
            index = await asyncio.to_thread(routes_by_namespace, rendering.snapshot)
        routes = index.get(caller.namespace) or NamespaceRoutes()
        part = await asyncio.to_thread(_made, publication, routes, caller)
        if rendering is self._current:  # and no newer publication has come meanwhile
            self._index = index
            self._keep(part, routes, caller)
        return part

    def _keep(self, part: _Part, routes: NamespaceRoutes, caller: Caller) -> None:
        fresh = _Namespace(named=frozenset(routes.named))
        known = self._namespaces.setdefault(caller.namespace, fresh)
        known.parts[known.view_of(caller)] = part
        assert part.answer is not None
        self._kept[part] = None
        self._kept_bytes += len(part.answer.body)
        while self._kept_bytes > self._max_kept_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, part: _Part) -> None:
        if part.answer is not None:
            del self._kept[part]
            self._kept_bytes -= len(part.answer.body)
            part.answer = None


def _made(publication: Publication, routes: NamespaceRoutes, caller: Caller) -> _Part:
    """In a thread: 5,000 routes take a tenth of a second."""
    whole = publication.rendering
    snapshot = part_for(whole.snapshot, routes.routes, caller.namespace, caller.service_account)
    rendering = render(snapshot, whole)
    body = compressed(full_update(publication.version, rendering, NO_SECRETS))
    answer = Answer(version=publication.version, kind="part", body=body)
    return _Part(digest=rendering.digest, answer=answer)


def _settings_differ(before: Rendering, now: Rendering) -> bool:
    one, other = before.snapshot.settings, now.snapshot.settings
    return settings_for_sidecars(one) != settings_for_sidecars(other)


def _namespaces_of(rendering: Rendering, keys: Collection[RouteKey]) -> set[str]:
    return {
        namespace
        for route in rendering.snapshot.routes
        if (route.namespace, route.name) in keys
        for namespace in namespaces_named(route)
    }
