"""How long the event loop is kept by the longest step of taking up a snapshot.

In CPU time of the loop's own thread, so that it is the code that is measured and not the machine:
what a request waits for a swap at the most, on a core that is the gateway's. In this process, by
the data plane's own channel code; a full update, and one of a single route.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import replace
from time import thread_time

from bench.control.figures import Figure
from bench.control.snapshots import held_config
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel, ConfigFiles
from bucketroute_dataplane.shell.config_client import ConfigClient
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_dataplane.shell.server import dataplane
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import snapshot_digest
from bucketroute_snapshot.codec import snapshot_lines
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion, UpdateHeader


class _Operator(ConfigClient):
    """One that sends what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.updates: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self.acknowledged = asyncio.Event()

    async def poll(
        self,
        known: ConfigVersion | None,
        digest: str,
        wait_seconds: int,
        *,
        fresh: bool = False,
    ) -> list[bytes] | None:
        return await self.updates.get()

    async def post(self, path: str, body: Mapping[str, object]) -> None:
        self.acknowledged.set()


class _Steps:
    """The longest time between two turns of the loop."""

    def __init__(self, operator: _Operator) -> None:
        self._operator = operator
        self._longest_seconds = 0.0

    async def run(self) -> None:
        last = thread_time()
        while True:
            await asyncio.sleep(0)
            now = thread_time()
            self._longest_seconds = max(self._longest_seconds, now - last)
            last = now

    async def taking(self, lines: list[bytes]) -> float:
        """Milliseconds."""
        for _ in range(2):  # what led here is no part of it
            await asyncio.sleep(0)
        self._longest_seconds = 0.0
        self._operator.acknowledged.clear()
        self._operator.updates.put_nowait(lines)
        await self._operator.acknowledged.wait()
        return self._longest_seconds * 1000


def longest(count: int) -> list[Figure]:
    return asyncio.run(_longest(count))


async def _longest(count: int) -> list[Figure]:
    one = held_config(count, stub_port=1)
    two = _edited(one)
    three = replace(one, version=ConfigVersion(epoch=2, counter=1))
    updates = (_full(one), _delta(one, two), _full(three))
    store, operator = SnapshotStore(), _Operator()
    channel = ConfigChannel(operator, store, ConfigFiles(), clock=SystemClock())
    gc.freeze()  # what a gateway does not have: the updates that are to come, as objects
    async with dataplane(DataplaneSettings(), store):
        steps = _Steps(operator)
        tasks = [asyncio.create_task(work) for work in (steps.run(), channel.run())]
        first, edit, again = [await steps.taking(lines) for lines in updates]
        for task in tasks:
            task.cancel()
    return [
        Figure(
            name=f"longest step of a swap, {what}, {count:,} routes", value=ms, unit="ms", goal=20
        )
        for what, ms in (("all routes", max(first, again)), ("one route", edit))
    ]


def _edited(held: HeldConfig) -> HeldConfig:
    """With another generation of the route in the middle."""
    routes = list(held.snapshot.routes)
    number = len(routes) // 2
    routes[number] = replace(routes[number], generation=2)
    snapshot = replace(held.snapshot, routes=tuple(routes))
    _, *lines = snapshot_lines(snapshot)
    return replace(
        held,
        version=ConfigVersion(epoch=1, counter=2),
        digest=snapshot_digest(snapshot),
        snapshot=snapshot,
        lines=dict(zip(held.lines, lines, strict=True)),
    )


def _full(held: HeldConfig) -> list[bytes]:
    update = UpdateHeader(version=held.version, digest=held.digest)
    return [update.encode(), NO_SECRETS, held.header, *held.lines.values()]


def _delta(base: HeldConfig, held: HeldConfig) -> list[bytes]:
    update = UpdateHeader(version=held.version, digest=held.digest, base=base.version)
    changed = [line for key, line in held.lines.items() if base.lines[key] != line]
    return [update.encode(), NO_SECRETS, held.header, *changed]
