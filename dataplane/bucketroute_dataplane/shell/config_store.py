"""The configuration that a data plane holds: its lines, what they decode to, and its copy on disk.

Decoding takes turns with requests: no step keeps the event loop for longer than a few milliseconds,
however many routes there are. A route that cannot be understood is left out and named; a snapshot
that is wrong as a whole is refused, and what was there stays.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from bucketroute_dataplane.shell.replaced_file import replace_file
from bucketroute_dataplane.shell.slices import Slices
from bucketroute_snapshot import (
    Route,
    Snapshot,
    SnapshotDecoder,
    SnapshotFormatError,
    SnapshotSecrets,
    decode_secrets,
    encode_secrets,
)
from bucketroute_snapshot.update import (
    NO_SECRETS,
    ConfigVersion,
    UpdateHeader,
    decode_update_header,
    route_name,
    with_route_count,
)

_DISK_COMPRESSION_LEVEL = 1
_PREAMBLE_LINES = 3

RouteKey = tuple[str, str]


class UnknownBaseError(SnapshotFormatError):
    """A delta for another version than the one held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRoute:
    """A route that was left out: `namespace/name`, and a code for the acknowledgement."""

    route: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConfig:
    """One version. `secrets` is None as long as nobody has sent any."""

    version: ConfigVersion
    digest: str
    header: bytes
    lines: Mapping[RouteKey, bytes]
    snapshot: Snapshot
    secrets: SnapshotSecrets | None
    rejected: tuple[RejectedRoute, ...] = ()


