"""Whether each route's credentials can be had: what the condition CredentialReady is made of.

Codes only: what an STS says in words stays in the log.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from bucketroute_dataplane.core.sts import StsRefusal
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport


class HealthState(Enum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHealth:
    """`code` is a reason; `at` the epoch seconds of the exchange that told, None without one."""

    state: HealthState
    code: str
    at: float | None = None


NOT_NEEDED = KeyHealth(state=HealthState.TRUE, code="NotNeeded")
SECRET_MISSING = KeyHealth(state=HealthState.FALSE, code="SecretMissing")
NOT_TRIED = KeyHealth(state=HealthState.UNKNOWN, code="NotTried")


class CredentialHealth:
    """Implements `CredentialObserver`: remembers how the last exchange of each key ended."""

    def __init__(self) -> None:
        self._healths: dict[CredentialKey, KeyHealth] = {}

    def of(self, key: CredentialKey) -> KeyHealth:
        return self._healths.get(key, NOT_TRIED)

    def retain(self, keys: Collection[CredentialKey]) -> None:
        """Forget every key but these."""
        self._healths = {key: health for key, health in self._healths.items() if key in keys}

    def exchanged(self, report: ExchangeReport) -> None:
        self._healths[report.key] = _health(report)

    def waited(self, key: CredentialKey, *, seconds: float, served: bool) -> None:
        pass

    def dropped(self, key: CredentialKey) -> None:
        """Keeps what is known: a route that nobody uses is as healthy as it was."""


def _health(report: ExchangeReport) -> KeyHealth:
    failure = report.failure
    if failure is None:
        return KeyHealth(state=HealthState.TRUE, code="Exchanged", at=report.at)
    # A refusal for good tells of a trust that was taken away, though the session still serves; an
    # STS that is away for a while does not.
    is_for_good = isinstance(failure, StsRefusal) and not failure.retryable
    state = HealthState.FALSE if is_for_good or report.expires_at is None else HealthState.TRUE
    return KeyHealth(state=state, code=failure.code, at=report.at)
