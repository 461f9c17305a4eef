"""What every exchange of a process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from bucketroute_dataplane.core.authenticate import Trust
from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.sealing import SealingRing, TokenSealer
from bucketroute_dataplane.core.sigv4 import SigningKeys, format_amz_date
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.access_log import AccessLog
from bucketroute_dataplane.shell.backend_credentials import BackendCredentials
from bucketroute_dataplane.shell.bucket_checks import BucketChecks
from bucketroute_dataplane.shell.issuer_keys import IssuerKeys
from bucketroute_dataplane.shell.limits import UNPROVED_BUDGET_BYTES, BufferBudget, RouteLimits
from bucketroute_dataplane.shell.metrics import Metrics
from bucketroute_dataplane.shell.pool import UpstreamPools
from bucketroute_dataplane.shell.sidecar import Sidecar
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.watchdog import Watchdog


@dataclass(slots=True, kw_only=True)
class Services:
    """`clock` is monotonic, in seconds (the loop's own has milliseconds only); `epoch` is the wall
    clock, in epoch seconds. `sidecar` is None in a gateway."""

    settings: DataplaneSettings
    store: SnapshotStore
    watchdog: Watchdog
    pools: UpstreamPools
    credentials: BackendCredentials
    metrics: Metrics
    clock: Callable[[], float]
    epoch: Callable[[], float]
    limits: RouteLimits
    ring: SealingRing
    issuer_keys: IssuerKeys
    trust: Trust
    access_log: AccessLog
    buckets: BucketChecks
    sidecar: Sidecar | None = None
    buffer_budget: BufferBudget = field(default_factory=BufferBudget)
    login_budget: BufferBudget = field(default_factory=lambda: BufferBudget(UNPROVED_BUDGET_BYTES))
    unproved_budget: BufferBudget = field(
        default_factory=lambda: BufferBudget(UNPROVED_BUDGET_BYTES)
    )
    inbound_keys: SigningKeys = field(default_factory=SigningKeys)
    outbound_keys: SigningKeys = field(default_factory=SigningKeys)
    _dated: int = -1
    _amz_date: bytes = b""
    _http_date: bytes = b""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""
        return datetime.fromtimestamp(self.epoch(), UTC)

    def amz_date(self) -> bytes:
        """The present second as SigV4 writes it; formatted once a second."""
        if int(self.epoch()) != self._dated:
            self._format_dates()
        return self._amz_date

    def http_date(self) -> bytes:
        """The present second as a Date header has it (RFC 9110 §6.6.1)."""
        if int(self.epoch()) != self._dated:
            self._format_dates()
        return self._http_date

    def _format_dates(self) -> None:
        self._dated = int(self.epoch())
        now = datetime.fromtimestamp(self._dated, UTC)
        self._amz_date = format_amz_date(now)
        self._http_date = format_datetime(now, usegmt=True).encode()

    def sealer(self, plan: ForwardPlan) -> TokenSealer:
        """Seals list tokens for one route only."""
        return TokenSealer(self.ring, plan.entry.route.uid)
