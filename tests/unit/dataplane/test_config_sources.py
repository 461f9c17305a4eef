"""Where a configuration comes from when the operator is away, and how it is asked again."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise, repeat
from pathlib import Path

import pytest

from bucketroute_dataplane.shell.config_channel import (
    LONGEST_BACKOFF_SECONDS,
    ConfigChannel,
    ConfigFiles,
    ConfigSource,
)
from bucketroute_dataplane.shell.config_client import ChannelError, ConfigClient, OperatorAddress
from bucketroute_dataplane.shell.config_store import read_update, save_config
from bucketroute_operator.core.delta import Step, delta_update, full_update, render
from bucketroute_snapshot import Snapshot
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion, UpdateHeader
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.config_channel import RecordingTarget
from bucketroute_testing.operator_objects import route, snapshot, version

ONE, TWO = snapshot(route("one")), snapshot(route("two"))


def _full(at: str, made: Snapshot) -> list[bytes]:
    return full_update(version(at), render(made), NO_SECRETS).splitlines(keepends=True)


async def _save(path: Path, at: str, made: Snapshot) -> Path:
    await save_config(path, await read_update(_full(at, made), None))
    return path


class ScriptedClient(ConfigClient):
    """Answers polls from a list, and never again once that is used up."""

    def __init__(self, answers: Sequence[list[bytes] | Exception | None]) -> None:
        super().__init__(OperatorAddress(url="https://operator:9443", token_file=Path("none")))
        self.answers = list(answers)
        self.asked: list[str] = []
        self.posted: list[object] = []
        self.clock = FakeClock()
        self.asked_at: list[float] = []

    async def poll(
        self,
        known: ConfigVersion | None,
        digest: str,
        wait_seconds: int,
        *,
        fresh: bool = False,
    ) -> list[bytes] | None:
        self.asked.append(str(known))
        self.asked_at.append(self.clock.monotonic())
        if not self.answers:
            await asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def post(self, path: str, body: object) -> None:
        self.posted.append(body)


def _channel(
    client: ScriptedClient,
    target: RecordingTarget,
    files: ConfigFiles | None = None,
    jitter: Callable[[], float] = lambda: 1.0,
) -> ConfigChannel:
    return ConfigChannel(client, target, files or ConfigFiles(), clock=client.clock, jitter=jitter)


async def _run(channel: ConfigChannel, client: ScriptedClient, *, seconds: float = 0.0) -> None:
    task = asyncio.create_task(channel.run())
    await client.clock.advance(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("disk", "boot", "served", "source"),
    [
        ("1.2", "1.1", ONE, ConfigSource.DISK),
        ("1.1", "1.2", TWO, ConfigSource.BOOT),
        ("9.9", "10.1", TWO, ConfigSource.BOOT),
        ("1.1", "", ONE, ConfigSource.DISK),
        ("", "1.1", TWO, ConfigSource.BOOT),
    ],
    ids=["disk-is-newer", "boot-is-newer", "as-numbers", "disk-only", "boot-only"],
)
async def test_the_greater_version_of_disk_and_boot_file_is_served(
    tmp_path: Path, disk: str, boot: str, served: Snapshot, source: ConfigSource
) -> None:
    files = ConfigFiles(state=tmp_path / "state.gz", boot=tmp_path / "boot.gz")
    if disk:
        await _save(tmp_path / "state.gz", disk, ONE)
    if boot:
        await _save(tmp_path / "boot.gz", boot, TWO)
    target, client = RecordingTarget(), ScriptedClient([])
    channel = _channel(client, target, files)
    await channel.start()
    assert target.snapshot == served
    assert channel.source is source


async def test_a_damaged_file_leaves_the_other(tmp_path: Path) -> None:
    files = ConfigFiles(state=tmp_path / "state.gz", boot=tmp_path / "boot.gz")
    (tmp_path / "state.gz").write_bytes(b"damaged")
    await _save(tmp_path / "boot.gz", "1.1", TWO)
    target = RecordingTarget()
    await _channel(ScriptedClient([]), target, files).start()
    assert target.snapshot == TWO


async def test_without_any_file_nothing_is_served_until_the_operator_answers() -> None:
    target, client = RecordingTarget(), ScriptedClient([_full("1.1", ONE)])
    channel = _channel(client, target)
    await channel.start()
    assert (target.served, channel.source) == ([], ConfigSource.NONE)
    await _run(channel, client)
    assert target.snapshot == ONE


async def test_an_older_version_is_not_taken() -> None:
    target, client = RecordingTarget(), ScriptedClient([_full("2.1", ONE), _full("1.9", TWO)])
    await _run(_channel(client, target), client)
    assert [item[0] for item in target.served] == [ONE]


async def test_a_delta_that_does_not_fit_is_asked_for_in_full() -> None:
    after = render(TWO)
    step = Step(base=version("1.7"), version=version("1.8"), changed={("team-a", "two")})
    delta = delta_update(step, after, NO_SECRETS).splitlines(keepends=True)
    client = ScriptedClient([_full("1.1", ONE), delta, _full("1.8", TWO)])
    target = RecordingTarget()
    await _run(_channel(client, target), client)
    assert client.asked == ["None", "1.1", "None", "1.8"]
    assert target.snapshot == TWO


async def test_a_digest_that_is_wrong_twice_is_refused_and_the_next_poll_waits() -> None:
    header = UpdateHeader(version=version("1.2"), digest="sha256:" + "0" * 64)
    wrong = [header.encode(), *_full("1.2", TWO)[1:]]
    client = ScriptedClient([_full("1.1", ONE), wrong, wrong])
    target = RecordingTarget()
    await _run(_channel(client, target), client, seconds=1.0)
    assert target.snapshot == ONE
    assert client.posted[-1] == {"version": "1.2", "status": "rejected", "rejected": []}
    assert client.asked == ["None", "1.1", "None", "1.1"]
    assert client.asked_at[-1] > client.asked_at[-2]


async def test_an_operator_that_is_away_is_asked_again_after_longer_and_longer_waits() -> None:
    client = ScriptedClient([ChannelError("away")] * 12)
    await _run(_channel(client, RecordingTarget()), client, seconds=400.0)
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(client.asked_at)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1.0
    assert gaps[-1] == pytest.approx(LONGEST_BACKOFF_SECONDS)


async def test_data_planes_do_not_come_back_all_at_once() -> None:
    first = []
    for jitter in (0.0, 0.5, 1.0):
        client = ScriptedClient([ChannelError("away")] * 5)
        channel = _channel(client, RecordingTarget(), jitter=partial(next, repeat(jitter)))
        await _run(channel, client, seconds=100.0)
        first.append(client.asked_at[-1])
    assert len(set(first)) == 3


async def test_a_success_ends_the_long_waits() -> None:
    away = ChannelError("away")
    client = ScriptedClient([away, away, away, away, _full("1.1", ONE), away, None])
    await _run(_channel(client, RecordingTarget()), client, seconds=100.0)
    assert client.asked_at[6] - client.asked_at[5] < 1.0


async def test_an_acknowledgement_that_was_not_taken_is_sent_again() -> None:
    class Forgetful(ScriptedClient):
        async def post(self, path: str, body: object) -> None:
            await super().post(path, body)
            if len(self.posted) == 1:
                raise ChannelError("the connection broke")

    client = Forgetful([_full("1.1", ONE)])
    await _run(_channel(client, RecordingTarget()), client, seconds=1.0)
    assert len(client.posted) == 2
    assert client.posted[0] == client.posted[1]
