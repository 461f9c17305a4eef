"""The data plane's side of the config channel: disk, boot file, then the operator, for ever.

What is held is served whatever happens to the operator; a data plane that never reached it serves
what the last one left on disk or what was mounted for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import time
from typing import Protocol

from bucketroute_dataplane.shell.clock import Clock
from bucketroute_dataplane.shell.config_client import ChannelError, ConfigClient
from bucketroute_dataplane.shell.config_store import (
    HeldConfig,
    UnknownBaseError,
    load_config,
    read_update,
    save_config,
)
from bucketroute_dataplane.shell.config_words import acknowledgement, refusal, version_of
from bucketroute_dataplane.shell.memory import no_collections
from bucketroute_dataplane.shell.slices import Slices, let_go
from bucketroute_snapshot import SnapshotFormatError
from bucketroute_snapshot.update import ACK_PATH, ConfigVersion

log = logging.getLogger("bucketroute.dataplane.config")

WAIT_SECONDS = 55
SHORTEST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
# Anybody can send tokens with unknown keys.
ASKED_EVERY_SECONDS = 10.0


class ConfigTarget(Protocol):
    """What serves configurations: a `SnapshotStore`, or the workers of a pod."""

    async def serve(self, held: HeldConfig) -> None:
        """Raises if it cannot serve it, and then serves what it did before."""
        ...


class ConfigSource(Enum):
    """Where what is held came from; a metric."""

    NONE = "none"
    DISK = "disk"
    BOOT = "boot"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFiles:
    """`state` is written and read; `boot` is mounted. Either may be None."""

    state: Path | None = None
    boot: Path | None = None


class ConfigChannel:
    """`run` until it is cancelled, or `start` and then `follow`.

    `held`, `source` and `heard_at` (epoch seconds of the operator's last answer) are for metrics.
    `on_held` is called when `held` is another.
    """

    def __init__(
        self,
        client: ConfigClient,
        target: ConfigTarget,
        files: ConfigFiles,
        *,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.held: HeldConfig | None = None
        self.on_held: Callable[[], None] = lambda: None
        self.source = ConfigSource.NONE
        self.heard_at: float | None = None
        self._client = client
        self._target = target
        self._files = files
        self._clock = clock
        self._jitter = jitter
        self._asks = asyncio.Event()
        self._asked_at = float("-inf")
        self._failures = 0
        self._wants_full = False
        self._unsent: Mapping[str, object] | None = None
        self._saved: ConfigVersion | None = None

    async def start(self) -> None:
        """Serves the newest of what is on disk and what was mounted, if there is anything."""
        found = []
        for source, path in (
            (ConfigSource.DISK, self._files.state),
            (ConfigSource.BOOT, self._files.boot),
        ):
            held = None if path is None else await _load(path)
            if held is not None:
                found.append((source, held))
        for source, held in sorted(found, key=lambda item: item[1].version, reverse=True):
            if await self._serve(held):
                self.source = source
                # A boot snapshot has no secrets, and its version may well be the newest there is.
                self._wants_full = held.secrets is None
                log.info("serving version=%s source=%s", held.version, source.value)
                return

    async def run(self) -> None:
        """`start`, then `follow`."""
        await self.start()
        await self.follow()

    async def follow(self) -> None:
        """Asks the operator again and again."""
        while True:
            try:
                await self._turn()
                self._failures = 0
            except ChannelError as exc:
                self._failures += 1
                state = "" if self.held is not None else "; not ready without a configuration"
                log.warning("config channel: %s%s", exc, state)
                await self._clock.sleep(self._backoff_seconds())

    def ask_now(self) -> None:
        """For a token whose key is unknown: the cluster may have a new one. Now and then only."""
        now = self._clock.monotonic()
        if now - self._asked_at >= ASKED_EVERY_SECONDS:
            self._asked_at = now
            self._asks.set()

    async def _turn(self) -> None:
        if self._unsent is not None:
            await self._client.post(ACK_PATH, self._unsent)
            self._unsent = None
        known = None if self._wants_full or self.held is None else self.held.version
        digest = "" if self.held is None else self.held.digest
        lines = await self._poll(known, digest)
        if lines is not None:
            await self._take(lines)

    async def _poll(self, known: ConfigVersion | None, digest: str) -> list[bytes] | None:
        """A poll that `ask_now` replaces by another one."""
        poll = asyncio.ensure_future(
            self._client.poll(known, digest, WAIT_SECONDS, fresh=self._asks.is_set())
        )
        self._asks.clear()
        asked = asyncio.ensure_future(self._asks.wait())
        try:
            await asyncio.wait({poll, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not poll.done():
                return None
            lines = poll.result()
            self.heard_at = time()
            return lines
        finally:
            asked.cancel()
            poll.cancel()
            await asyncio.wait({poll, asked})

    async def _take(self, lines: list[bytes]) -> None:
        """Raises: ChannelError to make the next poll wait, where what came cannot be served."""
        try:
            with no_collections():
                held = await read_update(lines, self.held)
        except UnknownBaseError:
            self._wants_full = True
            return
        except SnapshotFormatError as exc:
            await self._refuse(lines, exc)
            return
        was_full, self._wants_full = self._wants_full, False
        if self.held is not None and held.version <= self.held.version and not was_full:
            return
        if not await self._serve(held):
            self._unsent = acknowledgement(held, status="rejected")
            raise ChannelError("the snapshot cannot be served")
        self.source = ConfigSource.OPERATOR
        log.info("serving version=%s routes=%d", held.version, len(held.snapshot.routes))
        self._unsent = acknowledgement(held, status="applied")
        try:
            await self._client.post(ACK_PATH, self._unsent)
            self._unsent = None
        finally:  # what is served is what a restart begins with, whether or not anybody hears of it
            await self._save(held)

    async def _refuse(self, lines: list[bytes], exc: SnapshotFormatError) -> None:
        """A delta gets a second chance as a full update; that one is refused for good."""
        log.error("snapshot refused: %s", exc)
        if not self._wants_full and self.held is not None:
            self._wants_full = True
            return
        self._wants_full = False
        version = version_of(lines)
        if version is not None:
            self._unsent = refusal(version)
        raise ChannelError("the snapshot was refused") from exc

    async def _serve(self, held: HeldConfig) -> bool:
        try:
            await self._target.serve(held)
        except Exception:
            # Whatever it is, requests go on with what is there, and the operator is told.
            log.exception("a snapshot cannot be served version=%s", held.version)
            return False
        routes = [] if self.held is None else list(self.held.snapshot.routes)
        self.held = held
        self.on_held()
        slices = Slices()
        for _ in let_go(routes):
            await slices.pause()
        return True

    async def _save(self, held: HeldConfig) -> None:
        if self._files.state is None or self._saved == held.version:
            return
        try:
            await save_config(self._files.state, held)
            self._saved = held.version
        except OSError as exc:
            log.warning("the snapshot was not saved: %s", exc)

    def _backoff_seconds(self) -> float:
        """Full jitter: after an outage thousands of data planes must not come at once."""
        limit = min(LONGEST_BACKOFF_SECONDS, SHORTEST_BACKOFF_SECONDS * 2.0**self._failures)
        return SHORTEST_BACKOFF_SECONDS + self._jitter() * (limit - SHORTEST_BACKOFF_SECONDS)


async def _load(path: Path) -> HeldConfig | None:
    try:
        return await load_config(path)
    except SnapshotFormatError as exc:
        log.warning("%s is not used: %s", path, exc)
        return None
