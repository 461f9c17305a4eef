"""What the class's status says of each gateway pod."""

import pytest

from bucketroute_operator.core.data_planes import (
    MAX_PODS,
    DataPlane,
    PodSeen,
    SyncState,
    data_planes,
)
from bucketroute_operator.core.rollout import PodState
from bucketroute_testing.operator_objects import version

OLD, NOW, NEXT = version("1.1"), version("1.2"), version("2.1")


def pod(
    name: str = "gateway-1",
    said: PodState | None = None,
    *,
    is_connected: bool = True,
    is_ready: bool = True,
) -> PodSeen:
    return PodSeen(name=name, said=said, is_connected=is_connected, is_ready=is_ready)


@pytest.mark.parametrize(
    ("seen", "state", "shown"),
    [
        (pod(said=PodState(applied=NOW)), SyncState.SYNCED, "1.2"),
        (pod(said=PodState(applied=NEXT)), SyncState.SYNCED, "2.1"),
        (pod(said=PodState(applied=OLD)), SyncState.BEHIND, "1.1"),
        (pod(said=PodState()), SyncState.BEHIND, ""),
        (pod(said=PodState(applied=OLD, rejected=NOW)), SyncState.REJECTING, "1.1"),
        (pod(said=PodState(rejected=OLD)), SyncState.BEHIND, ""),
        (pod(said=PodState(applied=NOW), is_connected=False), SyncState.OFFLINE, "1.2"),
        (pod(is_connected=False), SyncState.OFFLINE, ""),
        (pod(), SyncState.BEHIND, ""),
    ],
    ids=[
        "has-it",
        "has-a-later-one",
        "has-an-older-one",
        "has-none",
        "refused-it",
        "refused-an-older-one",
        "fell-silent",
        "was-never-heard",
        "is-about-to-be-heard",
    ],
)
def test_a_pod_is_synced_behind_rejecting_or_offline(
    seen: PodSeen, state: SyncState, shown: str
) -> None:
    (found,) = data_planes([seen], NOW)
    assert (found.state, found.version) == (state, shown)


def test_before_anything_is_published_nobody_is_synced() -> None:
    (found,) = data_planes([pod(said=PodState())], None)
    assert found.state is SyncState.BEHIND


def test_the_worst_come_first_and_the_list_is_bounded() -> None:
    fine = [pod(f"fine-{number:02}", PodState(applied=NOW)) for number in range(MAX_PODS)]
    unready = pod("unready", PodState(applied=NOW), is_ready=False)
    behind = pod("behind", PodState(applied=OLD))
    offline = pod("offline", is_connected=False)
    rejecting = pod("rejecting", PodState(applied=OLD, rejected=NOW))
    found = data_planes([*fine, unready, behind, offline, rejecting], NOW)
    names = [item.name for item in found]
    assert names[:5] == ["rejecting", "offline", "behind", "unready", "fine-00"]
    assert len(names) == MAX_PODS


def test_an_entry_leaves_out_what_is_not_known() -> None:
    unknown = DataPlane(name="one", state=SyncState.OFFLINE, is_ready=False)
    assert unknown.entry() == {"name": "one", "state": "Offline", "ready": False}
    said = PodState(applied=NOW, rejected_routes={"team-a/reports": "UnsupportedRoute"})
    (known,) = data_planes([pod("one", said)], NOW)
    assert known.entry() == {
        "name": "one",
        "state": "Synced",
        "ready": True,
        "configVersion": "1.2",
        "rejectedRoutes": 1,
    }
