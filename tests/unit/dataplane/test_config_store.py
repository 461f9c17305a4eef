"""Updates applied to what is held: full, delta, damaged; and the copy on disk."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.shell.config_store import (
    HeldConfig,
    RejectedRoute,
    UnknownBaseError,
    load_config,
    read_update,
    save_config,
    update_lines,
)
from bucketroute_dataplane.shell.slices import Slices
from bucketroute_operator.core.delta import (
    Step,
    changed_keys,
    delta_update,
    full_update,
    render,
)
from bucketroute_snapshot import (
    Secret,
    Snapshot,
    SnapshotFormatError,
    SnapshotSecrets,
    encode_secrets,
)
from bucketroute_snapshot.update import NO_SECRETS, UpdateHeader, lines_digest
from bucketroute_testing.operator_objects import route, snapshot, version

SECRETS = SnapshotSecrets(sealing_keys=(Secret("c2VhbA=="),))


def _full(at: str, made: Snapshot, secrets_line: bytes = NO_SECRETS) -> list[bytes]:
    return full_update(version(at), render(made), secrets_line).splitlines(keepends=True)


def _delta(base: HeldConfig, at: str, made: Snapshot) -> list[bytes]:
    before, after = render(base.snapshot), render(made)
    step = Step(base=base.version, version=version(at), changed=changed_keys(before, after))
    return delta_update(step, after, NO_SECRETS).splitlines(keepends=True)


async def _held(made: Snapshot, secrets_line: bytes = NO_SECRETS) -> HeldConfig:
    return await read_update(_full("1.1", made, secrets_line), None)


NUMBERS = st.lists(st.integers(0, 20), unique=True, max_size=8)
NAMESPACES = ("a", "a-b", "a.b")  # which sort differently as parts and as text


def _some(numbers: list[int], generation: int) -> Snapshot:
    return snapshot(
        *(
            route(
                f"r{number}",
                namespace=NAMESPACES[number % 3],
                generation=generation if number % 2 else 1,
            )
            for number in numbers
        )
    )


@given(before=NUMBERS, after=NUMBERS)
async def test_a_delta_gives_what_a_full_update_gives(before: list[int], after: list[int]) -> None:
    held = await _held(_some(before, 1))
    target = _some(after, 2)
    by_delta = await read_update(_delta(held, "1.2", target), held)
    assert by_delta == await read_update(_full("1.2", target), None)
    assert by_delta.snapshot == target


async def test_a_delta_for_another_version_is_refused() -> None:
    held = await _held(snapshot(route("one")))
    other = replace(held, version=version("1.7"))
    with pytest.raises(UnknownBaseError):
        await read_update(_delta(held, "1.8", snapshot()), other)
    with pytest.raises(UnknownBaseError):
        await read_update(_delta(held, "1.8", snapshot()), None)


async def test_a_missed_change_shows_in_the_digest() -> None:
    held = await _held(snapshot(route("one"), route("two")))
    lines = _delta(held, "1.2", snapshot(route("one", generation=2), route("two", generation=2)))
    with pytest.raises(SnapshotFormatError, match="digest"):
        await read_update(lines[:-1], held)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"{}\n", b"null\n", b"{}\n"],
        [b"not json\n", b"null\n", b"{}\n"],
        _full("1.1", snapshot())[:2],
        [_full("1.1", snapshot())[0], b"null\n", b'{"schemaVersion": 99}\n'],
        [_full("1.1", snapshot())[0], b'"text"\n', _full("1.1", snapshot())[2]],
    ],
    ids=["nothing", "no-version", "no-json", "cut", "another-schema", "odd-secrets"],
)
async def test_what_is_no_update_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(SnapshotFormatError):
        await read_update(lines, None)


def _with_unknown_route(made: Snapshot) -> list[bytes]:
    """A snapshot of a newer operator, one of whose routes has a field that is new here."""
    lines = _full("1.1", made)
    lines[3] = lines[3].replace(b'{"', b'{"aNewField":1,"', 1)
    header = UpdateHeader(version=version("1.1"), digest=lines_digest(lines[2:]))
    return [header.encode(), *lines[1:]]


async def test_a_route_that_cannot_be_understood_is_left_out_and_named() -> None:
    lines = _with_unknown_route(snapshot(route("new"), route("old")))
    held = await read_update(lines, None)
    assert held.snapshot == snapshot(route("old"))
    assert held.rejected == (RejectedRoute(route="team-a/new", code="UnsupportedRoute"),)


async def test_a_route_that_was_left_out_comes_back_when_it_is_understood() -> None:
    held = await read_update(_with_unknown_route(snapshot(route("new"), route("old"))), None)
    after = render(snapshot(route("new"), route("old")))
    step = Step(base=held.version, version=version("1.2"), changed={("team-a", "new")})
    lines = delta_update(step, after, NO_SECRETS).splitlines(keepends=True)
    repaired = await read_update(lines, held)
    assert repaired.snapshot == after.snapshot
    assert repaired.rejected == ()


async def test_a_route_that_was_left_out_stays_so_through_other_changes() -> None:
    held = await read_update(_with_unknown_route(snapshot(route("new"), route("old"))), None)
    lines = [*held.lines.values(), render(snapshot(route("zzz"))).lines["team-a", "zzz"]]
    header = held.header.replace(b'"routeCount":2', b'"routeCount":3')
    update = UpdateHeader(
        version=version("1.2"), digest=lines_digest([header, *lines]), base=held.version
    )
    after = await read_update([update.encode(), NO_SECRETS, header, lines[-1]], held)
    assert after.snapshot == snapshot(route("old"), route("zzz"))
    assert [item.route for item in after.rejected] == ["team-a/new"]


async def test_a_sender_without_secrets_leaves_those_that_are_known() -> None:
    held = await _held(snapshot(), encode_secrets(SECRETS))
    after = await read_update(_delta(held, "1.2", snapshot(route("one"))), held)
    assert after.secrets == SECRETS


async def test_what_was_saved_is_loaded_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    held = await _held(snapshot(route("one")), encode_secrets(SECRETS))
    file = tmp_path / "state.gz"
    await save_config(file, held)
    assert await load_config(file) == held
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state.gz"]


async def test_no_file_is_nothing_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "state.gz"
    assert await load_config(file) is None
    held = await _held(snapshot(route("one")))
    await save_config(file, held)
    whole = file.read_bytes()
    for damaged in (b"", b"text", whole[:-10], whole[:20] + b"\0\0\0\0" + whole[24:]):
        file.write_bytes(damaged)
        with pytest.raises(SnapshotFormatError):
            await load_config(file)


async def test_decoding_gives_the_loop_away_when_a_slice_is_used_up() -> None:
    ticks = iter(range(100_000))
    slices = Slices(seconds=10, clock=lambda: float(next(ticks)))
    pauses = 0
    original = slices.pause

    async def counted() -> None:
        nonlocal pauses
        pauses += 1
        await original()

    slices.pause = counted  # type: ignore[method-assign]  # to count, not to change
    many = snapshot(*(route(f"r{number:03}") for number in range(100)))
    await read_update(_full("1.1", many), None, slices)
    assert pauses >= 2 * 100, "after each line, once decoding and once hashing"


@given(before=NUMBERS, after=NUMBERS)
async def test_what_leads_from_one_to_another_is_what_differs(
    before: list[int], after: list[int]
) -> None:
    base = await _held(_some(before, 1), encode_secrets(SECRETS))
    target = await read_update(_full("1.2", _some(after, 1), encode_secrets(SECRETS)), None)
    lines = update_lines(target, base)
    assert len(lines) == 3 + len(set(after) - set(before))
    assert lines[1] == NO_SECRETS
    assert await read_update(lines, base) == target
    assert await read_update(update_lines(target), None) == target


async def test_routes_that_are_left_out_are_passed_on_to_be_left_out() -> None:
    lines = _full("1.2", snapshot(route("one")))
    broken = lines[3].replace(b'"state":"Active"', b'"state":"Unheard"')
    assert broken != lines[3]
    header = UpdateHeader(version=version("1.2"), digest=lines_digest([lines[2], broken]))
    target = await read_update([header.encode(), lines[1], lines[2], broken], None)
    assert [item.route for item in target.rejected] == ["team-a/one"]
    assert await read_update(update_lines(target), None) == target
    base = await _held(snapshot(route("one")))
    assert await read_update(update_lines(target, base), base) == target


async def test_new_secrets_are_passed_on() -> None:
    base = await _held(snapshot(route("one")))
    target = await read_update(_full("1.2", snapshot(route("one")), encode_secrets(SECRETS)), None)
    assert (await read_update(update_lines(target, base), base)).secrets == SECRETS
