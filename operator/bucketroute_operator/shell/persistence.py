"""What was published, in ConfigMaps: the fence against a deposed leader, and the way back up.

`bucketroute-snapshot-CLASS` is the pointer: version, digest, the reserved names, where the content
is, and which process wrote it. It is replaced at its resourceVersion for every publication, before
any pod sees it. The content (no secrets) is in chunks beside it, and in `bucketroute-boot-CLASS`,
which gateway pods mount to come up without the operator.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    ConflictError,
    Json,
    Kube,
    KubeError,
    NotFoundError,
)
from bucketroute_snapshot import Snapshot, SnapshotDecoder, SnapshotFormatError
from bucketroute_snapshot.update import ConfigVersion, decode_update_header

log = logging.getLogger("bucketroute.operator.persistence")

# A ConfigMap takes 1 MiB of values (validation counts the decoded bytes of binaryData).
CHUNK_BYTES = 1_000_000
KEPT_SNAPSHOTS = 10
_ATTEMPTS = 3
BOOT_KEY = "snapshot.ndjson.gz"
CLASS_LABEL = "bucketroute.io/snapshot-class"
_CHUNK_KEY = "chunk"
_POINTER_LABELS = {"app.kubernetes.io/managed-by": "bucketroute-operator"}


class FencedError(Exception):
    """The pointer moved under us: another process leads and has published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A name kept for a namespace after its route went, until `expires` (epoch seconds)."""

    bucket: str
    namespace: str
    uid: str
    is_exported: bool
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a former leader left. `version` is the last published one; `content` may be older."""

    version: ConfigVersion
    content: Snapshot | None
    content_version: ConfigVersion | None
    reservations: tuple[Reservation, ...]


