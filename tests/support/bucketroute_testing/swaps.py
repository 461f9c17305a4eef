"""A swap of snapshots for what prepares for it: all of its steps in one go."""

from collections.abc import Callable, Generator, Iterable


def take_up(steps: Generator[None, None, Callable[[], Iterable[None]]]) -> None:
    """What a `Preparation` gives: its steps, the commit, and the steps that follow it."""
    while True:
        try:
            next(steps)
        except StopIteration as prepared:
            for _ in prepared.value():
                pass
            return
