"""A snapshot as lines, and the updates made of them: full, and delta."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bucketroute_snapshot import Route, Snapshot
from bucketroute_snapshot.codec import decode_secrets, encode_secrets, lines_for, snapshot_lines
from bucketroute_snapshot.update import (
    NO_SECRETS,
    ConfigVersion,
    UpdateHeader,
    decode_update_header,
    lines_digest,
)

RouteKey = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A snapshot with the canonical line of each route, sorted as the snapshot is."""

    snapshot: Snapshot
    header: bytes
    lines: Mapping[RouteKey, bytes]
    digest: str


def render(snapshot: Snapshot, previous: Rendering | None = None) -> Rendering:
    """Encodes the routes that differ from `previous`; the others keep their lines.

    Encoding is most of a publication's cost, and one route of thousands is what usually changes.
    """
    known = {} if previous is None else {_key(route): route for route in previous.snapshot.routes}
    changed = tuple(
        route
        for route in snapshot.routes
        if (before := known.get(_key(route))) is not route and before != route
    )
    fresh = _route_lines(replace(snapshot, routes=changed))
    old = {} if previous is None else previous.lines
    lines = {
        key: fresh[key] if key in fresh else old[key]
        for key in (_key(route) for route in snapshot.routes)
    }
    header = next(snapshot_lines(snapshot))
    return Rendering(
        snapshot=snapshot,
        header=header,
        lines=lines,
        digest=lines_digest([header, *lines.values()]),
    )


def changed_keys(previous: Rendering | None, following: Rendering) -> frozenset[RouteKey]:
    """The routes that were added, changed or removed between two renderings."""
    old = {} if previous is None else previous.lines
    keys = old.keys() | following.lines.keys()
    return frozenset(key for key in keys if old.get(key) != following.lines.get(key))


def full_update(version: ConfigVersion, rendering: Rendering, secrets_line: bytes) -> bytes:
    header = UpdateHeader(version=version, digest=rendering.digest)
    return b"".join([header.encode(), secrets_line, rendering.header, *rendering.lines.values()])


def older_update(update: bytes, schema: int) -> bytes:
    """A full update as readers of an older `schema` understand it; its digest is its own.

    Raises: SnapshotFormatError.
    """
    first, secrets, *lines = update.splitlines(keepends=True)
    older = list(lines_for(schema, lines))
    header = UpdateHeader(version=decode_update_header(first).version, digest=lines_digest(older))
    if secrets != NO_SECRETS:
        secrets = encode_secrets(decode_secrets(secrets), schema)
    return b"".join([header.encode(), secrets, *older])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From which version to which, and the routes that changed on the way."""

    base: ConfigVersion
    version: ConfigVersion
    changed: Collection[RouteKey]


def delta_update(step: Step, rendering: Rendering, secrets_line: bytes) -> bytes:
    """`rendering` is the snapshot at `step.version`."""
    keys = sorted(step.changed)
    header = UpdateHeader(
        version=step.version,
        digest=rendering.digest,
        base=step.base,
        deletes=tuple("/".join(key) for key in keys if key not in rendering.lines),
    )
    upserts = [rendering.lines[key] for key in keys if key in rendering.lines]
    return b"".join([header.encode(), secrets_line, rendering.header, *upserts])


def _route_lines(snapshot: Snapshot) -> dict[RouteKey, bytes]:
    lines = snapshot_lines(snapshot)
    next(lines)  # the header: it is rendered for the whole snapshot
    return {_key(route): line for route, line in zip(snapshot.routes, lines, strict=True)}


def _key(route: Route) -> RouteKey:
    return (route.namespace, route.name)
