"""A worker that misbehaves as it is told, for what a real one cannot be made to do on demand.

    python scripted_worker.py NUMBER LINK LOG_TURN FOLDER …

FOLDER/NUMBER.does says how, see `_BEHAVIOURS`; it is read at the start, and FOLDER/NUMBER.pid is
written. The versions that the worker has taken up are appended to FOLDER/NUMBER.served.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_dataplane.shell.worker_command import WorkerCommand
from bucketroute_dataplane.shell.worker_feed import WorkerFeed
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, WorkerLink

_BEHAVIOURS = {
    "serve": "does all that it is told",
    "exit": "ends before it has said hello",
    "mute": "never says hello",
    "refuse": "refuses every configuration",
    "refuse 1.2": "refuses this one",
    "hang in 1.2": "never comes back from taking this one up",
    "hang": "never comes back from listening",
    "hang up": "closes its link and lives on",
    "babble": "reports what is no report",
    "report": "asks for new keys and reports of a route",
    "deaf": "does not hear SIGTERM",
}
REPORT = {
    "credentials": [
        {
            "route": "team-a/one",
            "uid": "uid-team-a-one",
            "generation": 1,
            "state": "False",
            "code": "AccessDenied",
            "at": 1.0,
            "bucket": "Unknown",
        }
    ]
}


class ScriptedCommand(WorkerCommand):
    """`arguments` are the folder."""

    def line(self, number: int, link: int) -> list[str]:
        seat = [str(number), str(link), str(self.log_turn)]
        return [sys.executable, __file__, *seat, *self.arguments]


class _Target:
    def __init__(self, does: str, served: Path) -> None:
        self._does = does
        self._served = served

    async def serve(self, held: HeldConfig) -> None:
        if self._does in ("refuse", f"refuse {held.version}"):
            raise ValueError("it is told to")
        if self._does == f"hang in {held.version}":
            time.sleep(3600)  # noqa: ASYNC251  # a loop that hangs is the point
        with self._served.open("a") as file:
            file.write(f"{held.version}\n")


def _counts() -> Iterator[list[object]]:
    yield [1, 0, 0]


async def _run(number: str, end: socket.socket, folder: Path) -> None:
    does = (folder / f"{number}.does").read_text()
    assert does in _BEHAVIOURS, does
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    if does == "exit":
        sys.exit(3)
    if does == "mute":
        time.sleep(3600)  # noqa: ASYNC251

    async def listen() -> None:
        if does == "hang":
            asyncio.get_running_loop().call_later(0.05, time.sleep, 3600)

    target = _Target(does, folder / f"{number}.served")
    feed = WorkerFeed(target, listen=listen, counts=_counts)
    link = await WorkerLink.over(end, feed.answer)
    hearing = asyncio.create_task(link.run())
    if does == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await link.ask(Kind.HELLO, seconds=10)
    if does == "hang up":
        link.close()
        await asyncio.sleep(3600)
    if does in ("babble", "report"):
        link.hint(Kind.FRESH)
        body = REPORT if does == "report" else {"credentials": [{"route": 1}]}
        try:
            await link.ask(Kind.REPORT, json.dumps(body).encode(), seconds=10)
        except LinkError:
            (folder / f"{number}.told").write_text("that this is no report")
    await hearing
    if does == "deaf":
        time.sleep(3600)  # noqa: ASYNC251


if __name__ == "__main__":
    own_number, own_link, _, own_folder = sys.argv[1:5]
    asyncio.run(_run(own_number, socket.socket(fileno=int(own_link)), Path(own_folder)))