class SnapshotArchive:
    """One class's ConfigMaps."""

    def __init__(self, kube: Kube, *, namespace: str, class_name: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._class_name = class_name
        self._writer = uuid4().hex
        self._pointer: Json | None = None
        self._chunks: tuple[str, ...] = ()
        self._boot: Json | None = None

    async def restore(self) -> Restored | None:
        """Raises: KubeError."""
        await self._read_pointer()
        if self._pointer is None:
            return None
        data = self._pointer.get("data") or {}
        try:
            version = ConfigVersion.parse(data.get("version", ""))
            self._chunks = tuple(json.loads(data.get("chunks", "[]")))
            reservations = tuple(Reservation(**item) for item in json.loads(data["reservations"]))
        except (SnapshotFormatError, ValueError, TypeError, KeyError) as exc:
            log.error("the pointer of class %s is damaged: %s", self._class_name, exc)
            return None
        content, content_version = await self._content()
        return Restored(
            version=version,
            content=content,
            content_version=content_version,
            reservations=reservations,
        )

    async def advance(
        self, version: ConfigVersion, digest: str, reservations: Sequence[Reservation]
    ) -> None:
        """Claims the version: compare-and-swap.

        Raises: FencedError if somebody else wrote the pointer; KubeError.
        """
        data = {
            "version": str(version),
            "digest": digest,
            "chunks": json.dumps(self._chunks),
            "reservations": json.dumps([_as_json(item) for item in reservations]),
            "writer": self._writer,
        }
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._write_pointer(data)
                return
            except (ConflictError, NotFoundError):
                # A write of ours whose answer was lost moves the pointer as another's would.
                before = self._pointer_resource_version
                await self._read_pointer()
                if self._pointer_resource_version != before and not self._is_pointer_ours():
                    break
                if attempt == _ATTEMPTS:
                    raise  # nobody else wrote it: no reason to end, only to try again later
        raise FencedError(f"the pointer of class {self._class_name} has moved")

    async def store(self, update: bytes, digest: str) -> None:
        """Writes the content as chunks. The next `advance` points at them.

        `update` is a full update without secrets, gzipped.
        """
        stem = f"{self._pointer_name}-{digest.removeprefix('sha256:')[:16]}"
        pieces = [update[at : at + CHUNK_BYTES] for at in range(0, len(update), CHUNK_BYTES)]
        names = []
        for number, piece in enumerate(pieces):
            name = f"{stem}-{number}"
            values = {"binaryData": {_CHUNK_KEY: _base64(piece)}, "immutable": True}
            # Its name tells its content, so one that exists is the same.
            await self._create_or_get(self._body(name, values, {CLASS_LABEL: self._class_name}))
            names.append(name)
        self._chunks = tuple(names)
        await self._prune()

    async def write_boot(self, update: bytes) -> None:
        """Replaces what new pods boot from; a class too large for one ConfigMap has none."""
        if len(update) > CHUNK_BYTES:
            log.warning("class %s is too large for a boot ConfigMap", self._class_name)
            return
        values = {"binaryData": {BOOT_KEY: _base64(update)}}
        name = f"bucketroute-boot-{self._class_name}"
        if self._boot is None:
            self._boot = await self._create_or_get(self._body(name, values, _POINTER_LABELS))
        if self._boot.get("binaryData") != values["binaryData"]:
            try:
                self._boot = await self._kube.replace(CONFIG_MAPS, {**self._boot, **values})
            except KubeError:
                self._boot = None  # read it again the next time
                raise

    @property
    def _pointer_resource_version(self) -> object:
        return None if self._pointer is None else self._pointer["metadata"]["resourceVersion"]

    def _is_pointer_ours(self) -> bool:
        data = (self._pointer or {}).get("data") or {}
        return bool(data.get("writer") == self._writer)

    async def _read_pointer(self) -> None:
        try:
            self._pointer = await self._kube.get(CONFIG_MAPS, self._namespace, self._pointer_name)
        except NotFoundError:
            self._pointer = None

    async def _write_pointer(self, data: dict[str, str]) -> None:
        if self._pointer is None:
            body = self._body(self._pointer_name, {"data": data}, _POINTER_LABELS)
            self._pointer = await self._kube.create(CONFIG_MAPS, body)
        else:
            body = {**self._pointer, "data": data}
            self._pointer = await self._kube.replace(CONFIG_MAPS, body)

    @property
    def _pointer_name(self) -> str:
        return f"bucketroute-snapshot-{self._class_name}"

    async def _content(self) -> tuple[Snapshot | None, ConfigVersion | None]:
        try:
            objects = [
                await self._kube.get(CONFIG_MAPS, self._namespace, name) for name in self._chunks
            ]
            encoded = [item["binaryData"][_CHUNK_KEY] for item in objects]
            body = b"".join(base64.b64decode(piece) for piece in encoded)
            return _decode(gzip.decompress(body)) if objects else (None, None)
        except (NotFoundError, KeyError, OSError, binascii.Error, SnapshotFormatError) as exc:
            log.error("the stored snapshot of class %s is lost: %s", self._class_name, exc)
            return None, None

    async def _prune(self) -> None:
        selector = f"{CLASS_LABEL}={self._class_name}"
        kept = await self._kube.list_all(CONFIG_MAPS, namespace=self._namespace, selector=selector)
        by_stem: dict[str, list[Json]] = {}
        for item in kept:
            by_stem.setdefault(item["metadata"]["name"].rpartition("-")[0], []).append(item)
        ages = sorted(
            by_stem, key=lambda stem: by_stem[stem][0]["metadata"].get("creationTimestamp", "")
        )
        pointed = json.loads(((self._pointer or {}).get("data") or {}).get("chunks", "[]"))
        current = {name.rpartition("-")[0] for name in (*self._chunks, *pointed)}
        for stem in ages[:-KEPT_SNAPSHOTS]:
            for item in [] if stem in current else by_stem[stem]:
                await self._delete(item["metadata"]["name"])

    async def _delete(self, name: str) -> None:
        try:
            await self._kube.delete(CONFIG_MAPS, self._namespace, name)
        except NotFoundError:
            log.debug("chunk %s was gone already", name)

    async def _create_or_get(self, body: Json) -> Json:
        try:
            return await self._kube.create(CONFIG_MAPS, body)
        except ConflictError:
            # It need not exist: a quota that many write to at once answers 409, too.
            return await self._kube.get(CONFIG_MAPS, self._namespace, body["metadata"]["name"])

    def _body(self, name: str, values: Json, labels: dict[str, str]) -> Json:
        metadata = {"namespace": self._namespace, "name": name, "labels": labels}
        return {"metadata": metadata, **values}


def _decode(update: bytes) -> tuple[Snapshot, ConfigVersion]:
    lines = update.splitlines()
    if len(lines) < 3:
        raise SnapshotFormatError("an update has at least three lines")
    decoder = SnapshotDecoder()
    for line in lines[2:]:
        decoder.feed_line(line)
    return decoder.finish(), decode_update_header(lines[0]).version


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _as_json(item: Reservation) -> Json:
    return {
        "bucket": item.bucket,
        "namespace": item.namespace,
        "uid": item.uid,
        "is_exported": item.is_exported,
        "expires": item.expires,
    }
