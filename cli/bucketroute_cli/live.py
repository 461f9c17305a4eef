"""The objects of a cluster → what the operator compiles of them, as far as the user may read.

No Secret is read: whether one is there and good is in the conditions that the operator writes.
Where RBAC hides something, the operator's word in the statuses stands in for it, and a note says
so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bucketroute_cli.cluster import Cluster
from bucketroute_cli.status_report import RouteStatus, route_status
from bucketroute_operator.core.compilation import Compilation
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.conflicts import NameHolder
from bucketroute_operator.core.objects import ParsedObject, parse_object
from bucketroute_operator.core.resources import ACCESS_KEY_SECRET_TYPE, RouteObject
from bucketroute_operator.core.standalone import standalone_class
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    NAMESPACES,
    ROUTES,
    SECRETS,
    ForbiddenError,
    Json,
    Resource,
)
from bucketroute_operator.shell.references import wanted_references
from bucketroute_operator.shell.store import ObjectStore
from bucketroute_snapshot import Backend, Route, RouteState, Snapshot, UnsignedAuth

_HIDDEN: Final = {
    ROUTES: "only routes of namespace {namespace} could be read: another may have the name",
    BACKENDS: "only BucketBackends of namespace {namespace} could be read",
    CLASSES: "classes could not be read: what they refuse is seen in the route's conditions only",
    NAMESPACES: "namespaces could not be read: their labels are not known",
}


@dataclass(slots=True, kw_only=True)
class LiveObjects:
    """What was read. `notes` say what RBAC hid."""

    store: ObjectStore = field(default_factory=ObjectStore)
    routes: dict[tuple[str, str], Json] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def status(self, namespace: str, name: str) -> RouteStatus | None:
        raw = self.routes.get((namespace, name))
        return None if raw is None else route_status(raw)


async def read_live(cluster: Cluster) -> LiveObjects:
    """Raises: KubeError where not even the routes of the user's namespace can be read."""
    live = LiveObjects()
    for resource in (CLASSES, NAMESPACES, BACKENDS, ROUTES):
        for raw in await _readable(cluster, resource, live.notes):
            live.store.event(resource, None, raw)
            if resource is ROUTES:
                live.routes[raw["metadata"]["namespace"], raw["metadata"]["name"]] = raw
    return live


async def _readable(cluster: Cluster, resource: Resource, notes: list[str]) -> list[Json]:
    """All objects, or those of the user's namespace."""
    try:
        return await cluster.kube.list_all(resource)
    except ForbiddenError:
        notes.append(_HIDDEN[resource].format(namespace=cluster.namespace))
    if not resource.is_namespaced:
        return []
    try:
        return await cluster.kube.list_all(resource, namespace=cluster.namespace)
    except ForbiddenError:
        if resource is ROUTES:
            raise
        return []


def compile_live(live: LiveObjects) -> Compilation:
    """As the operator would; names stay with those who have them."""
    stand_ins = [*_secrets(live), *_classes(live)]
    return compile_snapshot(
        CompileInputs(
            objects=live.store.object_set(stand_ins),
            aws_endpoints=aws_s3_endpoint,
            holders=tuple(_holders(live)),
        )
    )


def _secrets(live: LiveObjects) -> Iterator[ParsedObject]:
    """Something in the place of each Secret and ConfigMap, so that what refers to it compiles."""
    for number, (resource, namespace, name) in enumerate(wanted_references(live.store)):
        metadata = {"namespace": namespace, "name": name}
        if resource is SECRETS:
            values = {"accessKeyID": f"STANDIN{number}", "secretAccessKey": "not-a-secret"}
            content: dict[str, Any] = {"type": ACCESS_KEY_SECRET_TYPE, "stringData": values}
        else:
            content = {"data": {"ca.crt": _NO_CERTIFICATE}}
        yield parse_object({"kind": resource.kind, "metadata": metadata, **content})


_NO_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


def _classes(live: LiveObjects) -> Iterator[ParsedObject]:
    """A class that takes everything in the place of each that could not be read."""
    if live.store.of(CLASSES):
        return
    routes = (stored.parsed for stored in live.store.of(ROUTES).values())
    for name in {route.class_name for route in routes if isinstance(route, RouteObject)}:
        yield standalone_class(name)


def _holders(live: LiveObjects) -> Iterator[NameHolder]:
    """Who has which name, by the statuses."""
    for (namespace, name), raw in live.routes.items():
        said = {item["type"]: item["status"] for item in _conditions(raw)}
        status = live.status(namespace, name)
        if status is not None and said.get("Accepted") == "True":
            yield NameHolder(
                class_name=status.class_name,
                bucket=status.bucket,
                namespace=namespace,
                uid=raw["metadata"]["uid"],
                is_exported=said.get("Exported") != "False",
            )


def with_the_operators_word(snapshot: Snapshot, live: LiveObjects) -> Snapshot:
    """A route that does not resolve here only because we may not read what it refers to is taken
    as its status has it."""
    return dataclasses.replace(
        snapshot, routes=tuple(_as_resolved(route, live) for route in snapshot.routes)
    )


def _as_resolved(route: Route, live: LiveObjects) -> Route:
    raw = live.routes.get((route.namespace, route.name), {})
    status = raw.get("status") or {}
    is_current = status.get("observedGeneration") == route.generation
    said = {item["type"]: item["status"] for item in _conditions(raw)}
    resolved = status.get("resolved") or {}
    if route.state is not RouteState.UNRESOLVED or not is_current or not resolved:
        return route
    if said.get("Accepted") != "True" or said.get("ResolvedRefs") != "True":
        return route
    spec = raw["spec"]["backend"]
    backend = Backend(
        endpoint=resolved["endpoint"],
        bucket=spec["bucket"],
        region=resolved.get("region", ""),
        auth=UnsignedAuth(),
        prefix=spec.get("prefix", ""),
    )
    return dataclasses.replace(route, state=RouteState.ACTIVE, backend=backend)


def _conditions(raw: Mapping[str, Any]) -> Iterable[Mapping[str, str]]:
    found: Iterable[Mapping[str, str]] = (raw.get("status") or {}).get("conditions") or ()
    return found
