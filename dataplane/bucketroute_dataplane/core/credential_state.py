"""The life of one set of exchanged credentials: when to use, renew, fetch, refuse and forget them.

Pure: the caller brings the time and the jitter. Times are epoch seconds, because an expiry is.

    empty ──succeeded──▶ fresh ──renew_at──▶ due ──succeeded──▶ fresh
      │                    │                  └─failed─▶ fresh, asked again at retry_at
      └─failed─▶ refused until retry_at, then empty again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.sts import MIN_SERVE_SECONDS, ExchangeFailure

RENEWAL_LEAD_FRACTION = 0.2
MAX_RENEWAL_LEAD_SECONDS = 300.0
MIN_RENEWAL_LEAD_SECONDS = 60.0
RENEWAL_JITTER_FRACTION = 0.1

# Callers wait for what they cannot do without, so a cold key is asked for again soon.
MAX_COLD_BACK_OFF_SECONDS = 8.0
# Nobody waits for a renewal: the old value still serves.
MAX_RENEWAL_BACK_OFF_SECONDS = 60.0
# What nobody asks for is looked at again, so that a trust that was mended shows.
MIN_RECHECK_SECONDS = 30.0
MAX_RECHECK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Use:
    """Sign with these."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Fetch:
    """There is nothing to sign with: exchange, and let callers wait."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An exchange failed a moment ago; do not ask again for `retry_after_seconds`."""

    failure: ExchangeFailure
    retry_after_seconds: int


Step = Use | Fetch | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialState:
    """What is known of one key. `failures` counts the failed exchanges since the last good one."""

    credentials: Credentials | None = None
    renew_at: float = 0.0
    failure: ExchangeFailure | None = None
    failures: int = 0
    retry_at: float = 0.0
    recheck_at: float = 0.0

    def servable(self, now: float) -> Credentials | None:
        """The credentials while they have enough life left for a request to be signed and sent."""
        credentials = self.credentials
        if credentials is None or _expiry(credentials) - now <= MIN_SERVE_SECONDS:
            return None
        return credentials

    def next_step(self, now: float) -> Step:
        """What to do for a caller that needs credentials now."""
        credentials = self.servable(now)
        if credentials is not None:
            return Use(credentials)
        # A clock that was set back must not make a wait of a minute one of an hour.
        if self.failure is not None and now < self.retry_at <= now + MAX_RECHECK_SECONDS:
            return Refused(self.failure, max(1, ceil(self.retry_at - now)))
        return Fetch()

    def background_at(self) -> float:
        """When to exchange with no caller waiting: a renewal, or another look at a failed key."""
        if self.credentials is not None:
            return max(self.renew_at, self.retry_at)
        return self.recheck_at

    def succeeded(self, credentials: Credentials, now: float, jitter: float) -> CredentialState:
        """After an exchange; `jitter` is in [0, 1) and spreads the renewal lead by ±10 %."""
        life = _expiry(credentials) - now
        return CredentialState(
            credentials=credentials, renew_at=now + life - renewal_lead_seconds(life, jitter)
        )

    def failed(self, failure: ExchangeFailure, now: float, jitter: float) -> CredentialState:
        """After an exchange that brought nothing: the old value stays, the next try waits."""
        failures = self.failures + 1
        is_cold = self.servable(now) is None
        longest = MAX_COLD_BACK_OFF_SECONDS if is_cold else MAX_RENEWAL_BACK_OFF_SECONDS
        wait = max(back_off_seconds(failures, longest, jitter), failure.negative_cache_seconds)
        recheck = MIN_RECHECK_SECONDS * 2.0 ** min(failures - 1, 8)
        return replace(
            self,
            credentials=None if is_cold else self.credentials,
            failure=failure,
            failures=failures,
            retry_at=now + wait,
            recheck_at=now + max(wait, min(recheck, MAX_RECHECK_SECONDS)),
        )


def renewal_lead_seconds(life_seconds: float, jitter: float) -> float:
    """How long before the expiry the renewal begins.

    20 % of the life, at most 5 min, ±10 %, never below 60 s; but at most half of the life, so that
    an STS with very short sessions is not asked without a pause.
    """
    lead = min(life_seconds * RENEWAL_LEAD_FRACTION, MAX_RENEWAL_LEAD_SECONDS)
    spread = lead * (1.0 + RENEWAL_JITTER_FRACTION * (2.0 * jitter - 1.0))
    return min(max(spread, MIN_RENEWAL_LEAD_SECONDS), life_seconds / 2.0)


def back_off_seconds(failures: int, longest_seconds: float, jitter: float) -> float:
    """1, 2, 4 … s after the first, second, third failure; up to a quarter is taken off."""
    wait = min(2.0 ** min(failures - 1, 16), longest_seconds)
    return max(1.0, wait * (1.0 - 0.25 * jitter))


def _expiry(credentials: Credentials) -> float:
    return inf if credentials.expires_at is None else credentials.expires_at
