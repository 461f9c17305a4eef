"""The config channels of all classes, and whether this replica is the one to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bucketroute_operator.shell.channel import ClassChannel


class Channels:
    """The channels by class. `is_leading` is false on replicas that answer nothing but 421."""

    def __init__(self, on_word: Callable[[], None]) -> None:
        self.is_leading = False
        self._on_word = on_word
        self._channels: dict[str, ClassChannel] = {}

    def of(self, class_name: str) -> ClassChannel:
        if class_name not in self._channels:
            self._channels[class_name] = ClassChannel(class_name, on_word=self._on_word)
        return self._channels[class_name]

    def find(self, class_name: str) -> ClassChannel | None:
        """None for a class of which nothing was ever published, or that is not valid so far."""
        channel = self._channels.get(class_name)
        is_there = channel is not None and channel.current is not None and channel.is_open
        return channel if is_there else None

    def stop_leading(self) -> None:
        self.is_leading = False
        for channel in self:
            channel.release()

    def __iter__(self) -> Iterator[ClassChannel]:
        return iter(list(self._channels.values()))
