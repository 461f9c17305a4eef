"""Workers that refuse, hang, or end: what the pod acknowledges stays true, and it recovers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_store import HeldConfig, read_update
from bucketroute_dataplane.shell.log_turn import new_turn_file
from bucketroute_dataplane.shell.worker_command import WorkerDeadlines
from bucketroute_dataplane.shell.worker_link import MAX_UNANSWERED
from bucketroute_dataplane.shell.worker_pool import ConfigRefusedError, WorkerPool
from bucketroute_dataplane.shell.worker_process import WorkerStartError, backoff_seconds
from bucketroute_operator.core.delta import full_update, render
from bucketroute_snapshot import Snapshot
from bucketroute_snapshot.update import NO_SECRETS
from bucketroute_testing.operator_objects import route, snapshot, version
from bucketroute_testing.scripted_worker import ScriptedCommand

ONE, TWO = snapshot(route("one")), snapshot(route("one"), route("two"))
SHORT = WorkerDeadlines(
    start=3.0, apply=1.0, listen=3.0, ping_every=0.1, ping=1.0, counts=0.5, exit=0.5
)
SECONDS = 20.0
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a pod has several workers on Linux only"
)


async def held(at: str, made: Snapshot) -> HeldConfig:
    update = full_update(version(at), render(made), NO_SECRETS)
    return await read_update(update.splitlines(keepends=True), None)


class Pod:
    """A pool of two scripted workers."""

    def __init__(self, folder: Path, log_turn: int) -> None:
        self.folder = folder
        self.fresh = 0
        self.reports = 0
        self.pool = WorkerPool(
            ScriptedCommand(arguments=[str(folder)], listen="127.0.0.1:1", log_turn=log_turn),
            2,
            clock=SystemClock(),
            on_fresh=self._on_fresh,
            on_report=self._on_report,
            deadlines=SHORT,
        )

    async def come_up(self, first: HeldConfig | None = None) -> None:
        """Opens the pool, with a first configuration if any, and waits until all are up."""
        self.pool.open()
        if first is not None:
            await self.pool.serve(first)
        await self.pool.are_up.wait()

    def has(self, worker: int, does: str) -> None:
        """From its next start on."""
        (self.folder / f"{worker}.does").write_text(does)

    def served(self, worker: int) -> list[str]:
        file = self.folder / f"{worker}.served"
        return file.read_text().split() if file.exists() else []

    def end(self, worker: int) -> None:
        """As anybody on the node can."""
        os.kill(int((self.folder / f"{worker}.pid").read_text()), signal.SIGTERM)

    async def metric(self, name: str) -> float:
        text = (await self.pool.exposed()).decode()
        (value,) = (
            line.rpartition(" ")[2]
            for line in text.splitlines()
            if line.startswith(f"bucketroute_dataplane_{name} ")
        )
        return float(value)

    async def at_least(self, name: str, value: float) -> None:
        """Waits for it."""
        async with asyncio.timeout(SECONDS):
            while await self.metric(name) < value:  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.05)

    async def whole_again(self, *, restarts: int) -> None:
        """Waits for it."""
        await self.at_least("worker_restarts_total", restarts)
        await self.at_least("workers", 2)

    def _on_fresh(self) -> None:
        self.fresh += 1

    def _on_report(self) -> None:
        self.reports += 1


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110  # files of another process
            await asyncio.sleep(0.02)


@contextmanager
def made(folder: Path, first: str = "serve", second: str = "serve") -> Iterator[Pod]:
    with os.fdopen(new_turn_file()) as log_turn:
        pod = Pod(folder, log_turn.fileno())
        pod.has(1, first)
        pod.has(2, second)
        yield pod


@asynccontextmanager
async def running(folder: Path, first: str = "serve", second: str = "serve") -> AsyncIterator[Pod]:
    with made(folder, first, second) as pod:
        running = asyncio.create_task(pod.pool.run())
        try:
            yield pod
        finally:
            await pod.pool.end(0.0)
            await running


async def test_a_worker_gets_what_changed_and_a_new_one_all_of_it(tmp_path: Path) -> None:
    async with running(tmp_path) as pod:
        await pod.pool.serve(await held("1.1", ONE))
        pod.pool.open()
        await pod.pool.serve(await held("1.2", TWO))
        assert (pod.served(1), pod.served(2)) == (["1.1", "1.2"], ["1.1", "1.2"])
        assert await pod.metric("snapshot_swaps_total") == 2
        assert await pod.metric("routes") == 2
        await pod.pool.are_up.wait()
        pod.end(1)
        await pod.whole_again(restarts=1)
        assert pod.served(1) == ["1.1", "1.2", "1.2"]


async def test_nobody_listens_before_it_is_known_what_to_serve(tmp_path: Path) -> None:
    async with running(tmp_path) as pod:
        await pod.pool.serve(await held("1.1", ONE))
        assert await pod.metric("workers") == 0
        assert not pod.pool.is_ready()
        await pod.come_up()
        assert pod.pool.is_ready()


async def test_without_a_configuration_they_listen_and_the_pod_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as pod:
        await pod.come_up()
        assert not pod.pool.is_ready()
        await pod.pool.serve(await held("1.1", ONE))
        assert pod.pool.is_ready()


async def test_what_no_worker_can_serve_is_refused_and_the_former_one_stays(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "refuse 1.2", "refuse 1.2") as pod:
        pod.pool.open()
        first = await held("1.1", ONE)
        await pod.pool.serve(first)
        with pytest.raises(ConfigRefusedError, match=r"1\.2"):
            await pod.pool.serve(await held("1.2", TWO))
        assert pod.pool.current is first
        assert await pod.metric("worker_restarts_total") == 0
        await pod.pool.serve(await held("1.3", ONE))
        assert pod.served(1) == pod.served(2) == ["1.1", "1.3"]


@pytest.mark.parametrize("does", ["refuse 1.2", "hang in 1.2"])
async def test_no_older_configuration_is_served_once_one_worker_has_the_new_one(
    tmp_path: Path, does: str
) -> None:
    """Who cannot follow the others is replaced, and only then is the version acknowledged."""
    async with running(tmp_path, "serve", does) as pod:
        await pod.come_up(await held("1.1", ONE))
        pod.has(2, "serve")
        await pod.pool.serve(await held("1.2", TWO))
        assert pod.served(1) == ["1.1", "1.2"]
        assert await pod.metric("workers") == 1
        assert pod.pool.is_ready()
        await pod.whole_again(restarts=1)
        assert pod.served(2) == ["1.1", "1.2"]


async def test_a_new_worker_that_refuses_what_the_others_serve_does_not_listen(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as pod:
        await pod.come_up(await held("1.1", ONE))
        pod.has(2, "refuse")
        pod.end(2)
        await pod.at_least("worker_restarts_total", 2)
        assert await pod.metric("workers") == 1
        assert pod.pool.is_ready()
        pod.has(2, "serve")
        await pod.at_least("workers", 2)


async def test_a_configuration_waits_for_the_first_worker_when_there_is_none(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as pod:
        await pod.come_up(await held("1.1", ONE))
        pod.pool.terminate()
        await pod.at_least("worker_restarts_total", 2)
        assert not pod.pool.is_ready()
        second = await held("1.2", TWO)
        await asyncio.wait_for(pod.pool.serve(second), SECONDS)
        assert pod.pool.current is second
        await pod.whole_again(restarts=2)
        assert pod.served(1)[-1] == pod.served(2)[-1] == "1.2"


@pytest.mark.parametrize("does", ["hang", "hang up"])
async def test_a_worker_that_gives_no_sign_of_life_is_replaced(tmp_path: Path, does: str) -> None:
    async with running(tmp_path, "serve", does) as pod:
        pod.pool.open()
        serving = asyncio.create_task(pod.pool.serve(await held("1.1", ONE)))
        await until((tmp_path / "2.pid").exists)
        pod.has(2, "serve")
        await pod.whole_again(restarts=1)
        await asyncio.wait_for(serving, SECONDS)
        assert pod.pool.is_ready()


@pytest.mark.parametrize("does", ["exit", "mute"])
async def test_a_pod_whose_worker_cannot_even_start_gives_up(tmp_path: Path, does: str) -> None:
    """kubelet shows that, and has a back-off of its own."""
    with made(tmp_path, "serve", does) as pod:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(pod.pool.run(), SECONDS)
        assert caught.group_contains(WorkerStartError)
        assert await pod.metric("workers") == 0


async def test_a_worker_that_ends_at_its_start_later_on_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path) as pod:
        await pod.come_up(await held("1.1", ONE))
        pod.has(2, "exit")
        pod.end(2)
        await pod.at_least("worker_restarts_total", 2)
        pod.has(2, "serve")
        await pod.at_least("workers", 2)


async def test_workers_ask_for_keys_and_report_of_credentials(tmp_path: Path) -> None:
    async with running(tmp_path, "report", "babble") as pod:
        pod.pool.open()
        await pod.pool.serve(await held("1.1", ONE))
        await until(lambda: pod.fresh == 2 and (tmp_path / "2.told").exists())
        assert pod.reports == 1
        assert [item.code for item in pod.pool.credentials()] == ["AccessDenied"]


async def test_scrapes_that_come_at_once_are_one_to_the_workers(tmp_path: Path) -> None:
    """Who reaches the metrics must not be able to flood what workers are led by."""
    async with running(tmp_path) as pod:
        await pod.come_up()
        found = await asyncio.gather(*(pod.pool.exposed() for _ in range(10 * MAX_UNANSWERED)))
        assert b"bucketroute_dataplane_in_flight_requests 2.0" in found[-1]
        assert await pod.metric("worker_restarts_total") == 0


async def test_who_does_not_end_in_time_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, "serve", "deaf") as pod:
        await pod.come_up()
    assert "worker 2 is killed: it did not end in time" in caplog.text


def test_the_pause_before_the_next_worker_grows_to_half_a_minute() -> None:
    pauses = [backoff_seconds(failures) for failures in range(1, 10)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
