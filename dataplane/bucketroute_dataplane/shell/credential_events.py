"""What the credential cache is keyed by, and what it tells metrics and health about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from bucketroute_dataplane.core.sts import ExchangeFailure
from bucketroute_snapshot import Backend, WebIdentityAuth


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """Which credentials: everything that decides what an exchange gives, but the token's subject.

    The subject is known only when the token file is read, at an exchange; the cache holds it beside
    the key and never serves what another subject was given.
    """

    auth: WebIdentityAuth
    region: str
    # Every request looks one up, and an auth has many fields: hashed once.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.auth, self.region)))

    def __hash__(self) -> int:
        return self._hash


def key_of(backend: Backend, auth: WebIdentityAuth) -> CredentialKey:
    """`auth` is the backend's."""
    return CredentialKey(auth, backend.region)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeReport:
    """The end of one exchange. Times are epoch seconds.

    `expires_at` is the end of what is served from now on, the old value after a failed renewal;
    None if there is nothing to serve. `token_issued_at` is of the token that was sent.
    """

    key: CredentialKey
    failure: ExchangeFailure | None
    at: float
    duration_seconds: float
    expires_at: float | None
    token_issued_at: float | None


class CredentialObserver(Protocol):
    """Is told what happens, at once and on the event loop; it must not raise."""

    def exchanged(self, report: ExchangeReport) -> None: ...

    def waited(self, key: CredentialKey, *, seconds: float, served: bool) -> None:
        """A caller waited for cold credentials, and was served or got an error."""
        ...

    def dropped(self, key: CredentialKey) -> None:
        """The cache holds nothing for this key any more."""
        ...
