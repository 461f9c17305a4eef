"""Decisions about a publication: may it go out, and which routes do the data planes have.

Times are seconds of one monotonic clock, given by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from bucketroute_operator.core.delta import Rendering, RouteKey
from bucketroute_operator.core.route_words import Revision
from bucketroute_snapshot import Snapshot
from bucketroute_snapshot.update import BucketState, ConfigVersion

# A publication that loses more than this is held: an API server that lost its objects, or a
# policy changed by mistake, should not take every bucket away within a second.
HELD_ABOVE_SHARE = 0.2
HELD_ABOVE_COUNT = 10
HOLD_SECONDS = 60.0


def lost_routes(
    previous: Snapshot | None, following: Snapshot, explained: Collection[str]
) -> frozenset[str]:
    """UIDs of routes that would go without anybody having deleted them (`explained` are UIDs)."""
    if previous is None:
        return frozenset()
    kept = {route.uid for route in following.routes}
    return frozenset(
        route.uid
        for route in previous.routes
        if route.uid not in kept and route.uid not in explained
    )


def is_mass_removal(lost_count: int, previous: Snapshot | None) -> bool:
    if previous is None:
        return False
    return lost_count > HELD_ABOVE_COUNT and lost_count > HELD_ABOVE_SHARE * len(previous.routes)


def route_versions(
    known: Mapping[RouteKey, ConfigVersion],
    changed: Collection[RouteKey],
    following: Rendering,
    version: ConfigVersion,
) -> dict[RouteKey, ConfigVersion]:
    """For each route the first version that has it as it is now."""
    return {key: version if key in changed else known.get(key, version) for key in following.lines}


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialState:
    """What one pod says of one route: `status` is True, False or Unknown; `code` is a reason;
    `bucket` is what it knows of the backend's bucket. A pod of an older release says nothing of
    what it is `about`."""

    status: str
    code: str
    bucket: BucketState = BucketState.UNKNOWN
    about: Revision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """What one gateway pod said last.

    `rejected` is the version that it refused as a whole, if that is newer than what it applied;
    `rejected_routes` are those (`namespace/name`) that it left out of what it applied.
    """

    applied: ConfigVersion | None = None
    rejected: ConfigVersion | None = None
    rejected_routes: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, CredentialState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A condition but for its type; `status` is True, False or Unknown."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The ready gateway pods of a class, and those ready ones that have not been heard yet.

    `is_required` is false where sidecars alone serve the class: their acknowledgements must not be
    able to hold a route back, so a published route counts as programmed.
    """

    is_required: bool
    heard: tuple[PodState, ...] = ()
    unheard_count: int = 0

    @property
    def is_rejecting(self) -> bool:
        return any(pod.rejected is not None or pod.rejected_routes for pod in self.heard)

    @property
    def ready_count(self) -> int:
        return len(self.heard) + self.unheard_count


PROGRAMMED = Outcome(
    status="True", reason="Programmed", message="Every ready data plane serves the route."
)
PUBLISHED = Outcome(
    status="True", reason="Programmed", message="The route is published to the sidecars."
)
NOT_PUBLISHED = Outcome(status="False", reason="Pending", message="The route is not published yet.")
NOT_SERVED = Outcome(
    status="False", reason="Pending", message="The route is published once it is accepted."
)
NO_DATA_PLANE = Outcome(
    status="False", reason="NoDataPlane", message="No pod of the class's gateway is ready."
)


def programmed(route: str, version: ConfigVersion | None, fleet: Fleet) -> Outcome:
    """Whether all ready pods have `route` (`namespace/name`) as of `version`."""
    if version is None:
        return NOT_PUBLISHED
    if not fleet.is_required:
        return PUBLISHED
    if fleet.ready_count == 0:
        return NO_DATA_PLANE
    refusal = _refusal(route, version, fleet.heard)
    if refusal is not None:
        return refusal
    having = sum(_has(pod, version) for pod in fleet.heard)
    if having == fleet.ready_count:
        return PROGRAMMED
    if having == 0:
        return Outcome(
            status="False", reason="Pending", message="No data plane has taken the route up yet."
        )
    return Outcome(
        status="False",
        reason="PartiallyProgrammed",
        message=f"{having} of {fleet.ready_count} data planes have the route.",
    )


