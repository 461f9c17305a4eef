"""What `bucketroute serve` says of the files when it starts and after each change."""

import asyncio
from pathlib import Path

import pytest

from bucketroute_cli.serve import ClassOverrides, Manifests
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_testing.transports import until

ROUTE = """\
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {name: reports, namespace: team-a}
spec:
  backend: {bucket: acme, endpoint: "http://127.0.0.1:9100", signing: Unsigned}
"""


async def test_a_route_that_an_edit_broke_is_not_told_as_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "route.yaml"
    file.write_text(ROUTE)
    manifests, store = Manifests([file], "default", ClassOverrides()), SnapshotStore()
    await manifests.load(store)
    assert capsys.readouterr().err == "1 route(s): reports\n"
    file.write_text(ROUTE + "  acess: []\n")
    await manifests.load(store)
    assert capsys.readouterr().err.splitlines() == [
        f"{file}:6: Error: BucketRoute team-a/reports spec.acess: "
        "It is not a known field (did you mean access?). [UnknownField]",
        "1 route(s): reports (not served)",
    ]
    file.unlink()
    folder = Manifests([tmp_path], "default", ClassOverrides())
    await folder.load(store)
    assert capsys.readouterr().err == "0 route(s)\n"


async def test_an_edit_before_the_watch_has_begun_is_not_missed(tmp_path: Path) -> None:
    file, store, stop = tmp_path / "route.yaml", SnapshotStore(), asyncio.Event()
    file.write_text("")
    manifests = Manifests([file], "default", ClassOverrides())
    await manifests.load(store)
    file.write_text(ROUTE)
    following = asyncio.create_task(manifests.follow(store, stop))
    await until(lambda: store.index is not None and len(store.index.entries) == 1)
    stop.set()
    await following
