"""Everything that the compiler reads, parsed and indexed by namespace and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bucketroute_operator.core.object_parser import (
    RawObject,
    UnnamedObjectError,
    parse_config_map,
    parse_namespace,
    parse_secret,
)
from bucketroute_operator.core.policy_parser import parse_backend, parse_class
from bucketroute_operator.core.resources import (
    NAMESPACE_NAME_LABEL,
    BackendObject,
    ClassObject,
    ConfigMapObject,
    NamespaceObject,
    RouteObject,
    SecretObject,
)
from bucketroute_operator.core.route_parser import parse_route

Key = tuple[str, str]  # namespace, name
ParsedObject = (
    RouteObject | BackendObject | ClassObject | NamespaceObject | SecretObject | ConfigMapObject
)

KINDS = frozenset(
    {"BucketRoute", "BucketBackend", "BucketRouteClass", "Namespace", "Secret", "ConfigMap"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSet:
    """The objects by their names; a later object of the same name replaces an earlier one."""

    routes: Mapping[Key, RouteObject] = field(default_factory=dict)
    backends: Mapping[Key, BackendObject] = field(default_factory=dict)
    classes: Mapping[str, ClassObject] = field(default_factory=dict)
    namespaces: Mapping[str, NamespaceObject] = field(default_factory=dict)
    secrets: Mapping[Key, SecretObject] = field(default_factory=dict)
    config_maps: Mapping[Key, ConfigMapObject] = field(default_factory=dict)

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """A namespace that nobody described has the one label that every namespace has."""
        known = self.namespaces.get(namespace)
        return {NAMESPACE_NAME_LABEL: namespace} if known is None else known.labels


def parse_object(raw: RawObject) -> ParsedObject:
    """Parse one object of a kind in `KINDS`; whatever is wrong inside it becomes its problems.

    Raises: UnnamedObjectError if it has no usable kind, name or namespace.
    """
    match raw.get("kind"):
        case "BucketRoute":
            return parse_route(raw)
        case "BucketBackend":
            return parse_backend(raw)
        case "BucketRouteClass":
            return parse_class(raw)
        case "Namespace":
            return parse_namespace(raw)
        case "Secret":
            return parse_secret(raw)
        case "ConfigMap":
            return parse_config_map(raw)
        case kind:
            raise UnnamedObjectError(f"kind {kind!r} is none that BucketRoute reads")


def object_set(objects: Iterable[ParsedObject]) -> ObjectSet:
    routes: dict[Key, RouteObject] = {}
    backends: dict[Key, BackendObject] = {}
    classes: dict[str, ClassObject] = {}
    namespaces: dict[str, NamespaceObject] = {}
    secrets: dict[Key, SecretObject] = {}
    config_maps: dict[Key, ConfigMapObject] = {}
    for item in objects:
        match item:
            case RouteObject():
                routes[item.metadata.namespace, item.metadata.name] = item
            case BackendObject():
                backends[item.metadata.namespace, item.metadata.name] = item
            case ClassObject():
                classes[item.metadata.name] = item
            case NamespaceObject():
                namespaces[item.metadata.name] = item
            case SecretObject():
                secrets[item.metadata.namespace, item.metadata.name] = item
            case ConfigMapObject():
                config_maps[item.metadata.namespace, item.metadata.name] = item
    return ObjectSet(
        routes=routes,
        backends=backends,
        classes=classes,
        namespaces=namespaces,
        secrets=secrets,
        config_maps=config_maps,
    )
