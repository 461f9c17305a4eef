"""An API server in memory: enough of its rules for the operator, and a way to make it fail.

Implements the operator's `Kube`. resourceVersions rise, a replace at an old one is a conflict, a
status applied to another UID too, and names of deleted objects can be taken again.
"""

import copy
from collections import Counter
from collections.abc import Callable
from itertools import count

from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    TOKEN_REVIEWS,
    ConflictError,
    Json,
    KubeError,
    Listing,
    NotFoundError,
    Resource,
)

Watcher = Callable[[Resource, str | None, Json], None]
Fault = Callable[[str, Resource, str], KubeError | None]
Key = tuple[str, str, str]


class FakeKube:
    """`calls` counts (verb, kind). `fault` may answer a call (verb, resource, name) with an error;
    `fault_after` does so after the call was carried out, as when an answer is lost. `watcher` is
    told of every change, in order. `old_listings`, by kind, are given for what is there now.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.raws: dict[str, bytes] = {}
        self.raw_fault: KubeError | None = None
        self.old_listings: dict[str, Listing] = {}
        self.reviews: dict[str, Json] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.fault: Fault = lambda verb, resource, name: None
        self.fault_after: Fault = lambda verb, resource, name: None
        self.watcher: Watcher = lambda resource, kind, raw: None
        self._versions = count(1)
        self._uids = count(1)

    def put(self, resource: Resource, body: Json) -> Json:
        """Places an object as if somebody else had; returns what is stored."""
        metadata = body["metadata"]
        key = (resource.kind, metadata.get("namespace", ""), metadata["name"])
        stored = copy.deepcopy(body)
        known = self.objects.get(key)
        stored["metadata"] = {
            "uid": f"uid-{next(self._uids)}" if known is None else known["metadata"]["uid"],
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "generation": 1,
            **stored["metadata"],
            "resourceVersion": str(next(self._versions)),
        }
        if known is not None and known.get("spec") != stored.get("spec"):
            stored["metadata"]["generation"] = known["metadata"]["generation"] + 1
        self.objects[key] = stored
        self.watcher(resource, "ADDED" if known is None else "MODIFIED", copy.deepcopy(stored))
        return copy.deepcopy(stored)

    def remove(self, resource: Resource, namespace: str, name: str) -> Json:
        """Deletes as somebody else; returns the last state, as a DELETED event has it."""
        gone = self.objects.pop((resource.kind, namespace, name))
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self.watcher(resource, "DELETED", copy.deepcopy(gone))
        return gone

    def peek(self, resource: Resource, namespace: str, name: str) -> Json:
        return self.objects[resource.kind, namespace, name]

    def names(self, resource: Resource) -> list[str]:
        return sorted(name for kind, _, name in self.objects if kind == resource.kind)

    async def list_all(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> list[Json]:
        return (await self.listing(resource, namespace=namespace, selector=selector)).items

    async def listing(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> Listing:
        self._begin("list", resource, "")
        items = [
            copy.deepcopy(item)
            for (kind, where, _), item in self.objects.items()
            if kind == resource.kind and namespace in ("", where) and _matches(item, selector)
        ]
        return self.old_listings.get(resource.kind) or Listing(
            resource_version=str(next(self._versions)), items=items
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        self._begin("get", resource, name)
        return copy.deepcopy(self._at(resource, namespace, name))

    async def create(self, resource: Resource, body: Json) -> Json:
        name = body["metadata"].get("name", "")
        self._begin("create", resource, name)
        if resource is TOKEN_REVIEWS:
            status = self.reviews.get(body["spec"]["token"], {"authenticated": False})
            return {**body, "status": status}
        key = (resource.kind, body["metadata"].get("namespace", ""), name)
        if key in self.objects:
            raise ConflictError(409, f"{name} exists")
        return self._end("create", resource, name, self.put(resource, body))

    async def replace(self, resource: Resource, body: Json) -> Json:
        metadata = body["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        self._begin("replace", resource, name)
        known = self._at(resource, namespace, name)
        if metadata.get("resourceVersion") != known["metadata"]["resourceVersion"]:
            raise ConflictError(409, f"{name} has changed")
        if resource is CONFIG_MAPS and known.get("immutable"):
            raise KubeError(422, f"{name} is immutable")
        return self._end("replace", resource, name, self.put(resource, body))

    async def patch(self, resource: Resource, body: Json) -> Json:
        metadata = body["metadata"]
        name = metadata["name"]
        self._begin("patch", resource, name)
        known = self._at(resource, metadata.get("namespace", ""), name)
        merged = _merged(known, {**body, "metadata": {}})
        return self._end("patch", resource, name, self.put(resource, merged))

    async def apply_status(self, resource: Resource, body: Json) -> Json:
        metadata = body["metadata"]
        self._begin("apply_status", resource, metadata["name"])
        known = self._at(resource, metadata.get("namespace", ""), metadata["name"])
        if metadata.get("uid") not in (None, known["metadata"]["uid"]):
            raise ConflictError(409, "the UID is another")
        stored = self.put(resource, {**known, "status": body["status"]})
        return self._end("apply_status", resource, metadata["name"], stored)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self._begin("delete", resource, name)
        self._at(resource, namespace, name)
        self.remove(resource, namespace, name)

    async def raw(self, path: str) -> bytes:
        if self.raw_fault is not None:
            raise self.raw_fault
        if path not in self.raws:
            raise NotFoundError(404, path)
        return self.raws[path]

    def _begin(self, verb: str, resource: Resource, name: str) -> None:
        self.calls[verb, resource.kind] += 1
        error = self.fault(verb, resource, name)
        if error is not None:
            raise error

    def _end(self, verb: str, resource: Resource, name: str, answer: Json) -> Json:
        error = self.fault_after(verb, resource, name)
        if error is not None:
            raise error
        return answer

    def _at(self, resource: Resource, namespace: str, name: str) -> Json:
        key = (resource.kind, namespace, name)
        if key not in self.objects:
            raise NotFoundError(404, f"{resource.kind} {namespace}/{name}")
        return self.objects[key]


def _matches(item: Json, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    name, equals, value = selector.partition("=")
    return not selector or (labels.get(name) == value if equals else name in labels)


def _merged(known: Json, changes: Json) -> Json:
    """A strategic merge: objects by field, lists of objects by the `name` of their items."""
    merged = copy.deepcopy(known)
    for field, value in changes.items():
        if isinstance(value, dict):
            merged[field] = _merged(merged.get(field) or {}, value)
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            by_name = {item["name"]: item for item in merged.get(field) or []}
            for item in value:
                by_name[item["name"]] = _merged(by_name.get(item["name"], {}), item)
            merged[field] = list(by_name.values())
        else:
            merged[field] = value
    return merged
