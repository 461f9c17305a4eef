"""What one window showed, and whether its figures may be used."""

from dataclasses import dataclass

from bench.processes import BackendCounts
from bench.scenarios import Scenario
from bench.targets import Signer, Target

GiB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the generator saw. `cpu_seconds` is the proxy's; percentiles are of whole requests."""

    began: int
    answered: int
    completed: int
    failed: int
    wrong_bodies: int
    reconnects: int
    bytes: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    first_error: str

    @property
    def requests_per_second(self) -> float:
        return self.completed / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def cpu_seconds_per_1000_requests(self) -> float:
        return self.cpu_seconds / self.completed * 1000

    @property
    def cpu_seconds_per_gib(self) -> float:
        return self.cpu_seconds / self.bytes * GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One target under one scenario in one round."""

    round_number: int
    target: str
    scenario: Scenario
    load: Load | None
    backend: BackendCounts
    peak_rss_bytes: int
    problems: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether its figures may be used."""
        return self.load is not None and not self.problems


def problems_of(
    target: Target, scenario: Scenario, load: Load | None, backend: BackendCounts
) -> list[str]:
    """Why the figures of a window may not be used; empty when they may."""
    facts = [
        *_signature_facts(target.signer, backend),
        (backend.chunked_uploads, "uploads reached the backend chunked"),
        (backend.wrong_bodies, "uploads reached the backend with a wrong body"),
        (backend.short_bodies, "uploads reached the backend cut short"),
    ]
    if load is not None:
        reached = backend.uploads if scenario.method == "PUT" else backend.requests
        facts += [
            (load.failed, f"requests failed ({load.first_error})"),
            (load.wrong_bodies, "pieces of answers were wrong"),
            (max(0, load.answered - reached), "answers came without the backend"),
            (
                int(load.completed == 0),
                "window without one complete request (use longer --seconds)",
            ),
            (
                int(0 < load.p50_us / 1e6 < scenario.shortest_seconds),
                "window whose readers were faster than they should have been",
            ),
        ]
    return [f"{count} {text}" for count, text in facts if count]


def _signature_facts(signer: Signer, backend: BackendCounts) -> list[tuple[int, str]]:
    signed = backend.signed_by_backend_key + backend.signed_by_other_key
    match signer:
        case Signer.NOBODY:
            return [(signed, "backend requests were signed, which they should not be")]
        case Signer.CLIENT:
            return [(backend.unsigned_requests, "backend requests were not signed")]
        case Signer.BACKEND:
            return [
                (backend.unsigned_requests, "backend requests were not signed"),
                (backend.signed_by_other_key, "backend requests bore another key's signature"),
            ]
