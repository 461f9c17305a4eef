"""Updates: their digests, what a delta carries, and what a sidecar may see."""

from hypothesis import given
from hypothesis import strategies as st

from bucketroute_operator.core.delta import (
    Step,
    changed_keys,
    delta_update,
    full_update,
    render,
)
from bucketroute_snapshot import (
    Snapshot,
    decode_snapshot,
    snapshot_digest,
)
from bucketroute_snapshot.update import NO_SECRETS, decode_update_header
from bucketroute_testing.operator_objects import (
    route,
    snapshot,
    version,
)

NAMES = st.lists(st.integers(0, 30), unique=True, max_size=12)


def _snapshot(numbers: list[int], generation: int = 1) -> Snapshot:
    return snapshot(*(route(f"r{number}", generation=generation) for number in numbers))


@given(before=NAMES, after=NAMES)
def test_rendering_from_a_previous_one_equals_rendering_anew(
    before: list[int], after: list[int]
) -> None:
    mixed = snapshot(*(route(f"r{number}", generation=1 + number % 2) for number in after))
    assert render(mixed, render(_snapshot(before))) == render(mixed)
    assert render(mixed).digest == snapshot_digest(mixed)


def test_a_full_update_decodes_to_the_snapshot() -> None:
    whole = snapshot(route("one"), route("two", namespace="team-b"))
    lines = full_update(version("3.7"), render(whole), b"{}\n").splitlines(keepends=True)
    header = decode_update_header(lines[0])
    assert (str(header.version), header.base, header.deletes) == ("3.7", None, ())
    assert header.digest == snapshot_digest(whole)
    assert decode_snapshot(b"".join(lines[2:])) == whole


def test_a_delta_carries_what_is_new_or_changed_and_names_what_is_gone() -> None:
    before = render(snapshot(route("changed"), route("gone"), route("same")))
    after = render(snapshot(route("changed", generation=2), route("new"), route("same")))
    changed = changed_keys(before, after)
    step = Step(base=version("1.1"), version=version("1.2"), changed=changed)
    lines = delta_update(step, after, NO_SECRETS).splitlines(keepends=True)
    header = decode_update_header(lines[0])
    assert header.base == version("1.1")
    assert header.deletes == ("team-a/gone",)
    assert header.digest == after.digest
    assert lines[1] == NO_SECRETS
    assert lines[3:] == [after.lines["team-a", "changed"], after.lines["team-a", "new"]]


def test_a_change_of_class_settings_alone_is_a_delta_without_routes() -> None:
    before, after = render(snapshot(route())), render(snapshot(route(), region="eu-west-1"))
    assert changed_keys(before, after) == frozenset()
    assert before.digest != after.digest
