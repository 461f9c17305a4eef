"""One ordered list of events that several fakes share.

The S3 fake and the STS fake write into the same journal, so that a test can say what came first:
the last byte of a buffered body or the question to STS. It holds no request contents; those are in
`wire.RecordedRequest`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a fake saw. `at_seconds` is the monotonic clock; `source` names the fake."""

    at_seconds: float
    source: str
    kind: str
    subject: str


class Journal:
    """An append-only list of events, written by server threads and read by the test's thread."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = threading.Condition()

    def record(self, source: str, kind: str, subject: str) -> None:
        with self._changed:
            event = Event(at_seconds=time.monotonic(), source=source, kind=kind, subject=subject)
            self._events.append(event)
            self._changed.notify_all()

    def events(self, *, source: str | None = None, kind: str | None = None) -> tuple[Event, ...]:
        """Everything so far, in order, limited to one source or one kind when they are given."""
        with self._changed:
            everything = tuple(self._events)
        return tuple(
            event
            for event in everything
            if source in (None, event.source) and kind in (None, event.kind)
        )

    def kinds(self) -> list[str]:
        """`source:kind` of every event in order: what most assertions about order compare."""
        return [f"{event.source}:{event.kind}" for event in self.events()]

    def wait_for(self, holds: Callable[["Journal"], bool], *, deadline_seconds: float) -> None:
        """Block until `holds(self)`, asked again after every event.

        Raises:
            TimeoutError: it did not hold within `deadline_seconds`; the message lists the events.
        """
        until = time.monotonic() + deadline_seconds
        while not holds(self):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {deadline_seconds} s; seen: {self.kinds()}")
            with self._changed:
                self._changed.wait(min(left, 0.1))

    def wait_for_count(
        self, count: int, *, source: str, kind: str, deadline_seconds: float
    ) -> None:
        """Block until at least `count` events of that source and kind are there."""
        self.wait_for(
            lambda journal: len(journal.events(source=source, kind=kind)) >= count,
            deadline_seconds=deadline_seconds,
        )

    def clear(self) -> None:
        with self._changed:
            self._events.clear()
