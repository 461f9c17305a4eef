"""The operator's own copy of the watched objects, parsed once as they come.

Events may be doubled, late or lost; a LIST decides. An object touched by an event after a LIST
began is newer than what the LIST says of it. A resourceVersion only grows (they are decimal numbers
that compare within a kind, KEP-5504), and a UID that was deleted never comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from sys import intern
from typing import Any

from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.object_parser import UnnamedObjectError
from bucketroute_operator.core.objects import Key, ObjectSet, ParsedObject, object_set, parse_object
from bucketroute_operator.shell.kube_api import Json, Resource

# UIDs of deleted objects that are remembered: enough for a namespace-wide clean-up, 100 bytes each.
_REMEMBERED_DELETIONS = 20_000
_NO_STATUS: Mapping[str, object] = {}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Change(IntEnum):
    """What an event means: nothing, a look at the status, or a new compilation."""

    NONE = 0
    STATUS = 1
    CONTENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """`serial` is the store's own count of changes when this one came."""

    uid: str
    resource_version: str
    parsed: ParsedObject
    status: Mapping[str, object]
    annotations: Mapping[str, str]
    content: tuple[object, ...]
    serial: int


@dataclass(slots=True)
class _Kind:
    """`touched` says at which serial an event came; `newest` is the greatest version seen."""

    objects: dict[Key, StoredObject] = field(default_factory=dict)
    touched: dict[Key, int] = field(default_factory=dict)
    newest: str = ""


