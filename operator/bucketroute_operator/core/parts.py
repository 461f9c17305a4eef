"""What one service account may know of a class: the part of the snapshot that its sidecars get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bucketroute_snapshot import (
    AccessRule,
    AnonymousSubject,
    ClassSettings,
    NamespaceSubject,
    Route,
    ServiceAccountSubject,
    Snapshot,
    Subject,
    WebIdentityAuth,
)

_EVERY_NAME = "*"


@dataclass(slots=True, kw_only=True)
class NamespaceRoutes:
    """The routes that are a namespace's own or grant something to one of its service accounts.

    `named` are the service accounts that a rule means by their names. All others of the namespace
    may know the same, so their part need be made once only.
    """

    routes: list[Route] = field(default_factory=list)
    named: set[str] = field(default_factory=set)


def routes_by_namespace(snapshot: Snapshot) -> Mapping[str, NamespaceRoutes]:
    """In the order of the snapshot; a namespace that nothing names has no entry."""
    found: dict[str, NamespaceRoutes] = {}
    for route in snapshot.routes:
        for namespace in namespaces_named(route):
            found.setdefault(namespace, NamespaceRoutes()).routes.append(route)
        for subject in _subjects(route.access):
            if isinstance(subject, ServiceAccountSubject) and subject.name != _EVERY_NAME:
                found[subject.namespace].named.add(subject.name)
    return found


def namespaces_named(route: Route) -> set[str]:
    """Its own, and those that it grants something to."""
    namespaces = {route.namespace}
    for subject in _subjects(route.access):
        if isinstance(subject, ServiceAccountSubject):
            namespaces.add(subject.namespace)
        elif isinstance(subject, NamespaceSubject):
            namespaces.add(subject.name)
    return namespaces


def part_for(
    snapshot: Snapshot, candidates: Iterable[Route], namespace: str, service_account: str
) -> Snapshot:
    """What a sidecar of this service account may know: its own grants, and no one else's.

    `candidates` are those of `routes_by_namespace` for its namespace. Routes of the own namespace
    are in it even where they grant nothing: a name there comes before a class-wide one. A route of
    which all rules are the caller's is the very object that the snapshot has.
    """

    def concerns(subject: Subject) -> bool:
        match subject:
            case ServiceAccountSubject():
                is_meant = subject.name in (_EVERY_NAME, service_account)
                return subject.namespace == namespace and is_meant
            case NamespaceSubject():
                return subject.name == namespace
            case _:
                return isinstance(subject, AnonymousSubject)

    routes = []
    for route in candidates:
        access = _rules_for(route, concerns)
        if route.namespace == namespace or any(map(_is_named, _subjects(access))):
            routes.append(route if access == route.access else replace(route, access=access))
    return replace(
        snapshot, settings=_settings_for(snapshot.settings, routes), routes=tuple(routes)
    )


def settings_for_sidecars(settings: ClassSettings) -> ClassSettings:
    """Without what is for logins: there are none at a sidecar, and other tenants' issuers are
    theirs."""
    return replace(settings, client_issuers=(), cluster_issuer=None, cluster_jwks=None)


def _settings_for(settings: ClassSettings, routes: Iterable[Route]) -> ClassSettings:
    """With the certificate authorities of these routes' backends, and no others."""
    used = {name for route in routes for name in _bundles_of(route)}
    bundles = tuple(bundle for bundle in settings.ca_bundles if bundle.name in used)
    return replace(settings_for_sidecars(settings), ca_bundles=bundles)


def _bundles_of(route: Route) -> set[str | None]:
    backend = route.backend
    if backend is None:
        return set()
    auth = backend.auth
    return {backend.ca_bundle, auth.sts_ca_bundle if isinstance(auth, WebIdentityAuth) else None}


def _rules_for(route: Route, concerns: Callable[[Subject], bool]) -> tuple[AccessRule, ...]:
    rules = []
    for rule in route.access:
        subjects = tuple(subject for subject in rule.subjects if concerns(subject))
        if subjects:
            rules.append(rule if subjects == rule.subjects else replace(rule, subjects=subjects))
    return tuple(rules)


def _subjects(access: Iterable[AccessRule]) -> list[Subject]:
    return [subject for rule in access for subject in rule.subjects]


def _is_named(subject: Subject) -> bool:
    return isinstance(subject, ServiceAccountSubject | NamespaceSubject)
