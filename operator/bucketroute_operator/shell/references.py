"""Secrets and ConfigMaps that routes and backends refer to, read by name as far as RBAC grants.

They are not watched: that would need the right to list every Secret of a namespace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from bucketroute_operator.core.object_parser import UnnamedObjectError
from bucketroute_operator.core.objects import ParsedObject, parse_object
from bucketroute_operator.core.resources import BackendObject, RouteObject
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CONFIG_MAPS,
    ROUTES,
    SECRETS,
    ForbiddenError,
    Kube,
    KubeError,
    NotFoundError,
    Resource,
)
from bucketroute_operator.shell.store import ObjectStore

log = logging.getLogger("bucketroute.operator.references")

_AT_ONCE = 10

Wanted = tuple[Resource, str, str]  # and namespace, name


class References:
    """What is known of them. An object that cannot be read counts as absent."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._known: dict[Wanted, ParsedObject | None] = {}
        self._unread_count = 0

    def objects(self) -> list[ParsedObject]:
        return [item for item in self._known.values() if item is not None]

    @property
    def may_be_missed(self) -> bool:
        """Whether something could not be read at all so far, for a reason that may pass."""
        return self._unread_count > 0

    async def refresh(self, store: ObjectStore, *, only_new: bool) -> bool:
        """Reads what is referred to, or only what was not before. Returns whether that changed
        anything.
        """
        wanted = wanted_references(store)
        before = self._known
        self._known = {key: before[key] for key in wanted if key in before}
        due = [key for key in wanted if key not in self._known or not only_new]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def read(key: Wanted) -> None:
            async with gate:
                try:
                    found = await self._read(*key)
                    if key not in before or before[key] != found:
                        self._known[key] = found  # else the very object: what was compiled holds
                except KubeError as exc:
                    # The API server's own trouble: what is known stays, and is read again.
                    log.warning("%s %s/%s could not be read: %s", key[0].kind, *key[1:], exc)
                    if not exc.may_pass:
                        self._known.setdefault(key, None)

        async with asyncio.TaskGroup() as group:
            for key in due:
                group.create_task(read(key))
        self._unread_count = len(wanted) - len(self._known)
        return self._known != before

    async def _read(self, resource: Resource, namespace: str, name: str) -> ParsedObject | None:
        try:
            raw = await self._kube.get(resource, namespace, name)
            return parse_object({"kind": resource.kind, **raw})
        except (NotFoundError, UnnamedObjectError):
            return None
        except ForbiddenError:
            log.info("RBAC does not grant %s %s/%s", resource.kind, namespace, name)
            return None


def wanted_references(store: ObjectStore) -> Collection[Wanted]:
    """Every Secret and ConfigMap that an object in the store names."""
    wanted: dict[Wanted, None] = {}
    for stored in store.of(BACKENDS).values():
        backend = stored.parsed
        if isinstance(backend, BackendObject) and backend.spec is not None:
            namespace = backend.metadata.namespace
            if backend.spec.auth.secret_name:
                wanted[SECRETS, namespace, backend.spec.auth.secret_name] = None
            if backend.spec.ca_config_map_name:
                wanted[CONFIG_MAPS, namespace, backend.spec.ca_config_map_name] = None
    for stored in store.of(ROUTES).values():
        route = stored.parsed
        if isinstance(route, RouteObject):
            for name in route.access_keys:
                wanted[SECRETS, route.metadata.namespace, name] = None
    return wanted
