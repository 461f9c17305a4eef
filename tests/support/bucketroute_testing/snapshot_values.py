"""Strategies for the values of the contract, for tests that encode and decode them.

Texts and lists are short: what a codec gets wrong, it gets wrong for short ones too.
"""

import types
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bucketroute_snapshot import ClassSettings, Route, Secret, SnapshotSecrets

_TEXT = st.text(max_size=6)
_SIMPLE: Mapping[Any, SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(2**53), 2**53),
    bool: st.booleans(),
    float: st.floats(min_value=0, max_value=3600),
    type(None): st.none(),
    Secret: st.builds(Secret, _TEXT),
}


def _of(hint: Any) -> SearchStrategy[Any]:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of(*map(_of, get_args(hint)))
    if get_origin(hint) is tuple:
        return st.lists(_of(get_args(hint)[0]), max_size=2).map(tuple)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = get_type_hints(hint)
    return st.builds(hint, **{spec.name: _of(hints[spec.name]) for spec in fields(hint)})


ROUTES: SearchStrategy[Route] = _of(Route)
SETTINGS: SearchStrategy[ClassSettings] = _of(ClassSettings)
SECRETS: SearchStrategy[SnapshotSecrets] = _of(SnapshotSecrets)
