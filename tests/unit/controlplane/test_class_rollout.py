"""From compiled to published: versions, the fence, the guard, reservations, and what is kept."""

import asyncio
import base64
import gzip
import json
from dataclasses import dataclass

import pytest

from bucketroute_operator.shell.channel import ClassChannel
from bucketroute_operator.shell.class_rollout import (
    MAX_RESERVATIONS_OF_NAMESPACE,
    SHORTEST_WAIT_SECONDS,
    Candidate,
    ClassRollout,
)
from bucketroute_operator.shell.kube_api import CONFIG_MAPS, Json, KubeError, Resource
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.persistence import FencedError, SnapshotArchive
from bucketroute_snapshot import (
    OLDEST_SCHEMA_VERSION,
    ClassSettings,
    Secret,
    Snapshot,
    SnapshotSecrets,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE, route, snapshot, version

MANY = [route(f"r{number:02}") for number in range(30)]


@dataclass(slots=True)
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def _rollout(kube: FakeKube, clock: Seconds) -> ClassRollout:
    archive = SnapshotArchive(kube, namespace=OPERATOR_NAMESPACE, class_name="default")
    channel = ClassChannel("default", on_word=lambda: None, clock=clock)
    return ClassRollout(channel, archive, Metrics(), clock=clock, now=clock)


def _candidate(
    made: Snapshot,
    *,
    secrets: SnapshotSecrets | None = None,
    explained: frozenset[str] = frozenset(),
    allows_mass_removal: bool = False,
) -> Candidate:
    return Candidate(
        snapshot=made,
        secrets=secrets or SnapshotSecrets(),
        explained=explained,
        allows_mass_removal=allows_mass_removal,
    )


def _version(rollout: ClassRollout) -> str:
    current = rollout.channel.current
    return "" if current is None else str(current.version)


async def _restored(kube: FakeKube, clock: Seconds) -> ClassRollout:
    rollout = _rollout(kube, clock)
    await rollout.restore(lambda key: "")
    return rollout


async def test_each_change_is_a_version_and_an_equal_snapshot_is_none() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    assert await rollout.roll(_candidate(snapshot(route("one"))))
    assert not await rollout.roll(_candidate(snapshot(route("one"))))
    assert await rollout.roll(_candidate(snapshot(route("one"), route("two"))))
    assert _version(rollout) == "1.2"


async def test_a_change_of_secrets_alone_is_a_version() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    await rollout.roll(_candidate(snapshot()))
    secrets = SnapshotSecrets(sealing_keys=(Secret("bmV3"),))
    assert await rollout.roll(_candidate(snapshot(), secrets=secrets))
    assert not await rollout.roll(_candidate(snapshot(), secrets=secrets))


async def test_a_new_leader_begins_a_new_epoch_even_with_equal_content() -> None:
    kube, clock = FakeKube(), Seconds()
    await _rollout(kube, clock).roll(_candidate(snapshot(route("one"))))
    second = await _restored(kube, clock)
    assert await second.roll(_candidate(snapshot(route("one"))))
    assert _version(second) == "2.1"


async def test_a_deposed_leader_publishes_nothing() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _rollout(kube, clock)
    await first.roll(_candidate(snapshot()))
    await (await _restored(kube, clock)).roll(_candidate(snapshot()))
    with pytest.raises(FencedError):
        await first.roll(_candidate(snapshot(route("one"))))
    assert _version(first) == "1.1"


async def test_a_pod_from_a_lost_future_raises_the_epoch() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    await rollout.roll(_candidate(snapshot()))
    rollout.channel.required_epoch = 9
    assert await rollout.roll(_candidate(snapshot()))
    assert not await rollout.roll(_candidate(snapshot()))
    assert _version(rollout) == "10.1"


async def test_a_route_that_did_not_change_keeps_its_version_over_a_restart() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _rollout(kube, clock)
    await first.roll(_candidate(snapshot(route("old"))))
    await first.roll(_candidate(snapshot(route("old"), route("new"))))
    await first.keep()
    second = _rollout(kube, clock)
    await second.restore(lambda key: str(first.versions[key]))
    changed = route("new", generation=2)
    await second.roll(_candidate(snapshot(route("old"), changed)))
    assert second.versions == {
        ("team-a", "old"): version("1.1"),
        ("team-a", "new"): version("2.1"),
    }


async def test_a_mass_removal_that_nobody_explains_is_held_for_a_minute() -> None:
    clock = Seconds()
    rollout = _rollout(FakeKube(), clock)
    await rollout.roll(_candidate(snapshot(*MANY)))
    few = _candidate(snapshot(*MANY[:5]))
    assert not await rollout.roll(few)
    assert rollout.next_expiry_seconds() == 60.0
    clock.now += 59
    assert not await rollout.roll(few)
    clock.now += 2
    assert await rollout.roll(few)
    assert rollout.held_until is None


@pytest.mark.parametrize("reason", ["deleted", "allowed"])
async def test_a_mass_removal_that_somebody_meant_is_not_held(reason: str) -> None:
    rollout = _rollout(FakeKube(), Seconds())
    await rollout.roll(_candidate(snapshot(*MANY)))
    explained = frozenset(item.uid for item in MANY) if reason == "deleted" else frozenset()
    assert await rollout.roll(
        _candidate(snapshot(), explained=explained, allows_mass_removal=reason == "allowed")
    )


async def test_a_new_leader_holds_a_mass_removal_too() -> None:
    kube, clock = FakeKube(), Seconds()
    first = _rollout(kube, clock)
    await first.roll(_candidate(snapshot(*MANY)))
    await first.keep()
    assert not await (await _restored(kube, clock)).roll(_candidate(snapshot()))


async def test_a_hold_ends_when_the_routes_are_back() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    await rollout.roll(_candidate(snapshot(*MANY)))
    await rollout.roll(_candidate(snapshot()))
    assert not await rollout.roll(_candidate(snapshot(*MANY)))
    assert rollout.held_until is None


async def test_the_name_of_a_deleted_route_waits_for_its_namespace() -> None:
    kube, clock = FakeKube(), Seconds()
    rollout = _rollout(kube, clock)
    await rollout.roll(_candidate(snapshot(route("one"))))
    await rollout.roll(_candidate(snapshot()))
    for holder in (rollout, await _restored(kube, clock)):
        (reserved,) = holder.holders()
        assert (reserved.bucket, reserved.namespace, reserved.is_reserved) == (
            "one",
            "team-a",
            True,
        )
    clock.now += 601
    assert rollout.holders() == ()


async def test_a_name_that_was_taken_again_is_no_longer_reserved() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    await rollout.roll(_candidate(snapshot(route("one"))))
    await rollout.roll(_candidate(snapshot()))
    await rollout.roll(_candidate(snapshot(route("one", uid="again"))))
    assert [holder.is_reserved for holder in rollout.holders()] == [False]


async def test_a_namespace_that_deletes_many_routes_pushes_out_nobody_elses_names() -> None:
    rollout = _rollout(FakeKube(), Seconds())
    ours = route("ours", namespace="team-b")
    await rollout.roll(_candidate(snapshot(ours)))
    await rollout.roll(_candidate(snapshot()))
    count = MAX_RESERVATIONS_OF_NAMESPACE // 2
    for turn in range(5):
        many = [route(f"r{turn}-{number:03}") for number in range(count)]
        await rollout.roll(_candidate(snapshot(*many)))
        every = frozenset(item.uid for item in many)
        await rollout.roll(_candidate(snapshot(), explained=every))
    reserved = rollout.holders()
    assert len(reserved) == MAX_RESERVATIONS_OF_NAMESPACE + 1
    assert ("team-b", "ours") in {(item.namespace, item.bucket) for item in reserved}
    newest = f"r4-{count - 1:03}"
    assert newest in {item.bucket for item in reserved}


async def test_a_reservation_that_ends_while_it_is_looked_at_wakes_somebody() -> None:
    clock = Seconds()
    rollout = _rollout(FakeKube(), clock)
    await rollout.roll(_candidate(snapshot(route("one"))))
    await rollout.roll(_candidate(snapshot()))
    clock.now += 599.9
    assert len(rollout.holders()) == 1
    clock.now += 5  # compiling takes its time
    assert rollout.next_expiry_seconds() == SHORTEST_WAIT_SECONDS
    assert rollout.holders() == ()
    assert rollout.next_expiry_seconds() is None


async def test_a_hold_that_is_over_wakes_somebody_once() -> None:
    """The class may have become invalid, and is not rolled again."""
    clock = Seconds()
    rollout = _rollout(FakeKube(), clock)
    await rollout.roll(_candidate(snapshot(*MANY)))
    await rollout.roll(_candidate(snapshot()))
    clock.now += 61
    assert rollout.next_expiry_seconds() == SHORTEST_WAIT_SECONDS
    assert rollout.next_expiry_seconds() is None


async def test_since_when_nothing_can_be_published_is_known() -> None:
    kube, clock = FakeKube(), Seconds()
    rollout = _rollout(kube, clock)
    await rollout.roll(_candidate(snapshot()))
    kube.fault = lambda verb, resource, name: KubeError(500, "no") if verb != "get" else None
    for _ in range(2):
        clock.now += 5
        with pytest.raises(KubeError):
            await rollout.roll(_candidate(snapshot(route("one"))))
    assert rollout.failed_since == 1005.0
    kube.fault = lambda verb, resource, name: None
    assert await rollout.roll(_candidate(snapshot(route("one"))))
    assert rollout.failed_since is None


async def test_content_is_stored_at_most_every_ten_seconds() -> None:
    kube, clock = FakeKube(), Seconds()
    rollout = _rollout(kube, clock)
    for number in range(5):
        await rollout.roll(_candidate(snapshot(route("one", generation=number + 1))))
        await rollout.keep()
        clock.now += 3
    chunks = [name for name in kube.names(CONFIG_MAPS) if "snapshot-default-" in name]
    assert len(chunks) == 2


class SlowKube(FakeKube):
    """Its answers take a while, in which others run."""

    async def replace(self, resource: Resource, body: Json) -> Json:
        await asyncio.sleep(0)
        return await super().replace(resource, body)


async def test_keeping_and_publishing_at_once_do_not_fence_each_other() -> None:
    kube, clock = SlowKube(), Seconds()
    rollout = _rollout(kube, clock)
    await rollout.roll(_candidate(snapshot(route("one"))))
    for number in range(2, 20):
        clock.now += 11
        candidate = _candidate(snapshot(route("one", generation=number)))
        await asyncio.gather(rollout.keep(), rollout.roll(candidate))
    restored = await _restored(kube, clock)
    assert restored.channel.current is not None
    assert str(restored.channel.current.version) == "1.18"
    pointer = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-snapshot-default")
    assert pointer["data"]["version"] == "1.19"


async def test_pods_of_the_schema_before_can_boot_from_it() -> None:
    """And an operator that is set back to it finds who had which name."""
    kube, clock = FakeKube(), Seconds()
    rollout = _rollout(kube, clock)
    settings = ClassSettings(name="default", region="r", signature_diagnostics=True)
    await rollout.roll(_candidate(Snapshot(settings=settings, routes=(route("one"),))))
    await rollout.keep()
    boot = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-boot-default")
    update = gzip.decompress(base64.b64decode(boot["binaryData"]["snapshot.ndjson.gz"]))
    header = json.loads(update.splitlines()[2])
    assert header["schemaVersion"] == OLDEST_SCHEMA_VERSION
    assert "signatureDiagnostics" not in header["class"]
    restored = await _restored(kube, clock)
    assert restored.channel.current is not None
    assert [item.name for item in restored.channel.current.rendering.snapshot.routes] == ["one"]


async def test_new_pods_do_not_boot_from_what_a_pod_refused() -> None:
    kube, clock = FakeKube(), Seconds()
    rollout = _rollout(kube, clock)
    await rollout.roll(_candidate(snapshot(route("one"))))
    rollout.channel.acknowledged("pod-1", version("1.1"), {})
    await rollout.keep()
    booted = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-boot-default")
    await rollout.roll(_candidate(snapshot(route("two"))))
    rollout.channel.refused("pod-1", version("1.2"))
    clock.now += 11
    await rollout.keep()
    assert kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-boot-default") == booted
    rollout.channel.acknowledged("pod-2", version("1.2"), {})
    rollout.channel.acknowledged("pod-1", version("1.2"), {})
    clock.now += 11
    await rollout.keep()
    assert kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-boot-default") != booted


async def test_no_secret_is_stored() -> None:
    kube = FakeKube()
    rollout = _rollout(kube, Seconds())
    secret = SnapshotSecrets(sealing_keys=(Secret("c2VjcmV0LXZhbHVl"),))
    await rollout.roll(_candidate(snapshot(route("one")), secrets=secret))
    await rollout.keep()
    restored = await _restored(kube, Seconds())
    assert restored.channel.current is not None
    assert restored.channel.current.secrets is None
