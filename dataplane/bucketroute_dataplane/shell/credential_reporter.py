"""Tells the operator how each route's credentials stand; it makes the conditions of that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.clock import Clock
from bucketroute_dataplane.shell.config_client import ChannelError
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_dataplane.shell.config_words import report_entry
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport
from bucketroute_dataplane.shell.credential_health import NOT_TRIED
from bucketroute_dataplane.shell.slices import Slices
from bucketroute_snapshot.update import REPORT_PATH

log = logging.getLogger("bucketroute.dataplane.config")

REPORTED_EVERY_SECONDS = 5.0
# Takes a millisecond or two to write as JSON.
ENTRIES_AT_ONCE = 1000


class ReportTaker(Protocol):
    """Whom it is told to: a `ConfigClient`, or a worker's supervisor."""

    async def post(self, path: str, body: Mapping[str, object]) -> None:
        """Raises: ChannelError."""
        ...


class ConfigHolder(Protocol):
    """What knows the configuration that is served: a `ConfigChannel`, or a worker's feed."""

    held: HeldConfig | None


class CredentialReporter:
    """Implements `CredentialObserver`: tells the operator how each route's credentials stand.

    On change only, and at most once in `every_seconds`. A new leader knows nothing, so after a
    change of epoch everything is told again.
    """

    def __init__(
        self,
        client: ReportTaker,
        channel: ConfigHolder,
        health: Callable[[], Iterable[RouteHealth]],
        *,
        clock: Clock,
        every_seconds: float = REPORTED_EVERY_SECONDS,
    ) -> None:
        self._client = client
        self._channel = channel
        self._health = health
        self._clock = clock
        self._every_seconds = every_seconds
        self._changed = asyncio.Event()
        self._told: dict[str, RouteHealth] = {}
        self._epoch: int | None = None

    def exchanged(self, report: ExchangeReport) -> None:
        self._changed.set()

    def waited(self, key: CredentialKey, *, seconds: float, served: bool) -> None:
        pass

    def dropped(self, key: CredentialKey) -> None:
        self._changed.set()

    def changed(self) -> None:
        """To be called when another configuration is held, as routes come and go with it and a new
        epoch wants to hear all, and for news of buckets."""
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                has_told = await self.tell()
            except ChannelError as exc:
                log.info("a report was not taken: %s", exc)
                self._changed.set()
                has_told = True
            if has_told:
                await self._clock.sleep(self._every_seconds)

    async def tell(self) -> bool:
        """Sends what is new; returns whether there was anything. Raises: ChannelError."""
        held = self._channel.held
        if held is None:
            return False
        if held.version.epoch != self._epoch:
            self._told = {}
        current: dict[str, RouteHealth] = {}
        news: list[RouteHealth] = []
        slices = Slices()
        for item in self._health():
            current[item.route] = item
            if self._is_news(item):
                news.append(item)
            await slices.pause()
        for piece in range(0, len(news), ENTRIES_AT_ONCE):
            entries = [report_entry(item) for item in news[piece : piece + ENTRIES_AT_ONCE]]
            await self._client.post(REPORT_PATH, {"credentials": entries})
        self._told, self._epoch = current, held.version.epoch
        return bool(news)

    def _is_news(self, item: RouteHealth) -> bool:
        """That a route, new or edited, was not tried yet goes without saying: to tell it would put
        off, by the pause after each report, how the exchange turns out."""
        told = self._told.get(item.route)
        if told is None or (told.uid, told.generation) != (item.uid, item.generation):
            return item.code != NOT_TRIED.code
        return told != item
