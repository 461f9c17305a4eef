"""Requests to an API server, named as RBAC names them, and what a set of roles allows.

Source: Kubernetes documentation, "Determine the Request Verb" and "Using RBAC Authorization".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_OF_ONE_NAMESPACE = ("status", "finalize")
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """`resource` is `group/plural[/subresource]`, or the path of a URL that is no resource.

    `namespace` is empty for all namespaces and for what is in none.
    """

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES

    @property
    def is_watch(self) -> bool:
        return self.verb == "watch"


def parse_call(method: str, target: str) -> ApiCall:
    """`target` is the path with its query, as in the request line."""
    parts = urlsplit(target)
    steps = parts.path.strip("/").split("/")
    match steps:
        case ["api", _, *rest] if rest:
            group = ""
        case ["apis", group, _, *rest] if rest:
            pass
        case _:
            return ApiCall(verb=method.lower(), resource=parts.path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_ONE_NAMESPACE:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    resource = f"{group}/{plural}/{subresource}" if subresource else f"{group}/{plural}"
    is_watch = parse_qs(parts.query).get("watch", ["0"])[0] in ("1", "true")
    verb = _verb(method, is_collection=not name, is_watch=is_watch)
    return ApiCall(verb=verb, resource=resource, namespace=namespace, name=name)


def _verb(method: str, *, is_collection: bool, is_watch: bool) -> str:
    match method:
        case "GET" | "HEAD":
            return "watch" if is_watch else "list" if is_collection else "get"
        case "DELETE":
            return "deletecollection" if is_collection else "delete"
        case _:
            return _VERBS[method]


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource. `namespace` None: in all; `name` None: of any name."""

    verb: str
    resource: str
    namespace: str | None = None
    name: str | None = None

    def allows(self, call: ApiCall) -> bool:
        return (
            (self.verb, self.resource) == (call.verb, call.resource)
            and self.namespace in (None, call.namespace)
            and self.name in (None, call.name)
        )


def rights_of(role: Json) -> frozenset[Right]:
    """The rules of a Role or ClusterRole, one right for each combination; no wildcards."""
    namespace = role["metadata"].get("namespace")
    found: set[Right] = set()
    for rule in role["rules"]:
        assert "*" not in str(rule), rule
        names: Iterable[str | None] = rule.get("resourceNames") or [None]
        for verb in rule["verbs"]:
            found |= {Right(verb=verb, resource=path) for path in rule.get("nonResourceURLs", [])}
            found |= {
                Right(verb=verb, resource=f"{group}/{plural}", namespace=namespace, name=name)
                for group in rule.get("apiGroups", [])
                for plural in rule.get("resources", [])
                for name in names
            }
    return frozenset(found)
