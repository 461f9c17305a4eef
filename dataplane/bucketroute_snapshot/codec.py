"""Snapshot ⇄ NDJSON: a header line, then one route a line, each canonical JSON.

One route a line lets a data plane decode in slices between other work: `json.loads` of one large
document would stall the event loop (it holds the interpreter lock throughout). Unknown fields are
refused: the operator writes for the schema that the reader knows, and leaves out what came later.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bucketroute_snapshot.model import (
    ClassSettings,
    Route,
    Snapshot,
    SnapshotSecrets,
)
from bucketroute_snapshot.schema import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, is_field_of
from bucketroute_snapshot.secret import Secret

T = TypeVar("T")
JSONValue = Any  # the one place where untyped JSON enters the contract


class SnapshotFormatError(ValueError):
    """The bytes are not a snapshot of a schema version that this code knows."""


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Canonical NDJSON: equal snapshots give equal bytes. Ends in a newline."""
    return b"".join(snapshot_lines(snapshot))


def snapshot_lines(snapshot: Snapshot) -> Iterator[bytes]:
    yield _line(
        {
            "schemaVersion": SCHEMA_VERSION,
            "routeCount": len(snapshot.routes),
            "class": _encode(snapshot.settings),
        }
    )
    for route in snapshot.routes:
        yield _line(_encode(route))


def lines_for(schema: int, lines: Iterable[bytes]) -> Iterator[bytes]:
    """A snapshot's lines, the header first, as readers of an older `schema` understand them.

    Raises: SnapshotFormatError.
    """
    header, *routes = lines
    value = _parse(header)
    settings = _decode(ClassSettings, value["class"])
    yield _line({**value, "schemaVersion": schema, "class": _encode(settings, schema)})
    if is_known_to(schema, Route):  # and so are the lines
        yield from routes
    else:
        yield from (_line(_encode(_decode(Route, _parse(line)), schema)) for line in routes)


@cache
def is_known_to(schema: int, hint: Any) -> bool:
    """Whether readers of `schema` know every field of a type and of what it is made of."""
    if not is_dataclass(hint):
        return all(is_known_to(schema, part) for part in get_args(hint) if part is not Ellipsis)
    return all(
        is_field_of(schema, spec) and is_known_to(schema, get_type_hints(hint)[spec.name])
        for spec in fields(hint)
    )


def decode_snapshot(body: bytes) -> Snapshot:
    """The whole snapshot at once; `SnapshotDecoder` is the form that can be interleaved.

    Raises: SnapshotFormatError.
    """
    decoder = SnapshotDecoder()
    for line in body.splitlines():
        decoder.feed_line(line)
    return decoder.finish()


class SnapshotDecoder:
    """Takes the lines one by one; `finish()` gives the snapshot once all announced have come."""

    def __init__(self) -> None:
        self._settings: ClassSettings | None = None
        self._route_count = 0
        self._routes: list[Route] = []

    def feed_line(self, line: bytes) -> None:
        """Raises: SnapshotFormatError if the line is not the next line of a snapshot."""
        value = _parse(line)
        if self._settings is None:
            self._read_header(value)
        else:
            self._routes.append(_decode(Route, value))

    def finish(self) -> Snapshot:
        """Raises: SnapshotFormatError if lines are missing or too many."""
        if self._settings is None:
            raise SnapshotFormatError("the snapshot has no header line")
        if len(self._routes) != self._route_count:
            raise SnapshotFormatError(
                f"the header announces {self._route_count} routes, {len(self._routes)} came"
            )
        return Snapshot(settings=self._settings, routes=tuple(self._routes))

    def _read_header(self, value: JSONValue) -> None:
        if not isinstance(value, dict) or value.keys() != {"schemaVersion", "routeCount", "class"}:
            raise SnapshotFormatError("the first line is not a snapshot header")
        version = _expect(int, value["schemaVersion"])
        if not OLDEST_SCHEMA_VERSION <= version <= SCHEMA_VERSION:
            known = f"{OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}"
            raise SnapshotFormatError(f"schema version {version} is none of {known}")
        self._route_count = _expect(int, value["routeCount"])
        self._settings = _decode(ClassSettings, value["class"])


def encode_secrets(secrets: SnapshotSecrets, schema: int = SCHEMA_VERSION) -> bytes:
    """Canonical JSON with the secret values in the clear: for the TLS config channel only."""
    return _line(_encode(secrets, schema))


