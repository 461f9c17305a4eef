"""How a snapshot travels: versions, and the envelope of a full or a delta update.

An update is NDJSON: its header, the secrets (or `null` where the sender gives none), the snapshot's
header, then one route a line. A full update has every route of the snapshot; a delta has those that
are new or changed since `base`, and its header names those that are gone. The digest is that of the
whole snapshot in both, so whoever applied a delta can tell that nothing was missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Self

from bucketroute_snapshot.codec import SnapshotFormatError

CONFIG_PATH = "/v1/config"
ACK_PATH = "/v1/ack"
REPORT_PATH = "/v1/report"
CONFIG_AUDIENCE = "bucketroute-config"
VERSION_HEADER = "BR-Version"
SCHEMA_HEADER = "BR-Schema-Max"
POD_HEADER = "BR-Pod"
CONTENT_TYPE = "application/x-ndjson"
NO_SECRETS = b"null\n"

_MAX_VERSION_LENGTH = 64


class BucketState(Enum):
    """What a data plane reports of a backend's bucket. FORBIDDEN: the backend does not tell, since
    its credentials may not list it. UNKNOWN: it was not asked, or did not answer."""

    # In the order in which they count.
    NOT_FOUND = "NotFound"
    FOUND = "Found"
    FORBIDDEN = "Forbidden"
    UNKNOWN = "Unknown"

    @classmethod
    def of_all(cls, said: Iterable[BucketState]) -> BucketState:
        """What several know together: what one has seen counts for more than that others could
        not see."""
        words = set(said)
        return next((state for state in cls if state in words), cls.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ConfigVersion:
    """`epoch.counter`: the epoch rises with each leader, the counter with each publication."""

    epoch: int
    counter: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.counter}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: SnapshotFormatError."""
        epoch, dot, counter = text.partition(".")
        are_numbers = text.isascii() and epoch.isdigit() and counter.isdigit()
        if not dot or not are_numbers or len(text) > _MAX_VERSION_LENGTH:
            raise SnapshotFormatError("a version is epoch.counter, two decimal numbers")
        return cls(epoch=int(epoch), counter=int(counter))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHeader:
    """The first line. `base` is None for a full update; `deletes` are `namespace/name`."""

    version: ConfigVersion
    digest: str
    base: ConfigVersion | None = None
    deletes: tuple[str, ...] = ()

    def encode(self) -> bytes:
        value: dict[str, object] = {"digest": self.digest, "version": str(self.version)}
        if self.base is not None:
            value |= {"base": str(self.base), "deletes": list(self.deletes)}
        return _line(value)


def decode_update_header(line: bytes) -> UpdateHeader:
    """Unknown fields are ignored: they cannot change what the lines after them say.

    Raises: SnapshotFormatError.
    """
    value = _object(line, "update header")
    digest, version = value.get("digest"), value.get("version")
    base, deletes = value.get("base"), value.get("deletes", [])
    if not isinstance(digest, str) or not isinstance(version, str):
        raise SnapshotFormatError("an update header needs version and digest")
    if not isinstance(deletes, list) or not all(isinstance(name, str) for name in deletes):
        raise SnapshotFormatError("the deletes of an update are a list of route names")
    if base is not None and not isinstance(base, str):
        raise SnapshotFormatError("the base of an update is a version")
    return UpdateHeader(
        version=ConfigVersion.parse(version),
        digest=digest,
        base=None if base is None else ConfigVersion.parse(base),
        deletes=tuple(deletes),
    )


def with_route_count(header_line: bytes, count: int) -> bytes:
    """The snapshot header as it would be with so many routes, for decoding a part of them.

    Raises: SnapshotFormatError.
    """
    return _line({**_object(header_line, "snapshot header"), "routeCount": count})


def route_name(line: bytes) -> str:
    """`namespace/name` of a route's line, whether or not the rest of it can be understood.

    Raises: SnapshotFormatError.
    """
    value = _object(line, "route")
    return f"{value.get('namespace')}/{value.get('name')}"


def lines_digest(lines: Iterable[bytes]) -> str:
    """The digest of a snapshot from its lines; equals `snapshot_digest` of the decoded one."""
    digest = sha256()
    for line in lines:
        digest.update(line)
    return f"sha256:{digest.hexdigest()}"


def _object(line: bytes, what: str) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        raise SnapshotFormatError(f"the {what} is not JSON") from None
    if not isinstance(value, dict):
        raise SnapshotFormatError(f"the {what} is not a JSON object")
    return value


def _line(value: Mapping[str, object]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"