def _has(pod: PodState, version: ConfigVersion) -> bool:
    return pod.applied is not None and pod.applied >= version


def _refusal(route: str, version: ConfigVersion, pods: Iterable[PodState]) -> Outcome | None:
    for pod in pods:
        code = pod.rejected_routes.get(route) if _has(pod, version) else None
        if code is not None:
            message = f"A data plane cannot serve the route: {code}."
            return Outcome(status="False", reason="Rejected", message=message)
        if not _has(pod, version) and pod.rejected is not None and pod.rejected >= version:
            message = "A data plane refused the snapshot that holds the route."
            return Outcome(status="False", reason="Rejected", message=message)
    return None


NOT_NEEDED = Outcome(
    status="True", reason="NotNeeded", message="As it is now, the route assumes no role."
)
NOT_TRIED = Outcome(
    status="Unknown", reason="NotTried", message="No data plane has asked the STS yet."
)
_WORST_FIRST = ("False", "Unknown", "True")


def credential_ready(route: str, pods: Iterable[PodState]) -> Outcome:
    """The worst that any ready pod says of a route whose role it assumes."""
    said = [pod.credentials[route] for pod in pods if route in pod.credentials]
    if not said:
        return NOT_TRIED
    worst = min(said, key=lambda state: (_WORST_FIRST.index(state.status), state.code))
    return Outcome(status=worst.status, reason=worst.code, message=_SAID[worst.status])


_SAID = {
    "True": "The STS grants the role to every data plane that asked.",
    "False": "The STS refuses the role, and the reason is its code. Compare the role's ARN, and "
    "its trust policy with the gateway's subject and the class's audience.",
    "Unknown": "The STS has not decided yet.",
}


NO_ANSWER = Outcome(
    status="Unknown",
    reason="NoAnswer",
    message="No data plane has had a usable answer of the backend yet.",
)
_BUCKETS = {
    BucketState.NOT_FOUND: Outcome(
        status="False",
        reason="BackendBucketNotFound",
        message="The backend has no such bucket. Compare the backend's bucket, endpoint and region "
        "or create the bucket: it is looked for every 30 seconds.",
    ),
    BucketState.FOUND: Outcome(
        status="True", reason="BucketFound", message="The backend has the bucket."
    ),
    BucketState.FORBIDDEN: Outcome(
        status="Unknown",
        reason="ListForbidden",
        message="The backend does not tell: the credentials may not list the bucket.",
    ),
    BucketState.UNKNOWN: NO_ANSWER,
}


def is_told_of(route: str, pods: Iterable[PodState]) -> bool:
    """Whether any ready pod has tried, and so said all that it knows for now."""
    said = (pod.credentials[route] for pod in pods if route in pod.credentials)
    return any(state.code != NOT_TRIED.reason for state in said)


def bucket_found(route: str, pods: Iterable[PodState]) -> Outcome:
    """What the ready pods know together."""
    said = (pod.credentials[route].bucket for pod in pods if route in pod.credentials)
    return _BUCKETS[BucketState.of_all(said)]


def synced(fleet: Fleet, having_count: int, rejecting_count: int, *, is_held: bool) -> Outcome:
    """Whether the class's data planes have what was published last, and that is all there is."""
    if is_held:
        message = "A removal of many routes at once is held back for a minute."
        return Outcome(status="False", reason="MassRemovalHeld", message=message)
    if rejecting_count:
        message = f"{rejecting_count} data planes refuse the snapshot."
        return Outcome(status="False", reason="Rejected", message=message)
    if not fleet.is_required:
        return Outcome(status="True", reason="Published", message="The snapshot is published.")
    if fleet.ready_count == 0:
        message = "No pod of the gateway is ready."
        return Outcome(status="False", reason="NoDataPlane", message=message)
    if having_count < fleet.ready_count:
        message = "Some data planes do not have the latest snapshot yet."
        return Outcome(status="False", reason="Pending", message=message)
    return Outcome(status="True", reason="Synced", message="Every ready data plane is up to date.")
