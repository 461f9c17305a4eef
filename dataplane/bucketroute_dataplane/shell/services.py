"""What every exchange of a process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.sealing import SealingRing, TokenSealer
from bucketroute_dataplane.core.sigv4 import SigningKeys
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.backend_credentials import BackendCredentials
from bucketroute_dataplane.shell.limits import BufferBudget, RouteLimits
from bucketroute_dataplane.shell.metrics import Metrics
from bucketroute_dataplane.shell.pool import UpstreamPools
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.watchdog import Watchdog


@dataclass(slots=True, kw_only=True)
class Services:
    """`clock` is monotonic, in seconds (the loop's own has milliseconds only); `now` is the wall
    clock, aware and in UTC."""

    settings: DataplaneSettings
    store: SnapshotStore
    watchdog: Watchdog
    pools: UpstreamPools
    credentials: BackendCredentials
    metrics: Metrics
    clock: Callable[[], float]
    now: Callable[[], datetime]
    limits: RouteLimits
    ring: SealingRing
    buffer_budget: BufferBudget = field(default_factory=BufferBudget)
    inbound_keys: SigningKeys = field(default_factory=SigningKeys)
    outbound_keys: SigningKeys = field(default_factory=SigningKeys)

    def sealer(self, plan: ForwardPlan) -> TokenSealer:
        """Seals list tokens for one route only."""
        return TokenSealer(self.ring, plan.entry.route.uid)
