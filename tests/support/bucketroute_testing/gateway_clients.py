"""Data planes that follow an operator and serve nobody: the real config channel in a thread.
They report that every route's bucket is there.

Each is a pod of the cluster that is never scheduled, so that it has a token of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel, ConfigFiles
from bucketroute_dataplane.shell.config_client import ConfigClient, OperatorAddress
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_testing.config_channel import RecordingTarget

# What a test waits for comes sooner than a gateway's word would.
REPORTED_EVERY_SECONDS = 0.5


class ReportingTarget(RecordingTarget):
    """Has everything at hand for whatever it serves."""

    def health(self) -> Iterator[RouteHealth]:
        for route in self.snapshot.routes if self.snapshot is not None else ():
            if route.backend is not None:
                yield RouteHealth(
                    route=f"{route.namespace}/{route.name}",
                    uid=route.uid,
                    generation=route.generation,
                    state="True",
                    code="NotNeeded",
                    at=None,
                    bucket="Found",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """One data plane; `digest` is that of what it serves."""

    channel: ConfigChannel
    target: ReportingTarget

    @property
    def digest(self) -> str:
        held = self.channel.held
        return "" if held is None else held.digest


class GatewayClients:
    """`with GatewayClients(...) as clients:`; `token_files` has one for each data plane."""

    def __init__(
        self, *, url: str, class_name: str, ca_file: Path, token_files: Sequence[Path]
    ) -> None:
        self.followers: list[Follower] = []
        self._addresses = [
            OperatorAddress(url=url, class_name=class_name, ca_file=ca_file, token_file=file)
            for file in token_files
        ]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-clients", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def digests(self) -> set[str]:
        """What they serve; one where all have the same."""
        return {follower.digest for follower in self.followers}

    def _run(self) -> None:
        self._loop.run_until_complete(self._follow())
        self._loop.close()

    async def _follow(self) -> None:
        clients = [ConfigClient(address) for address in self._addresses]
        reporters: list[CredentialReporter] = []
        for client in clients:
            target, clock = ReportingTarget(), SystemClock()
            # No jitter: after a failure they come back as soon as they may.
            channel = ConfigChannel(client, target, ConfigFiles(), clock=clock, jitter=lambda: 0.0)
            reporter = CredentialReporter(
                client, channel, target.health, clock=clock, every_seconds=REPORTED_EVERY_SECONDS
            )
            channel.on_held = reporter.changed
            reporters.append(reporter)
            self.followers.append(Follower(channel=channel, target=target))
        tasks = [asyncio.create_task(each.channel.run()) for each in self.followers]
        tasks += [asyncio.create_task(each.run()) for each in reporters]
        self._is_up.set()
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.close()
