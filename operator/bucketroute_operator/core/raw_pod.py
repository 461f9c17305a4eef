"""A pod as JSON, read without a typed model of it, and the JSON Patch that adds to it.

Pods are patched by index on the raw object, never rebuilt: a field that is newer than this program
stays what it is. Sources: RFC 6901 (pointers), RFC 6902 (`add`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

JsonObject = Mapping[str, object]


class PodFormatError(Exception):
    """The object is not built like a pod. An API server sends none such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One item of `field` (containers or initContainers), where it stands in the pod."""

    field: str
    index: int
    raw: JsonObject

    @property
    def name(self) -> str:
        return text_at(self.raw, "name")

    @property
    def is_native_sidecar(self) -> bool:
        """Runs beside the containers, from before they start until after they end."""
        return self.field == "initContainers" and self.raw.get("restartPolicy") == "Always"

    @property
    def environment(self) -> Mapping[str, str | None]:
        """By name; None for what comes from elsewhere (valueFrom)."""
        return {
            text_at(item, "name"): text_at(item, "value") if "valueFrom" not in item else None
            for item in objects_at(self.raw, "env")
        }

    @property
    def mount_paths(self) -> frozenset[str]:
        mounts = objects_at(self.raw, "volumeMounts")
        return frozenset(text_at(item, "mountPath").rstrip("/") for item in mounts)

    def add(self, field: str, items: Sequence[JsonObject]) -> list[JsonObject]:
        """Adds to the end of one of its lists."""
        return added_to_list(self.raw, ("spec", self.field, str(self.index), field), items)


def containers_of(pod: JsonObject) -> tuple[Container, ...]:
    """All of them, those that run before the others first. Raises: PodFormatError."""
    spec = object_at(pod, "spec")
    return tuple(
        Container(field=field, index=index, raw=raw)
        for field in ("initContainers", "containers")
        for index, raw in enumerate(objects_at(spec, field))
    )


def object_at(parent: JsonObject, name: str) -> JsonObject:
    """Absent and null are empty. Raises: PodFormatError."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PodFormatError(f"{name} is no object")
    return value


def objects_at(parent: JsonObject, name: str) -> tuple[JsonObject, ...]:
    """Absent and null are empty. Raises: PodFormatError."""
    value = parent.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise PodFormatError(f"{name} is no list of objects")
    return tuple(value)


def text_at(parent: JsonObject, name: str) -> str:
    """Absent and null are empty. Raises: PodFormatError."""
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise PodFormatError(f"{name} is no text")
    return value


def added(path: Sequence[str], value: object) -> JsonObject:
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"op": "add", "path": pointer, "value": value}


def added_to_list(
    parent: JsonObject, path: Sequence[str], items: Sequence[JsonObject]
) -> list[JsonObject]:
    """To the end of the list at `path`, whose last part is its name in `parent`."""
    if not items:
        return []
    if not objects_at(parent, path[-1]):
        return [added(path, list(items))]
    return [added((*path, "-"), item) for item in items]
