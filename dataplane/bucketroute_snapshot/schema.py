"""The versions of the snapshot's schema, and how a field comes with a new one.

Readers refuse what they do not know, so a new field needs a new schema: raise SCHEMA_VERSION, and
give the field a default and `metadata=since(SCHEMA_VERSION)`. Data planes of the schema before it
do not get it, and have to be as safe without: what allows less must come in another way, as a state
of the route for instance. What cannot be left out (a new kind of subject) makes them leave the
route out that has it. Schemas older than the one before are not written.

| schema | came with |
|---|---|
| 2 | `ClassSettings.signature_diagnostics` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

SCHEMA_VERSION = 2
OLDEST_SCHEMA_VERSION = 1
_SINCE = "since"


def since(schema: int) -> Mapping[str, int]:
    """For the `metadata` of a field that came with a later schema."""
    return {_SINCE: schema}


def is_field_of(schema: int, spec: Field[Any]) -> bool:
    """Whether readers of `schema` know the field."""
    came_with: int = spec.metadata.get(_SINCE, OLDEST_SCHEMA_VERSION)
    return came_with <= schema
