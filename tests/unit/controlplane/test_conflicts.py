"""Who gets a virtual bucket's name."""

from __future__ import annotations

from bucketroute_operator.core.conflicts import Claim, NameHolder, Placement, place_claims
from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.resources import Metadata

EXPORTED, LOCAL, LOST = Placement.EXPORTED, Placement.LOCAL, Placement.LOST


def claim(namespace: str, *, name: str = "r", age: int = 1, is_accepted: bool = True) -> Claim:
    """A claim of the name `data`; a higher age is older."""
    return Claim(
        metadata=Metadata(
            ref=ObjectRef(kind="BucketRoute", namespace=namespace, name=name),
            uid=f"{namespace}/{name}",
            generation=1,
            created_at=f"2026-01-{30 - age:02}T00:00:00Z",
        ),
        bucket="data",
        is_accepted=is_accepted,
    )


def holder(
    namespace: str, *, uid: str = "", is_exported: bool = True, is_reserved: bool = False
) -> NameHolder:
    return NameHolder(
        class_name="default",
        bucket="data",
        namespace=namespace,
        uid=uid or f"{namespace}/r",
        is_exported=is_exported,
        is_reserved=is_reserved,
    )


def placed(*claims: Claim, holders: tuple[NameHolder, ...] = ()) -> list[Placement]:
    placements = place_claims(claims, holders)
    return [placements[item.metadata.ref] for item in claims]


def test_the_oldest_claim_gets_a_free_name_and_the_loser_serves_its_own_namespace() -> None:
    assert placed(claim("team-a", age=1), claim("team-b", age=2)) == [LOCAL, EXPORTED]


def test_claims_of_one_age_go_by_namespace_and_name() -> None:
    assert placed(claim("team-b"), claim("team-a")) == [LOCAL, EXPORTED]


def test_the_holder_keeps_the_name_against_an_older_claim() -> None:
    claims = (claim("team-a", age=1), claim("team-b", age=9))
    assert placed(*claims, holders=(holder("team-a"),)) == [EXPORTED, LOCAL]


def test_a_holder_that_is_broken_now_keeps_the_name() -> None:
    claims = (claim("team-a", is_accepted=False), claim("team-b", age=9))
    assert placed(*claims, holders=(holder("team-a"),)) == [EXPORTED, LOCAL]


def test_a_claim_that_was_never_accepted_gets_no_class_wide_name() -> None:
    assert placed(claim("team-a", is_accepted=False)) == [LOCAL]


def test_a_second_route_of_a_namespace_gets_nothing() -> None:
    claims = (claim("team-a", name="new"), claim("team-a", name="old", age=5))
    assert placed(*claims) == [LOST, EXPORTED]


def test_a_route_that_was_local_stays_its_namespaces_own() -> None:
    claims = (claim("team-a", name="new"), claim("team-a", name="old", age=5))
    held = holder("team-a", uid="team-a/new", is_exported=False)
    assert placed(*claims, holders=(held,)) == [EXPORTED, LOST]


def test_a_released_name_goes_to_whoever_waits_longest_but_not_at_once() -> None:
    """A route that is deleted may be made again, as when a release is reinstalled."""
    gone = holder("team-c")
    claims = (claim("team-a", age=1), claim("team-b", age=2))
    assert placed(*claims, holders=(gone,)) == [LOCAL, LOCAL]
    assert placed(*claims, claim("team-c", name="again"), holders=(gone,)) == [
        LOCAL,
        LOCAL,
        EXPORTED,
    ]
    assert placed(*claims) == [LOCAL, EXPORTED]


def test_a_reserved_name_goes_to_nobody_but_its_last_namespace() -> None:
    gone = holder("team-a", uid="deleted", is_reserved=True)
    assert placed(claim("team-b", age=9), holders=(gone,)) == [LOCAL]
    claims = (claim("team-b", age=9), claim("team-a", name="again"))
    assert placed(*claims, holders=(gone,)) == [LOCAL, EXPORTED]


def test_names_do_not_disturb_each_other() -> None:
    other = Claim(metadata=claim("team-b", name="x").metadata, bucket="other", is_accepted=True)
    assert placed(claim("team-a"), other, holders=(holder("team-a"),)) == [EXPORTED, EXPORTED]
