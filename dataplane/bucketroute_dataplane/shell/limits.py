"""Bounds that one request shares with others: never waited for, refused with SlowDown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from bucketroute_dataplane.core.body import IncomingBody, check_size
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.resolve import RouteEntry

# What all request bodies that are held whole at one time may take, in bytes of memory.
BUFFERED_BUDGET_BYTES = 64 * 1024 * 1024
# The part of it that callers may take who have proved nothing yet: those who log in, and those
# whose token's key is to be fetched, so that neither keeps out the other.
UNPROVED_BUDGET_BYTES = 8 * 1024 * 1024
RETRY_AFTER_SECONDS = 1

_NO_LIMIT = nullcontext()


class BufferBudget:
    """What buffered bodies may hold together."""

    def __init__(self, budget_bytes: int = BUFFERED_BUDGET_BYTES) -> None:
        self._free = budget_bytes

    def hold(self, size_bytes: int) -> BufferHold:
        """Takes that much at once; leaving the hold gives it back.

        Raises: S3Error SlowDown if that much is not free now.
        """
        if size_bytes > self._free:
            raise slow_down("Too many request bodies are held at once.")
        self._free -= size_bytes
        return BufferHold(self, size_bytes)

    def give_back(self, size_bytes: int) -> None:
        self._free += size_bytes


def room_for(body_bytes: int) -> int:
    """What a body takes: the block that it is collected in grows up to a quarter beyond it."""
    return body_bytes + body_bytes // 4


def room_for_incoming(incoming: IncomingBody, limit_bytes: int) -> int:
    """What a body takes at most: of what may come, which is not what chunks are said to hold.

    Raises: S3Error EntityTooLarge.
    """
    check_size(incoming, limit_bytes)
    return room_for(limit_bytes if incoming.wire_length is None else incoming.wire_length)


class BufferHold:
    """A part of the budget; a context manager that gives it back."""

    __slots__ = ("_budget", "_size_bytes")

    def __init__(self, budget: BufferBudget, size_bytes: int) -> None:
        self._budget = budget
        self._size_bytes = size_bytes

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        size, self._size_bytes = self._size_bytes, 0
        self._budget.give_back(size)


@dataclass(slots=True)
class _RouteState:
    running: int = 0
    tokens: float = 0.0
    filled_at: float = float("-inf")  # full at the first request


class RouteLimits:
    """Concurrency and rate of each route in this process, which is one of `workers` that share out
    what the route may: each takes its part, rounded up."""

    def __init__(self, clock: Callable[[], float], *, workers: int = 1) -> None:
        self._clock = clock
        self._workers = workers
        self._states: dict[str, _RouteState] = {}

    def is_unlimited(self, entry: RouteEntry) -> bool:
        """Whether the route has no limit that `enter` would count against."""
        limits = entry.route.limits
        return limits.max_concurrent_requests is None and limits.requests_per_second is None

    def enter(self, entry: RouteEntry) -> AbstractContextManager[None]:
        """Raises, when entered: S3Error SlowDown if the route's limit is reached."""
        return _NO_LIMIT if self.is_unlimited(entry) else self._counted(entry)

    @contextmanager
    def _counted(self, entry: RouteEntry) -> Iterator[None]:
        limits = entry.route.limits
        state = self._states.setdefault(entry.route.uid, _RouteState())
        if limits.max_concurrent_requests is not None and state.running >= self._part_of(
            limits.max_concurrent_requests
        ):
            raise slow_down("The route's limit of concurrent requests is reached.")
        if limits.requests_per_second is not None:
            self._take_token(state, self._part_of(limits.requests_per_second))
        state.running += 1
        try:
            yield
        finally:
            state.running -= 1

    def _part_of(self, limit: int) -> int:
        return -(-limit // self._workers)

    def _take_token(self, state: _RouteState, per_second: int) -> None:
        """A token bucket that holds one second's worth."""
        now = self._clock()
        gained = (now - state.filled_at) * per_second
        state.tokens = min(float(per_second), state.tokens + gained)
        state.filled_at = now
        if state.tokens < 1:
            raise slow_down("The route's request rate is reached.")
        state.tokens -= 1


def slow_down(message: str) -> S3Error:
    error = s3_error("SlowDown", message)
    error.retry_after_seconds = RETRY_AFTER_SECONDS
    return error
