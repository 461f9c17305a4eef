"""Credentials by web identity, kept so that no request pays for an exchange but the first.

An exchange runs in a task of the cache, not of a request: a caller that goes away ends its own wait
and no other's. A cold key is exchanged at once, and once, however many ask. Renewals are paced.
When to do what is decided in core/credential_state.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import count
from typing import Protocol

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.credential_state import CredentialState, Fetch, Refused, Step, Use
from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.sts import ExchangeFailure, StsUnavailable, client_error
from bucketroute_dataplane.shell.clock import Clock, wait_at_most
from bucketroute_dataplane.shell.credential_events import (
    CredentialKey,
    CredentialObserver,
    ExchangeReport,
)
from bucketroute_dataplane.shell.renewals import RenewalQueue
from bucketroute_dataplane.shell.web_identity import Exchange
from bucketroute_snapshot import WebIdentityAuth

# SDKs give up on a silent server after 60 s, people much sooner; an STS answers in under one.
WAIT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 2
# AWS allows an account far more; a fleet of pods shares that, and nobody waits for a renewal.
RENEWAL_INTERVAL_SECONDS = 0.5
# More routes than one class is meant to have; about 10 KiB each with its policy and token.
MAX_ENTRIES = 10_000

_logger = logging.getLogger("bucketroute.credentials")


class Exchanger(Protocol):
    async def exchange(self, auth: WebIdentityAuth) -> Exchange: ...


class _Entry:
    """One key: what is known, for which token subject, since when, and for whom."""

    __slots__ = ("due_at", "exchange", "is_wanted", "last_used", "renewed_at", "state", "subject")

    def __init__(self, subject: str | None) -> None:
        self.state = CredentialState()
        self.subject = subject
        self.exchange: asyncio.Task[Exchange] | None = None
        self.last_used = 0.0
        self.renewed_at = 0.0
        self.due_at = 0.0
        # Somebody asked for a first look with no request waiting.
        self.is_wanted = False

    @property
    def is_worth_an_exchange(self) -> bool:
        is_in_use = self.state.credentials is not None and self.last_used >= self.renewed_at
        return self.is_wanted or is_in_use


class CredentialCache:
    """Credentials by key. Lives on one event loop; `close()` ends its tasks.

    `jitter` gives numbers in [0, 1), as `random.random` does.
    """

    def __init__(
        self,
        *,
        exchanger: Exchanger,
        clock: Clock,
        jitter: Callable[[], float],
        observers: Sequence[CredentialObserver] = (),
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._exchanger = exchanger
        self._clock = clock
        self._jitter = jitter
        self._observers = tuple(observers)
        self._max_entries = max_entries
        self._entries: dict[CredentialKey, _Entry] = {}
        self._exchanges: set[asyncio.Task[Exchange]] = set()
        self._serials = count()
        # The subject of the token that was read last, and the serial of the exchange that did.
        self._subject: str | None = None
        self._subject_serial = -1
        self._renewals = RenewalQueue(
            clock=clock, interval_seconds=RENEWAL_INTERVAL_SECONDS, renew=self._renew
        )
        self._is_closed = False

    def peek(self, key: CredentialKey) -> Credentials | None:
        """What can be used right now, or None: then `get` must be awaited."""
        entry = self._entries.get(key)
        if entry is None or entry.subject != self._subject:
            return None
        now = self._clock.now()
        entry.last_used = now
        return entry.state.servable(now)

    async def get(self, key: CredentialKey) -> Credentials:
        """What can be used, after an exchange where there is nothing yet.

        Raises: S3Error as `client_error` says if the exchange fails or failed a moment ago;
        BackendUnavailableError SlowDown if it takes longer than WAIT_SECONDS.
        """
        entry = self._entry(key, make_room=True)
        if entry is None or self._is_closed:
            raise _slow_down("there is no room for more credentials")
        entry.last_used = self._clock.now()
        step = self._step(entry)
        if isinstance(step, Fetch):
            step = await self._wait(key, entry)
        match step:
            case Use():
                return step.credentials
            case Refused():
                raise client_error(step.failure, retry_after_seconds=step.retry_after_seconds)
            case Fetch():
                raise _slow_down("the exchange of credentials took too long")

    def prefetch(self, key: CredentialKey) -> None:
        """Exchange in the background, paced, unless there is a value: nobody waits for it."""
        entry = self._entry(key, make_room=False)
        now = self._clock.now()
        if entry is None or entry.exchange or isinstance(self._step(entry), Use):
            return
        entry.is_wanted = True
        self._schedule(key, entry, now)

    def retain(self, keys: Collection[CredentialKey]) -> None:
        """Forget every key but these."""
        for key in [key for key in self._entries if key not in keys]:
            self._drop(key)

    async def close(self) -> None:
        """Cancel every exchange and renewal; callers that wait get their 503."""
        self._is_closed = True
        await self._renewals.close()
        exchanges = set(self._exchanges)
        for task in exchanges:
            task.cancel()
        await asyncio.gather(*exchanges, return_exceptions=True)

    def _entry(self, key: CredentialKey, *, make_room: bool) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            return entry
        if len(self._entries) >= self._max_entries and not (make_room and self._evict()):
            return None
        entry = self._entries[key] = _Entry(self._subject)
        return entry

    def _evict(self) -> bool:
        """Make room: the key that was used longest ago goes, unless it is being exchanged."""
        idle = [
            (entry.last_used, key) for key, entry in self._entries.items() if not entry.exchange
        ]
        if not idle:
            return False
        self._drop(min(idle, key=lambda item: item[0])[1])
        return True

    def _drop(self, key: CredentialKey) -> None:
        del self._entries[key]
        for observer in self._observers:
            observer.dropped(key)

    def _step(self, entry: _Entry) -> Step:
        if entry.subject != self._subject:
            return Fetch()
        return entry.state.next_step(self._clock.now())

    async def _wait(self, key: CredentialKey, entry: _Entry) -> Step:
        began = self._clock.monotonic()
        task = entry.exchange or self._start(key, entry)
        is_done = await wait_at_most(self._clock, WAIT_SECONDS, task)
        step = self._step(entry) if is_done else Fetch()
        if isinstance(step, Fetch) and is_done and not task.cancelled():
            # The answer is already too old to keep, but it is the answer to this very wait.
            outcome = _result(task).outcome
            if not isinstance(outcome, Credentials):
                step = Refused(failure=outcome, retry_after_seconds=RETRY_AFTER_SECONDS)
        seconds = self._clock.monotonic() - began
        for observer in self._observers:
            observer.waited(key, seconds=seconds, served=isinstance(step, Use))
        return step

    def _start(self, key: CredentialKey, entry: _Entry) -> asyncio.Task[Exchange]:
        task = asyncio.ensure_future(self._exchanger.exchange(key.auth))
        entry.exchange = task
        self._exchanges.add(task)
        # Added before any waiter's callback, so that waiters find the state already settled.
        task.add_done_callback(
            partial(self._settle, key, entry, next(self._serials), self._clock.monotonic())
        )
        return task

    def _settle(
        self,
        key: CredentialKey,
        entry: _Entry,
        serial: int,
        began: float,
        task: asyncio.Task[Exchange],
    ) -> None:
        entry.exchange = None
        self._exchanges.discard(task)
        if task.cancelled():
            return
        exchange = _result(task)
        self._learn_subject(exchange, serial)
        self._apply(entry, exchange)
        self._schedule(key, entry, entry.state.background_at())
        self._report(key, entry, exchange, duration_seconds=self._clock.monotonic() - began)

    def _apply(self, entry: _Entry, exchange: Exchange) -> None:
        now, token = self._clock.now(), exchange.token
        subject = self._subject if token is None else token.subject
        state = entry.state if entry.subject == subject else CredentialState()
        entry.subject = subject
        if isinstance(exchange.outcome, Credentials):
            entry.state = state.succeeded(exchange.outcome, now, self._jitter())
            entry.renewed_at, entry.is_wanted = now, False
        else:
            entry.state = state.failed(exchange.outcome, now, self._jitter())
            if state.credentials is not None and entry.state.credentials is None:
                entry.is_wanted = True  # refused until it ran out: a repair is to be seen

    def _learn_subject(self, exchange: Exchange, serial: int) -> None:
        """Exchanges may end in another order than they read the token in."""
        if exchange.token is not None and serial > self._subject_serial:
            self._subject = exchange.token.subject
            self._subject_serial = serial

    def _report(
        self, key: CredentialKey, entry: _Entry, exchange: Exchange, *, duration_seconds: float
    ) -> None:
        now = self._clock.now()
        outcome, serving = exchange.outcome, entry.state.servable(now)
        failure = None if isinstance(outcome, Credentials) else outcome
        if failure is not None:
            _log_failure(key.auth, failure)
        report = ExchangeReport(
            key=key,
            failure=failure,
            at=now,
            duration_seconds=duration_seconds,
            expires_at=serving.expires_at if serving else None,
            token_issued_at=exchange.token.issued_at if exchange.token else None,
        )
        for observer in self._observers:
            observer.exchanged(report)

    def _schedule(self, key: CredentialKey, entry: _Entry, at: float) -> None:
        entry.due_at = at
        self._renewals.add(key, at)

    def _renew(self, key: CredentialKey, at: float) -> bool:
        """Renew what is due, or drop it if nobody needs it."""
        entry = self._entries.get(key)
        if entry is None or entry.due_at != at or entry.exchange is not None:
            return False
        if not entry.is_worth_an_exchange:
            self._drop(key)
            return False
        self._start(key, entry)
        return True


def _result(task: asyncio.Task[Exchange]) -> Exchange:
    error = task.exception()
    if error is None:
        return task.result()
    _logger.error("sts_exchange_broken", exc_info=error)
    detail = f"the exchange raised {type(error).__name__}"
    return Exchange(outcome=StsUnavailable(detail=detail, code="InternalError"), token=None)


def _slow_down(detail: str) -> BackendUnavailableError:
    return BackendUnavailableError("SlowDown", detail, retry_after_seconds=RETRY_AFTER_SECONDS)


def _log_failure(auth: WebIdentityAuth, failure: ExchangeFailure) -> None:
    _logger.warning(
        "sts_exchange_failed sts_endpoint=%s role_arn=%s session_name=%s code=%s detail=%r",
        auth.sts_endpoint,
        auth.role_arn,
        auth.session_name,
        failure.code,
        failure.detail,
    )
