"""What may go wrong with the events of a watch: each fault takes a line and gives lines back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

GONE = (
    b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure",'
    b'"reason":"Expired","message":"too old resource version","code":410}}\n'
)


class EventFault(Protocol):
    """One for each stream. `feed` takes a line with its newline; `rest` is asked when nothing has
    come for a moment, and at the end.
    """

    def feed(self, line: bytes) -> list[bytes]: ...

    def rest(self) -> list[bytes]: ...


EventFaultFactory = Callable[[], EventFault]


class Faithful:
    """No fault."""

    def feed(self, line: bytes) -> list[bytes]:
        return [line]

    def rest(self) -> list[bytes]:
        return []


class Duplicated(Faithful):
    """Every event comes twice, and the one before it once more in between."""

    def __init__(self) -> None:
        self._last: list[bytes] = []

    def feed(self, line: bytes) -> list[bytes]:
        before, self._last = self._last, [line]
        return [line, *before, line]


class Reordered(Faithful):
    """Events come in pairs, the second one first."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def feed(self, line: bytes) -> list[bytes]:
        if not self._held:
            self._held = [line]
            return []
        held, self._held = self._held, []
        return [line, *held]

    def rest(self) -> list[bytes]:
        held, self._held = self._held, []
        return held


class Swallowing(Faithful):
    """Of each type (ADDED, MODIFIED, DELETED) the first event is lost."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

    def feed(self, line: bytes) -> list[bytes]:
        kind = str(json.loads(line).get("type"))
        if kind == "BOOKMARK" or kind in self._lost:
            return [line]
        self._lost.add(kind)
        return []
