"""The pointer as a fence, and what a new leader finds."""

import gzip

import pytest

from bucketroute_operator.core.delta import full_update, render
from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    ConflictError,
    KubeError,
    NotFoundError,
)
from bucketroute_operator.shell.persistence import (
    CHUNK_BYTES,
    KEPT_SNAPSHOTS,
    FencedError,
    Reservation,
    SnapshotArchive,
)
from bucketroute_snapshot.update import NO_SECRETS
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE, route, snapshot, version

RESERVED = Reservation(bucket="gone", namespace="team-a", uid="u", is_exported=True, expires=100.0)


def _archive(kube: FakeKube) -> SnapshotArchive:
    return SnapshotArchive(kube, namespace=OPERATOR_NAMESPACE, class_name="default")


def _body(at: str, *names: str) -> tuple[bytes, str]:
    rendering = render(snapshot(*map(route, names)))
    return gzip.compress(full_update(version(at), rendering, NO_SECRETS)), rendering.digest


async def test_a_fresh_cluster_has_nothing_to_restore() -> None:
    assert await _archive(FakeKube()).restore() is None


async def test_a_new_leader_finds_the_version_the_content_and_the_reservations() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    body, digest = _body("1.4", "one", "two")
    await archive.store(body, digest)
    await archive.advance(version("1.5"), digest, [RESERVED])
    restored = await _archive(kube).restore()
    assert restored is not None
    assert (restored.version, restored.content_version) == (version("1.5"), version("1.4"))
    assert restored.content == snapshot(route("one"), route("two"))
    assert restored.reservations == (RESERVED,)


async def test_a_deposed_leader_cannot_advance() -> None:
    kube = FakeKube()
    old, new = _archive(kube), _archive(kube)
    await old.advance(version("1.1"), "d", [])
    await new.restore()
    await new.advance(version("2.1"), "d", [])
    with pytest.raises(FencedError):
        await old.advance(version("1.2"), "d", [])
    assert (
        kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-snapshot-default")["data"][
            "version"
        ]
        == "2.1"
    )


async def test_two_first_leaders_do_not_both_create_the_pointer() -> None:
    kube = FakeKube()
    await _archive(kube).advance(version("1.1"), "d", [])
    with pytest.raises(FencedError):
        await _archive(kube).advance(version("3.1"), "d", [])


async def test_a_lost_write_of_a_newer_version_is_not_taken_for_anothers() -> None:
    """Publishing and keeping both write the pointer; keeping still has the version before."""
    kube = FakeKube()
    archive = _archive(kube)
    await archive.advance(version("1.1"), "d", [])
    lost = [KubeError(500, "the answer was lost")]
    kube.fault_after = lambda verb, resource, name: lost.pop() if lost else None
    with pytest.raises(KubeError):
        await archive.advance(version("1.2"), "d", [])
    await archive.advance(version("1.1"), "d", [])


async def test_two_leaders_that_claim_the_same_version_do_not_both_get_it() -> None:
    kube = FakeKube()
    one, other = _archive(kube), _archive(kube)
    await one.restore()
    await other.restore()
    await one.advance(version("1.1"), "d", [])
    with pytest.raises(FencedError):
        await other.advance(version("1.1"), "d", [])


async def test_conflicts_alone_are_no_other_leader() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    await archive.advance(version("1.1"), "d", [])
    kube.fault = lambda verb, resource, name: (
        ConflictError(409, "again and again") if verb == "replace" else None
    )
    with pytest.raises(ConflictError):
        await archive.advance(version("1.2"), "d", [])
    kube.fault = lambda verb, resource, name: None
    await archive.advance(version("1.2"), "d", [])


@pytest.mark.parametrize("verb", ["create", "replace"])
async def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers(verb: str) -> None:
    kube = FakeKube()
    archive = _archive(kube)
    if verb == "replace":
        await archive.advance(version("1.1"), "d", [])
    lost = [KubeError(0, "the answer was lost")]
    kube.fault_after = lambda called, resource, name: (
        lost.pop() if called == verb and lost else None
    )
    with pytest.raises(KubeError):
        await archive.advance(version("1.2"), "d", [])
    await archive.advance(version("1.2"), "d", [])


async def test_a_conflict_without_another_writer_is_tried_again() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    await archive.advance(version("1.1"), "d", [])
    conflicts = [ConflictError(409, "try again")]
    kube.fault = lambda verb, resource, name: (
        conflicts.pop() if verb == "replace" and conflicts else None
    )
    await archive.advance(version("1.2"), "d", [])


async def test_a_large_snapshot_is_stored_in_pieces() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    await archive.store(b"x" * (2 * CHUNK_BYTES + 1), "sha256:" + "a" * 64)
    assert sum("snapshot-default-" in name for name in kube.names(CONFIG_MAPS)) == 3


async def test_a_conflict_that_made_nothing_is_not_taken_for_a_stored_content() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    conflicts = [ConflictError(409, "the quota has been modified")]
    kube.fault = lambda verb, resource, name: (
        conflicts.pop() if verb == "create" and conflicts else None
    )
    with pytest.raises(NotFoundError):
        await archive.store(b"x", "sha256:" + "a" * 64)
    await archive.advance(version("1.1"), "d", [])
    restored = await _archive(kube).restore()
    assert restored is not None
    assert restored.content_version is None
    await archive.store(b"x", "sha256:" + "a" * 64)
    assert [name for name in kube.names(CONFIG_MAPS) if name.endswith("-0")]


async def test_the_last_ten_snapshots_are_kept_and_the_current_one_always() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    for number in range(KEPT_SNAPSHOTS + 4):
        await archive.store(b"x", f"sha256:{number:016x}{0:048x}")
        await archive.advance(version(f"1.{number + 1}"), "d", [])
    chunks = [name for name in kube.names(CONFIG_MAPS) if name.count("-") > 2]
    assert len(chunks) <= KEPT_SNAPSHOTS + 1


async def test_a_damaged_content_is_reported_as_lost_and_the_version_stays() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    await archive.store(b"not gzip", "sha256:" + "b" * 64)
    await archive.advance(version("1.1"), "d", [])
    restored = await _archive(kube).restore()
    assert restored is not None
    assert (restored.version, restored.content) == (version("1.1"), None)


async def test_the_boot_config_map_holds_the_latest_and_is_rewritten_only_on_change() -> None:
    kube = FakeKube()
    archive = _archive(kube)
    await archive.write_boot(b"one")
    await archive.write_boot(b"one")
    assert kube.calls["replace", "ConfigMap"] == 0
    await _archive(kube).write_boot(b"two")
    boot = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-boot-default")
    assert boot["binaryData"] == {"snapshot.ndjson.gz": "dHdv"}


async def test_a_class_too_large_for_one_config_map_has_no_boot() -> None:
    kube = FakeKube()
    await _archive(kube).write_boot(b"x" * (CHUNK_BYTES + 1))
    assert kube.names(CONFIG_MAPS) == []