def decode_secrets(body: bytes) -> SnapshotSecrets:
    """Raises: SnapshotFormatError (which never quotes the body)."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise SnapshotFormatError("the secrets section is not JSON") from None
    return _decode(SnapshotSecrets, value)


def _line(value: JSONValue) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def _parse(line: bytes) -> JSONValue:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise SnapshotFormatError(f"a line is not JSON: {exc}") from exc


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _encode(value: object, schema: int = SCHEMA_VERSION) -> JSONValue:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Enum():
            return value.value
        case Secret():
            return value.reveal()
        case tuple():
            return [_encode(item, schema) for item in value]
        case _:
            return _encode_dataclass(value, schema)


def _encode_dataclass(value: Any, schema: int) -> dict[str, JSONValue]:
    """Fields that equal their default are left out, so an added default changes no digest."""
    encoded: dict[str, JSONValue] = {}
    kind = getattr(type(value), "kind", None)
    if kind is not None:
        encoded["kind"] = kind
    for name, json_name, default in _fields_for(value.__class__, schema):
        item = getattr(value, name)
        if item != default:
            encoded[json_name] = _encode(item, schema)
    return encoded


@cache
def _fields_for(cls: type[Any], schema: int) -> tuple[tuple[str, str, object], ...]:
    """Name, JSON name and default of the fields that readers of `schema` know."""
    return tuple(
        (
            spec.name,
            _camel(spec.name),
            spec.default if spec.default_factory is MISSING else spec.default_factory(),
        )
        for spec in fields(cls)
        if is_field_of(schema, spec)
    )


Decoder = Callable[[JSONValue], Any]


def _decode(cls: type[T], value: JSONValue) -> T:
    decoded: T = _decoder(cls)(value)  # type: ignore[arg-type]  # mypy: type[T] is hashable
    return decoded


@cache
def _decoder(hint: Any) -> Decoder:
    """The decoder of one type; compiled once, since 10,000 routes go through it."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union_decoder(get_args(hint))
    if origin is tuple:
        return _tuple_decoder(get_args(hint)[0])
    if hint is Secret:
        return lambda value: Secret(_expect(str, value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_decoder(hint)
    if hint in (str, int, bool, float):
        return lambda value: _expect(hint, value)
    return _dataclass_decoder(hint)


def _expect(hint: type, value: JSONValue) -> JSONValue:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SnapshotFormatError(f"expected {hint.__name__}, got {type(value).__name__}")
    return value


def _enum_decoder(hint: type[Enum]) -> Decoder:
    members = {member.value: member for member in hint}

    def decode(value: JSONValue) -> Enum:
        if not isinstance(value, str) or value not in members:
            raise SnapshotFormatError(f"{value!r} is not a {hint.__name__}")
        return members[value]

    return decode


def _tuple_decoder(item_hint: Any) -> Decoder:
    item = _decoder(item_hint)

    def decode(value: JSONValue) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SnapshotFormatError(f"expected a list, got {type(value).__name__}")
        return tuple(map(item, value))

    return decode


def _union_decoder(hints: Iterable[Any]) -> Decoder:
    members = [hint for hint in hints if hint is not type(None)]
    if len(members) == 1:
        inner = _decoder(members[0])
        return lambda value: None if value is None else inner(value)
    by_kind = {member.kind: _decoder(member) for member in members}

    def decode(value: JSONValue) -> Any:
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in by_kind:
            raise SnapshotFormatError(f"kind {kind!r} is none of {sorted(by_kind)}")
        return by_kind[kind]({name: item for name, item in value.items() if name != "kind"})

    return decode


def _dataclass_decoder(cls: type[Any]) -> Decoder:
    hints = get_type_hints(cls)
    specs = {_camel(spec.name): (spec.name, _decoder(hints[spec.name])) for spec in fields(cls)}
    required = {
        _camel(spec.name)
        for spec in fields(cls)
        if spec.default is MISSING and spec.default_factory is MISSING
    }

    def decode(value: JSONValue) -> Any:
        if not isinstance(value, Mapping):
            raise SnapshotFormatError(f"expected {cls.__name__}, got {type(value).__name__}")
        unknown, missing = value.keys() - specs.keys(), required - value.keys()
        if unknown or missing:
            raise SnapshotFormatError(
                f"{cls.__name__}: unknown fields {sorted(unknown)}, missing {sorted(missing)}"
            )
        decoded = {specs[name][0]: specs[name][1](item) for name, item in value.items()}
        return cls(**decoded)

    return decode
