"""A credential cache on a fake clock, with a token file and an STS in process."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport
from bucketroute_dataplane.shell.credential_health import CredentialHealth
from bucketroute_dataplane.shell.credentials import MAX_ENTRIES, CredentialCache
from bucketroute_dataplane.shell.sts_client import StsClient
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_dataplane.shell.web_identity import WebIdentityExchanger
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.web_identity import ScriptedSts, projected_token, web_identity_auth

REGION = "eu-central-1"


def credential_key(role: str = "uploads", region: str = REGION) -> CredentialKey:
    return CredentialKey(web_identity_auth(role=role), region)


@dataclass(kw_only=True)
class RecordingObserver:
    """Implements `CredentialObserver`: keeps what it is told."""

    reports: list[ExchangeReport] = field(default_factory=list)
    waits: list[tuple[CredentialKey, float, bool]] = field(default_factory=list)
    drops: list[CredentialKey] = field(default_factory=list)

    def exchanged(self, report: ExchangeReport) -> None:
        self.reports.append(report)

    def waited(self, key: CredentialKey, *, seconds: float, served: bool) -> None:
        self.waits.append((key, seconds, served))

    def dropped(self, key: CredentialKey) -> None:
        self.drops.append(key)


class CacheBench:
    """The cache and all that it talks to."""

    def __init__(self, directory: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.clock = FakeClock()
        self.token_file = directory / "token"
        self.token_file.write_text(projected_token())
        self.sts = ScriptedSts(clock=self.clock)
        self.observer = RecordingObserver()
        self.health = CredentialHealth()
        self.client = StsClient(clock=self.clock, transport_factory=self.sts.transport)
        self.cache = CredentialCache(
            exchanger=WebIdentityExchanger(
                tokens=TokenFile(self.token_file), sts=self.client, clock=self.clock
            ),
            clock=self.clock,
            # The middle: a renewal lead of exactly 5 min for an hour.
            jitter=lambda: 0.5,
            observers=[self.observer, self.health],
            max_entries=max_entries,
        )

    async def close(self) -> None:
        await self.cache.close()
        await self.client.close()

    def ask(self, key: CredentialKey | None = None) -> asyncio.Task[Credentials]:
        """A caller that needs credentials now."""
        return asyncio.ensure_future(self.cache.get(key or credential_key()))

    async def get(self, key: CredentialKey | None = None) -> Credentials:
        asking = self.ask(key)
        await self.clock.settle()
        assert asking.done()
        return asking.result()

    async def error(self, key: CredentialKey | None = None) -> S3Error:
        """What a caller gets, who must not have to wait for it."""
        asking = self.ask(key)
        await self.clock.settle()
        assert asking.done()
        error = asking.exception()
        assert isinstance(error, S3Error)
        return error

    async def use_until(self, seconds: float, key: CredentialKey | None = None) -> None:
        """Let time pass with a request every minute that takes what there is."""
        for _ in range(int(seconds // 60)):
            self.cache.peek(key or credential_key())
            await self.clock.advance(60)
        await self.clock.advance(seconds % 60)
