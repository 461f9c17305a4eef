"""The keys of every issuer that callers' tokens may come from.

The cluster's come with the snapshot: an unknown key ID asks for a newer one, once. Those of
external issuers are fetched when they are first needed, kept, and fetched again when they are old
or lack a key; one fetch at a time serves everybody who waits, and belongs to none of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bucketroute_dataplane.core.identity_token import TrustedIssuer
from bucketroute_dataplane.core.jwk import JWKSFormatError, KeySet, VerificationKey, parse_jwks
from bucketroute_dataplane.core.login_errors import sts_error
from bucketroute_dataplane.shell.clock import Clock, within
from bucketroute_dataplane.shell.jwks import JwksUnavailableError
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import ClassSettings

FRESH_SECONDS = 900.0
# Served while the issuer cannot be asked: an outage of it must not lock everybody out at once.
STALE_SECONDS = 24 * 3600.0
# Between two fetches, whatever the reason: anybody can invent key IDs.
RETRY_SECONDS = 30.0
REPOLL_SECONDS = 5.0

_LOGGER = logging.getLogger("bucketroute.dataplane.login")


class KeyFetcher(Protocol):
    """Where external issuers' keys come from: a `JwksClient`."""

    async def fetch(self, issuer: str) -> KeySet:
        """Raises: JwksUnavailableError."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Entry:
    """What is known of one issuer; the times are monotonic seconds, None for never.

    `document` is the cluster's key set as the snapshot has it, read when the first token asks for
    a key: until then the process needs no cipher (`core.primitives`).
    """

    keys: KeySet | None = None
    document: str | None = None
    fetched_at: float = 0.0
    tried_at: float | None = None
    fetching: asyncio.Task[None] | None = None


class IssuerKeys:
    """Looks keys up by issuer and key ID.

    `repoll` asks for the newest configuration and returns when it has been applied; it may be set
    after the start. None where configuration is read from files, which are followed anyway.
    """

    def __init__(self, fetcher: KeyFetcher, *, clock: Clock) -> None:
        self.repoll: Callable[[], Awaitable[None]] | None = None
        self._fetcher = fetcher
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def update(self, settings: ClassSettings) -> None:
        """Use the cluster's keys and the list of issuers of this snapshot from now on."""
        kept = {item.issuer for item in settings.client_issuers}
        if settings.cluster_issuer is not None:
            kept.add(settings.cluster_issuer)
            entry = self._entries.setdefault(settings.cluster_issuer, _Entry())
            if entry.document != settings.cluster_jwks:
                entry.document, entry.keys = settings.cluster_jwks, None
        self._entries = {issuer: self._entries.get(issuer, _Entry()) for issuer in kept}

    def known(self, issuer: TrustedIssuer, key_id: str) -> VerificationKey | None:
        """The key, if it is at hand and fresh."""
        entry = self._entries.get(issuer.issuer)
        if entry is None:
            return None
        keys = _keys_of(issuer, entry)
        if keys is None or (not issuer.is_cluster and self._age(entry) > FRESH_SECONDS):
            return None
        return keys.get(key_id)

    async def find(self, issuer: TrustedIssuer, key_id: str) -> VerificationKey | None:
        """The key, after a fetch where it takes one; None if the issuer has no such key.

        Raises: S3Error IDPCommunicationError if the issuer's keys cannot be had.
        """
        key = self.known(issuer, key_id)
        entry = self._entries.get(issuer.issuer)
        if key is not None or entry is None:
            return key
        await self._refresh(issuer, entry)
        keys = _keys_of(issuer, entry)
        if keys is None or (not issuer.is_cluster and self._age(entry) > STALE_SECONDS):
            raise sts_error("IDPCommunicationError")
        return keys.get(key_id)

    async def close(self) -> None:
        """End what is being fetched, and the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fetcher.close()

    def _age(self, entry: _Entry) -> float:
        return self._clock.monotonic() - entry.fetched_at

    async def _refresh(self, issuer: TrustedIssuer, entry: _Entry) -> None:
        """Fetch, or wait for the fetch under way, or do nothing if the last was a moment ago."""
        now = self._clock.monotonic()
        if entry.fetching is None:
            if entry.tried_at is not None and now - entry.tried_at < RETRY_SECONDS:
                return
            entry.tried_at = now
            work = self._poll(entry) if issuer.is_cluster else self._fetch(issuer.issuer, entry)
            entry.fetching = asyncio.create_task(work)
            self._tasks.add(entry.fetching)
            entry.fetching.add_done_callback(self._tasks.discard)
        # A caller that goes away must not take the fetch from the others.
        await asyncio.shield(entry.fetching)

    async def _fetch(self, issuer: str, entry: _Entry) -> None:
        try:
            entry.keys = await self._fetcher.fetch(issuer)
            entry.fetched_at = self._clock.monotonic()
        except JwksUnavailableError as error:
            _LOGGER.warning("keys of an issuer are not to be had: %s", error)
        finally:
            entry.fetching = None

    async def _poll(self, entry: _Entry) -> None:
        try:
            if self.repoll is not None:
                await within(self._clock, REPOLL_SECONDS, _as_coroutine(self.repoll))
        except TimeoutError:
            _LOGGER.info("no new configuration came for a token with an unknown key")
        finally:
            entry.fetching = None


def repoll(ask_now: Callable[[], None], store: SnapshotStore) -> Callable[[], Awaitable[None]]:
    """Asks the operator to look for new token keys, and waits for the snapshot that has them."""
    is_swapped = asyncio.Event()
    store.subscribe(lambda _index, _secrets: is_swapped.set())

    async def ask_and_wait() -> None:
        is_swapped.clear()
        ask_now()
        await is_swapped.wait()

    return ask_and_wait


async def _as_coroutine(call: Callable[[], Awaitable[None]]) -> None:
    await call()


def _keys_of(issuer: TrustedIssuer, entry: _Entry) -> KeySet | None:
    if issuer.is_cluster and entry.keys is None:
        entry.keys = _cluster_keys(entry.document)
    return entry.keys


def _cluster_keys(document: str | None) -> KeySet:
    """Empty where none came or they cannot be read: then no service account can log in."""
    keys: Mapping[str, VerificationKey] = {}
    try:
        keys = parse_jwks(document or '{"keys": []}')
    except JWKSFormatError as error:
        _LOGGER.warning("the cluster's keys cannot be read: %s", error)
    return keys