async def read_update(
    lines: Sequence[bytes], held: HeldConfig | None, slices: Slices | None = None
) -> HeldConfig:
    """What is held once the update (its lines, each with its newline) is applied to `held`.

    Raises: UnknownBaseError; SnapshotFormatError if it is not an update, or its digest is not that
    of what came out.
    """
    slices = slices or Slices()
    if len(lines) < _PREAMBLE_LINES:
        raise SnapshotFormatError("an update has at least three lines")
    update = decode_update_header(lines[0])
    base = _base(update, held)
    decoded = await _decode(lines[2], lines[_PREAMBLE_LINES:], slices)
    merged = await _merge(base, decoded, update.deletes, slices)
    if await _digest(lines[2], merged.lines.values(), slices) != update.digest:
        raise SnapshotFormatError("the digest is not that of the snapshot")
    settings = decoded.settings_snapshot.settings
    return HeldConfig(
        version=update.version,
        digest=update.digest,
        header=lines[2],
        lines=merged.lines,
        snapshot=Snapshot(settings=settings, routes=tuple(merged.routes.values())),
        secrets=_secrets(lines[1], held),
        rejected=merged.rejected,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    settings_snapshot: Snapshot
    lines: Mapping[RouteKey, bytes]
    routes: Mapping[RouteKey, Route]
    rejected: tuple[RejectedRoute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    lines: Mapping[RouteKey, bytes]
    routes: Mapping[RouteKey, Route]
    rejected: tuple[RejectedRoute, ...]


def _base(update: UpdateHeader, held: HeldConfig | None) -> HeldConfig | None:
    if update.base is None:
        return None
    if held is None or held.version != update.base:
        raise UnknownBaseError(f"the delta is for version {update.base}")
    return held


async def _decode(header: bytes, lines: Sequence[bytes], slices: Slices) -> _Decoded:
    rejected: list[tuple[RejectedRoute, bytes]] = []
    good = list(lines)
    try:
        snapshot = await _decode_all(header, good, slices)
    except _BadLineError:
        good, rejected = await _sort_out(header, lines, slices)
        snapshot = await _decode_all(header, good, slices)
    await slices.pause()
    routes = {(route.namespace, route.name): route for route in snapshot.routes}
    await slices.pause()
    if len(routes) != len(good):
        raise SnapshotFormatError("a route comes twice")
    by_key = dict(zip(routes, good, strict=True))
    await slices.pause()
    by_key |= {_key(item.route): line for item, line in rejected}
    return _Decoded(
        settings_snapshot=replace(snapshot, routes=()),
        lines=by_key,
        routes=routes,
        rejected=tuple(item for item, _ in rejected),
    )


class _BadLineError(Exception):
    """One route's line cannot be decoded."""


async def _decode_all(header: bytes, lines: Sequence[bytes], slices: Slices) -> Snapshot:
    decoder = SnapshotDecoder()
    decoder.feed_line(with_route_count(header, len(lines)))
    for line in lines:
        try:
            decoder.feed_line(line)
        except SnapshotFormatError as exc:
            raise _BadLineError from exc
        await slices.pause()
    return decoder.finish()


async def _sort_out(
    header: bytes, lines: Sequence[bytes], slices: Slices
) -> tuple[list[bytes], list[tuple[RejectedRoute, bytes]]]:
    """The lines that can be decoded, and the others with their names.

    Raises: SnapshotFormatError if a line is not even a route's.
    """
    good: list[bytes] = []
    rejected: list[tuple[RejectedRoute, bytes]] = []
    decoder = SnapshotDecoder()
    decoder.feed_line(with_route_count(header, len(lines)))
    for line in lines:
        try:
            decoder.feed_line(line)
            good.append(line)
        except SnapshotFormatError:
            name = route_name(line)
            rejected.append((RejectedRoute(route=name, code="UnsupportedRoute"), line))
        await slices.pause()
    return good, rejected


async def _merge(
    base: HeldConfig | None, decoded: _Decoded, deletes: Iterable[str], slices: Slices
) -> _Merged:
    if base is None:
        lines = dict(sorted(decoded.lines.items()))  # lines that were left out go to their places
        return _Merged(lines=lines, routes=decoded.routes, rejected=decoded.rejected)
    gone = {_key(name) for name in deletes}
    replaced = gone | decoded.lines.keys()
    lines = {key: line for key, line in base.lines.items() if key not in gone}
    lines.update(decoded.lines)
    await slices.pause()
    lines = dict(sorted(lines.items()))
    await slices.pause()
    routes = {(route.namespace, route.name): route for route in base.snapshot.routes}
    await slices.pause()
    for key in replaced:
        routes.pop(key, None)
    routes.update(decoded.routes)
    await slices.pause()
    routes = dict(sorted(routes.items(), key=lambda item: item[0]))
    await slices.pause()
    kept = tuple(item for item in base.rejected if _key(item.route) not in replaced)
    return _Merged(lines=lines, routes=routes, rejected=kept + decoded.rejected)


async def _digest(header: bytes, lines: Iterable[bytes], slices: Slices) -> str:
    digest = sha256(header)
    for line in lines:
        digest.update(line)
        await slices.pause()
    return f"sha256:{digest.hexdigest()}"


def _secrets(line: bytes, held: HeldConfig | None) -> SnapshotSecrets | None:
    """A sender without them leaves what is known; a sender that has them replaces all."""
    if line == NO_SECRETS:
        return None if held is None else held.secrets
    return decode_secrets(line)


def _key(name: str) -> RouteKey:
    namespace, _, rest = name.partition("/")
    return (namespace, rest)


def update_lines(held: HeldConfig, base: HeldConfig | None = None) -> list[bytes]:
    """The update from which `read_update` makes `held` for whoever holds `base`, or nothing."""
    secrets = NO_SECRETS if held.secrets is None else encode_secrets(held.secrets)
    lines: Iterable[bytes] = held.lines.values()
    header = UpdateHeader(version=held.version, digest=held.digest)
    if base is not None:
        known = base.lines
        lines = [line for key, line in held.lines.items() if known.get(key) != line]
        gone = [f"{namespace}/{name}" for namespace, name in known.keys() - held.lines.keys()]
        header = replace(header, base=base.version, deletes=tuple(sorted(gone)))
        secrets = NO_SECRETS if held.secrets == base.secrets else secrets
    return [header.encode(), secrets, held.header, *lines]


async def load_config(path: Path, slices: Slices | None = None) -> HeldConfig | None:
    """From a file of `save_config`, or a mounted boot ConfigMap; None if there is no such file.

    Raises: SnapshotFormatError if it holds no snapshot of this schema.
    """
    try:
        lines = await asyncio.to_thread(_read_lines, path)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, zlib.error) as exc:
        raise SnapshotFormatError(f"{path.name} cannot be read: {type(exc).__name__}") from exc
    return await read_update(lines, None, slices)


async def save_config(path: Path, held: HeldConfig) -> None:
    """Replaces the file in one step. It holds secrets: its folder must be one in memory.

    Raises: OSError.
    """
    await asyncio.to_thread(_write, path, update_lines(held))


def _read_lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def _write(path: Path, lines: Iterable[bytes]) -> None:
    replace_file(path, gzip.compress(b"".join(lines), _DISK_COMPRESSION_LEVEL))
