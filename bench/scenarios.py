"""What is measured, and which ratios are demanded of BucketRoute."""

from dataclasses import dataclass
from enum import Enum

KiB = 1024
MiB = 1024 * KiB


class Tls(Enum):
    """Which side of the proxy speaks TLS."""

    NONE = "none"
    CLIENT = "https client"
    BACKEND = "https backend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    method: str
    size_bytes: int
    concurrency: int
    is_hashed: bool = False
    """The client signs the SHA-256 of its body, which the proxy then has to read and check."""
    tls: Tls = Tls.NONE
    read_bytes_per_second: int = 0
    """How fast whoever receives the bodies reads each of them: the client those of a GET, the
    backend those of a PUT. 0: as fast as they come."""

    @property
    def name(self) -> str:
        parts = [f"{self.method} {self.size} c{self.concurrency}"]
        if self.is_hashed:
            parts.append("client SHA-256")
        if self.tls is not Tls.NONE:
            parts.append(self.tls.value)
        if self.read_bytes_per_second:
            parts.append("slow client" if self.method == "GET" else "slow backend")
        return ", ".join(parts)

    @property
    def size(self) -> str:
        if self.size_bytes >= MiB:
            return f"{self.size_bytes // MiB} MiB"
        return f"{self.size_bytes // KiB} KiB"

    @property
    def is_small(self) -> bool:
        """Whether the cost is that of a request, rather than that of its bytes."""
        return self.size_bytes < MiB

    @property
    def shortest_seconds(self) -> float:
        """What a request lasts at the least, since its reader is slow."""
        return self.size_bytes / self.read_bytes_per_second if self.read_bytes_per_second else 0.0

    def window_seconds(self, usual: float) -> float:
        """Long enough for a slow request to be measured as a whole."""
        return max(usual, 1.5 * self.shortest_seconds)

    @property
    def max_rounds(self) -> int | None:
        """Slow readers are there for the peak of memory, which more rounds do not make truer."""
        return 2 if self.read_bytes_per_second else None


class Measure(Enum):
    CPU = "CPU"
    P50 = "p50"
    P99 = "p99"
    RSS = "peak RSS, MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The median of the same-round ratios of BucketRoute to `peer` is at most `limit`; without a
    peer, BucketRoute's own figure is. `aim` is what it should become."""

    scenario: Scenario
    peer: str | None
    limit: float
    aim: float | None = None
    measure: Measure = Measure.CPU


def _pair(size_bytes: int, concurrency: int, *, tls: Tls = Tls.NONE) -> tuple[Scenario, Scenario]:
    get = Scenario(method="GET", size_bytes=size_bytes, concurrency=concurrency, tls=tls)
    put = Scenario(method="PUT", size_bytes=size_bytes, concurrency=concurrency, tls=tls)
    return get, put


def _slow(method: str) -> Scenario:
    """64 streams at 8 MiB/s, half a GiB/s together: less than any of the proxies moves. 32 MiB are
    more than the buffers that the kernel has for such a stream, so that the proxy feels it."""
    return Scenario(
        method=method,
        size_bytes=32 * MiB,
        concurrency=64,
        read_bytes_per_second=8 * MiB,
    )


_SMALL_C1 = _pair(4 * KiB, 1)
_SMALL_C16 = _pair(4 * KiB, 16)
_MEDIUM_C8 = _pair(1 * MiB, 8)
_LARGE_C1 = _pair(64 * MiB, 1)
_LARGE_C4 = _pair(64 * MiB, 4)
_LARGE_C16 = _pair(64 * MiB, 16)
_HASHED = Scenario(method="PUT", size_bytes=64 * MiB, concurrency=4, is_hashed=True)
_SLOW = (_slow("GET"), _slow("PUT"))
_LARGE_TO_HTTPS = (
    *_pair(64 * MiB, 1, tls=Tls.BACKEND),
    *_pair(64 * MiB, 4, tls=Tls.BACKEND),
)

QUICK = (*_SMALL_C16, *_LARGE_C4)

TLS = (
    *_pair(4 * KiB, 16, tls=Tls.CLIENT),
    *_pair(64 * MiB, 4, tls=Tls.CLIENT),
    *_pair(4 * KiB, 16, tls=Tls.BACKEND),
    *_LARGE_TO_HTTPS,
)

FULL = (
    *(s for concurrency in (1, 4, 16) for s in _pair(4 * KiB, concurrency)),
    *(s for concurrency in (1, 4, 8, 16) for s in _pair(1 * MiB, concurrency)),
    *(s for concurrency in (1, 4, 16) for s in _pair(64 * MiB, concurrency)),
    _HASHED,
    *_SLOW,
    *TLS,
)

# Wide: two minutes on a machine that does other things as well must do.
QUICK_GOALS = (
    *(Goal(scenario=s, peer="nginx", limit=9.0) for s in _SMALL_C16),
    *(Goal(scenario=s, peer="nginx", limit=1.5) for s in _LARGE_C4),
)

TLS_GOALS = tuple(Goal(scenario=s, peer="nginx", limit=1.6, aim=1.2) for s in _LARGE_TO_HTTPS)

FULL_GOALS = (
    *(Goal(scenario=s, peer="envoy", limit=1.0, aim=0.65) for s in _SMALL_C16),
    *(Goal(scenario=s, peer="nginx", limit=4.5, aim=3.0) for s in _SMALL_C16),
    *(Goal(scenario=s, peer="nginx", limit=1.8, aim=1.2) for s in _MEDIUM_C8),
    *(Goal(scenario=s, peer="nginx", limit=0.85, aim=0.65) for s in _LARGE_C1),
    Goal(scenario=_LARGE_C4[0], peer="nginx", limit=0.8, aim=0.5),
    Goal(scenario=_LARGE_C16[1], peer="nginx", limit=0.6, aim=0.5),
    *(
        Goal(scenario=s, peer="multistore", limit=0.7, aim=0.5)
        for s in (*_LARGE_C1, *_LARGE_C4, *_LARGE_C16)
    ),
    *(Goal(scenario=s, peer="multistore-unsigned", limit=1.1, aim=0.75) for s in _SMALL_C16),
    *TLS_GOALS,
    Goal(scenario=_SMALL_C1[0], peer="envoy", limit=1.0, measure=Measure.P50),
    Goal(scenario=_SMALL_C1[0], peer="envoy", limit=1.2, measure=Measure.P99),
    Goal(scenario=_LARGE_C16[1], peer=None, limit=60.0, aim=40.0, measure=Measure.RSS),
    *(Goal(scenario=s, peer=None, limit=80.0, aim=60.0, measure=Measure.RSS) for s in _SLOW),
)
