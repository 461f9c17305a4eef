"""What may go wrong between an operator and its API server; `fault_proxy.py` makes it happen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from bucketroute_testing.api_calls import ApiCall

GONE = (
    b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure",'
    b'"reason":"Expired","message":"too old resource version","code":410}}\n'
)
# So often one object is refused where only a share of calls is.
MOST_OF_A_SHARE = 3
Matcher = Callable[[ApiCall], bool]


class EventFault(Protocol):
    """What happens to the events of a watch; one for each stream.

    `feed` takes a line with its newline; `rest` is asked when nothing has come for a moment, and
    when the fault is over.
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


@dataclass(slots=True, kw_only=True)
class Refusal:
    """Answers a `share` of the calls that match with `status`, `times` at most; `after` they were
    carried out.

    By chance, from a seed: every second one would go on hitting the same caller of two that take
    turns. But where it is a share, one object is not refused again and again: each time doubles the
    caller's back-off, and what a test waits for is to be a matter of seconds.
    """

    matches: Matcher
    status: int
    share: float = 1.0
    times: int | None = None
    after: bool = False
    chance: Random = field(default_factory=lambda: Random(1))
    refused: Counter[ApiCall] = field(default_factory=Counter)

    def takes(self, call: ApiCall) -> bool:
        if not self.matches(call) or self.times == 0:
            return False
        is_had_enough = self.share < 1 and call.name and self.refused[call] == MOST_OF_A_SHARE
        is_due = not is_had_enough and self.chance.random() < self.share
        self.refused[call] += is_due
        if is_due and self.times is not None:
            self.times -= 1
        return is_due


@dataclass(slots=True, kw_only=True)
class Faults:
    """What fails at the moment. `old_lists` are bodies by path: lists that are from the past."""

    refusals: tuple[Refusal, ...] = ()
    events: EventFaultFactory = Faithful
    are_watches_stalled: bool = False
    old_lists: dict[str, bytes] = field(default_factory=dict)
