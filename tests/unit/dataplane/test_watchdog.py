"""Deadlines of sockets: met once, and nobody's trouble is anybody else's."""

import asyncio

import pytest

from bucketroute_dataplane.shell import watchdog as module
from bucketroute_dataplane.shell.watchdog import Watchdog
from bucketroute_testing.transports import until


class Watched:
    def __init__(self, deadline: float | None, *, error: Exception | None = None) -> None:
        self.deadline = deadline
        self.calls = 0
        self._error = error

    def on_deadline(self) -> None:
        self.calls += 1
        if self._error is not None:
            raise self._error
        self.deadline = None


@pytest.mark.parametrize(("deadline", "calls"), [(None, 0), (10.1, 0), (10.0, 1), (3.0, 1)])
def test_what_is_overdue_is_called(deadline: float | None, calls: int) -> None:
    watchdog, watched = Watchdog(), Watched(deadline)
    watchdog.add(watched)
    watchdog.sweep(10.0)
    assert watched.calls == calls


def test_what_has_left_is_not_called() -> None:
    watchdog, watched = Watchdog(), Watched(1.0)
    watchdog.add(watched)
    watchdog.discard(watched)
    watchdog.discard(watched)
    watchdog.sweep(10.0)
    assert watched.calls == 0


def test_one_may_leave_while_the_others_are_called() -> None:
    watchdog = Watchdog()

    class Leaving(Watched):
        def on_deadline(self) -> None:
            super().on_deadline()
            watchdog.discard(self)

    leaving = [Leaving(1.0) for _ in range(3)]
    for each in leaving:
        watchdog.add(each)
    watchdog.sweep(10.0)
    assert [each.calls for each in leaving] == [1, 1, 1]


def test_one_that_fails_is_logged_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = Watchdog()
    failing = Watched(1.0, error=RuntimeError("the handler is closed"))
    others = [Watched(1.0) for _ in range(8)]
    for each in (failing, *others):
        watchdog.add(each)
    watchdog.sweep(10.0)
    watchdog.sweep(10.0)
    assert [each.calls for each in others] == [1] * 8
    assert failing.calls == 1  # and not once a second from now on
    assert "the handler is closed" in caplog.text


async def test_it_sweeps_by_the_clock_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.001)
    watchdog, watched = Watchdog(), Watched(asyncio.get_running_loop().time())
    watchdog.add(watched)
    running = asyncio.create_task(watchdog.run())
    await until(lambda: watched.calls)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
