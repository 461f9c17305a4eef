"""Who holds a virtual bucket's name: the holder keeps it, the oldest claim gets a free one.

A claim counts from the moment it is accepted, not from the creation of the object: otherwise an
old route that a class once refused could take a name later. So whoever held a name in the previous
snapshot goes first, and age orders only those who wait. Within its own namespace every namespace
has one route per name, whoever holds it class-wide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.resources import Metadata
from bucketroute_snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHolder:
    """A name that a route had in the previous snapshot of a class.

    Where its route is gone the name stays with the holder's namespace; `is_reserved` says that the
    route was gone before, and that this goes on (the cool-down after a deletion).
    """

    class_name: str
    bucket: str
    namespace: str
    uid: str
    is_exported: bool = True
    is_reserved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A route that wants a name. `is_accepted` is false for one that is broken or refused."""

    metadata: Metadata
    bucket: str
    is_accepted: bool


class Placement(Enum):
    """EXPORTED: serves the whole class. LOCAL: its own namespace only. LOST: nobody."""

    EXPORTED = "Exported"
    LOCAL = "Local"
    LOST = "Lost"


def holders_of(snapshot: Snapshot) -> tuple[NameHolder, ...]:
    """The holders to give to the next compilation."""
    return tuple(
        NameHolder(
            class_name=snapshot.settings.name,
            bucket=route.bucket,
            namespace=route.namespace,
            uid=route.uid,
            is_exported=route.exported,
        )
        for route in snapshot.routes
    )


def place_claims(
    claims: Iterable[Claim], holders: Iterable[NameHolder]
) -> dict[ObjectRef, Placement]:
    """The placement of every claim of one class."""
    by_bucket: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_bucket[claim.bucket].append(claim)
    held: defaultdict[str, list[NameHolder]] = defaultdict(list)
    for holder in holders:
        held[holder.bucket].append(holder)
    placements: dict[ObjectRef, Placement] = {}
    for bucket, rivals in by_bucket.items():
        placements.update(_place_rivals(rivals, held[bucket]))
    return placements


def _place_rivals(
    rivals: Sequence[Claim], holders: Sequence[NameHolder]
) -> dict[ObjectRef, Placement]:
    placements = dict.fromkeys((claim.metadata.ref for claim in rivals), Placement.LOST)
    by_namespace: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in rivals:
        by_namespace[claim.metadata.namespace].append(claim)
    held_uids = {holder.uid for holder in holders}
    local = [
        min(own, key=lambda claim: _seniority(claim, held_uids)) for own in by_namespace.values()
    ]
    placements.update((claim.metadata.ref, Placement.LOCAL) for claim in local)
    claiming = {claim.metadata.uid for claim in rivals}
    exported = _class_wide_holder(
        local,
        [
            # Whose route is gone by now has a cool-down, too, which begins with this compilation.
            holder if holder.uid in claiming else replace(holder, is_reserved=True)
            for holder in holders
            if holder.is_exported
        ],
    )
    if exported is not None:
        placements[exported.metadata.ref] = Placement.EXPORTED
    return placements


def _class_wide_holder(claims: Sequence[Claim], holders: Sequence[NameHolder]) -> Claim | None:
    held_uids = {holder.uid for holder in holders}
    candidates = [claim for claim in claims if claim.is_accepted or claim.metadata.uid in held_uids]
    reserved_for = {holder.namespace for holder in holders if holder.is_reserved}
    if reserved_for:
        candidates = [claim for claim in candidates if claim.metadata.namespace in reserved_for]
    return min(candidates, key=lambda claim: _seniority(claim, held_uids), default=None)


def _seniority(claim: Claim, held_uids: set[str]) -> tuple[bool, bool, str, ObjectRef]:
    metadata = claim.metadata
    return (
        metadata.uid not in held_uids,
        not claim.is_accepted,
        metadata.created_at,
        metadata.ref,
    )