class ObjectStore:
    """One thread's: every call comes from the event loop."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._deleted: dict[str, None] = {}
        self._serial = 0

    def event(self, resource: Resource, kind: str | None, raw: Json) -> Change:
        """Takes a watch event; `kind` is ADDED, MODIFIED, DELETED, or None from a listing."""
        self._serial += 1
        metadata = raw.get("metadata") or {}
        uid, key = str(metadata.get("uid", "")), _key(metadata)
        of_kind = self._of(resource)
        _note_version(of_kind, raw)
        known = of_kind.objects.get(key)
        if kind == "DELETED":
            self._remember_deletion(uid)
            if known is None or known.uid != uid:
                return Change.NONE
            of_kind.touched[key] = self._serial
            del of_kind.objects[key]
            return Change.CONTENT
        if uid in self._deleted or (known is not None and _is_older(raw, known)):
            return Change.NONE
        of_kind.touched[key] = self._serial
        return self._put(of_kind, key, resource, raw)

    def written(self, resource: Resource, raw: Json) -> None:
        """Takes the API server's answer to a write of ours, so that we see our own status.

        Not one that has somebody's edit, too: its event is yet to come, and must find it new.
        """
        metadata = raw.get("metadata") or {}
        known = self._of(resource).objects.get(_key(metadata))
        if known is None or known.content != _content(metadata):
            return
        if not _is_older(raw, known):
            self._serial += 1
            _note_version(self._of(resource), raw)
            self._put(self._of(resource), _key(metadata), resource, raw)

    def begin_listing(self) -> int:
        """To be called before a LIST is asked for; `listed` wants it back."""
        return self._serial

    def newest(self, resource: Resource) -> str:
        """The greatest resourceVersion seen of a kind. A LIST that is older is from the past."""
        return self._of(resource).newest

    def listed(self, resource: Resource, items: Iterable[Json], began: int) -> tuple[Change, int]:
        """Takes a LIST. Returns the greatest change and the number of objects that differed."""
        of_kind = self._of(resource)
        self._serial += 1
        greatest, differences, seen = Change.NONE, 0, set()
        for raw in items:
            key = _key(raw.get("metadata") or {})
            seen.add(key)
            _note_version(of_kind, raw)
            if of_kind.touched.get(key, 0) > began:
                continue
            change = self._put(of_kind, key, resource, raw)
            greatest = max(greatest, change)
            differences += change is not Change.NONE
        for key in [key for key in of_kind.objects if key not in seen]:
            if of_kind.touched.get(key, 0) <= began:
                del of_kind.objects[key]
                greatest, differences = Change.CONTENT, differences + 1
        of_kind.touched = {key: at for key, at in of_kind.touched.items() if at > began}
        return greatest, differences

    def deleted_uids(self) -> frozenset[str]:
        """What somebody was seen deleting (a gap in a LIST is no deletion)."""
        return frozenset(self._deleted)

    def of(self, resource: Resource) -> Mapping[Key, StoredObject]:
        return self._of(resource).objects

    def status(self, resource: Resource, ref: ObjectRef) -> Mapping[str, object]:
        """The status as last seen at the API server; empty if there is none."""
        known = self._of(resource).objects.get((ref.namespace, ref.name))
        return _NO_STATUS if known is None else known.status

    def object_set(self, referred: Iterable[ParsedObject] = ()) -> ObjectSet:
        """The parsed objects, with `referred` (Secrets, ConfigMaps) beside them."""
        watched = [
            stored.parsed for kind in self._kinds.values() for stored in kind.objects.values()
        ]
        return object_set([*watched, *referred])

    def _of(self, resource: Resource) -> _Kind:
        return self._kinds.setdefault(resource.kind, _Kind())

    def _put(self, of_kind: _Kind, key: Key, resource: Resource, raw: Json) -> Change:
        metadata = raw.get("metadata") or {}
        known = of_kind.objects.get(key)
        content = _content(metadata)
        status = _interned(raw["status"]) if raw.get("status") else _NO_STATUS
        is_same_content = known is not None and known.content == content
        try:
            # Parsing is the dear part, and most events are our own writes of a status.
            parsed = (
                known.parsed
                if known is not None and is_same_content
                else parse_object({"kind": resource.kind, **raw})
            )
        except UnnamedObjectError:
            return Change.NONE  # the API server's own rules on names are narrower than ours
        of_kind.objects[key] = StoredObject(
            uid=str(metadata.get("uid", "")),
            resource_version=_version(raw),
            parsed=parsed,
            # The same object as long as it says the same: others compare by identity.
            status=known.status if known is not None and known.status == status else status,
            annotations=_annotations(metadata),
            content=content,
            serial=self._serial,
        )
        if not is_same_content:
            return Change.CONTENT
        return Change.NONE if known is not None and known.status == status else Change.STATUS

    def _remember_deletion(self, uid: str) -> None:
        self._deleted[uid] = None
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            for oldest in list(islice(self._deleted, _REMEMBERED_DELETIONS // 10)):
                del self._deleted[oldest]


def _key(metadata: Json) -> Key:
    return (metadata.get("namespace") or "", metadata.get("name") or "")


def _content(metadata: Json) -> tuple[object, ...]:
    """What a compilation can see of an object: the API server counts `generation` up with the spec.

    Namespaces have no generation; their labels are what counts.
    """
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("labels") or {},
        _annotations(metadata),
    )


def _annotations(metadata: Json) -> dict[str, str]:
    """Without kubectl's copy of the whole object."""
    annotations = metadata.get("annotations") or {}
    return {name: value for name, value in annotations.items() if name != _LAST_APPLIED}


def _interned(value: Any) -> Any:
    """The same JSON with shared strings: thousands of statuses say the same words."""
    if isinstance(value, str):
        return intern(value)
    if isinstance(value, dict):
        return {intern(name): _interned(item) for name, item in value.items()}
    return [_interned(item) for item in value] if isinstance(value, list) else value


def _is_older(raw: Json, known: StoredObject) -> bool:
    """Of the same object, or of one that had its name before."""
    return is_older_version(_version(raw), known.resource_version)


def is_older_version(one: str, other: str) -> bool:
    """Whether both are numbers and `one` is the smaller."""
    return one.isdigit() and other.isdigit() and int(one) < int(other)


def _note_version(of_kind: _Kind, raw: Json) -> None:
    version = _version(raw)
    if version.isdigit() and not is_older_version(version, of_kind.newest):
        of_kind.newest = version


def _version(raw: Json) -> str:
    return str((raw.get("metadata") or {}).get("resourceVersion", ""))
