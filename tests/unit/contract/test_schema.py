"""What a reader of the schema before gets: all that it knows, and nothing that it would refuse."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_snapshot import (
    OLDEST_SCHEMA_VERSION,
    SCHEMA_VERSION,
    ClassSettings,
    Route,
    Snapshot,
    SnapshotSecrets,
    decode_snapshot,
    encode_snapshot,
)
from bucketroute_snapshot.codec import is_known_to, lines_for
from bucketroute_snapshot.schema import is_field_of
from bucketroute_testing.snapshot_values import ROUTES, SETTINGS

FROZEN = Path(__file__).parent / "schema-1.json"


def known_fields(hint: Any, schema: int) -> dict[str, list[str]]:
    """By class, for a type and all that it is made of."""
    if not is_dataclass(hint):
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        return {name: found for part in parts for name, found in known_fields(part, schema).items()}
    hints = get_type_hints(hint)
    specs = [spec for spec in fields(hint) if is_field_of(schema, spec)]
    found = {getattr(hint, "__name__", ""): [spec.name for spec in specs]}
    for spec in specs:
        found |= known_fields(hints[spec.name], schema)
    return found


def test_readers_of_schema_1_get_the_fields_that_they_know_and_no_more() -> None:
    """A new field that fails here needs `metadata=since(...)`: they would refuse it."""
    found: dict[str, list[str]] = {}
    for hint in (ClassSettings, Route, SnapshotSecrets):
        found |= known_fields(hint, 1)
    assert found == json.loads(FROZEN.read_text())


def older(snapshot: Snapshot) -> list[bytes]:
    return list(lines_for(OLDEST_SCHEMA_VERSION, encode_snapshot(snapshot).splitlines(True)))


def test_a_newer_field_is_left_out_and_all_else_stays() -> None:
    plain = ClassSettings(name="default", region="r")
    newer = replace(plain, signature_diagnostics=True)
    lines = older(Snapshot(settings=newer))
    assert json.loads(lines[0])["schemaVersion"] == OLDEST_SCHEMA_VERSION
    assert decode_snapshot(b"".join(lines)).settings == plain
    assert decode_snapshot(encode_snapshot(Snapshot(settings=newer))).settings == newer


@settings(max_examples=30)
@given(SETTINGS, st.lists(ROUTES, max_size=2))
def test_routes_stay_as_they_are(class_: ClassSettings, routes: list[Route]) -> None:
    snapshot = Snapshot(settings=class_, routes=tuple(routes))
    assert decode_snapshot(b"".join(older(snapshot))).routes == snapshot.routes


@pytest.mark.parametrize(
    ("hint", "known"), [(ClassSettings, False), (Route, True), (SnapshotSecrets, True)]
)
def test_lines_that_need_no_change_are_told_from_those_that_do(hint: type, known: bool) -> None:
    assert is_known_to(OLDEST_SCHEMA_VERSION, hint) is known
    assert is_known_to(SCHEMA_VERSION, hint)
