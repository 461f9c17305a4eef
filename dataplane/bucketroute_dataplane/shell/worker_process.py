"""One worker's place in a pod: the process in it, what that is told, and the next one after it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from bucketroute_dataplane.shell.clock import Clock, wait_at_most
from bucketroute_dataplane.shell.config_store import HeldConfig, update_lines
from bucketroute_dataplane.shell.worker_command import WorkerCommand, WorkerDeadlines
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, Taken, WorkerLink

SHORTEST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
# A worker that lived so long did not end of how it began.
STABLE_SECONDS = 60.0
_PIECE_BYTES = 256 * 1024

_LOGGER = logging.getLogger("bucketroute.dataplane.workers")


class WorkerStartError(Exception):
    """A worker of a new pod has ended before it said hello, and so will the others."""


class Crew(Protocol):
    """What a worker needs to know of the pod, and whom it tells: a `WorkerPool`."""

    current: HeldConfig | None
    is_open: asyncio.Event
    has_served: bool
    ending: asyncio.Event

    async def heard(self, worker: Worker, kind: Kind, payload: bytes) -> bytes:
        """What the worker asks. Raises: LinkError."""
        ...

    def begins(self) -> None:
        """A process has been started."""
        ...

    def listens(self) -> None: ...

    def went(self, worker: Worker) -> None: ...


class Worker:
    """`run` until it is cancelled or, while the pod ends, the process has ended.

    `held` is what the process in place serves, None if nothing or there is none.
    """

    def __init__(
        self,
        number: int,
        command: WorkerCommand,
        crew: Crew,
        *,
        clock: Clock,
        deadlines: WorkerDeadlines,
    ) -> None:
        self.number = number
        self.held: HeldConfig | None = None
        self.is_listening = False
        self._command = command
        self._crew = crew
        self._clock = clock
        self._deadlines = deadlines
        self._process: asyncio.subprocess.Process | None = None
        self._link: WorkerLink | None = None
        self._said_hello = asyncio.Event()
        # Whether it is known if there is a worker that can be asked.
        self._is_decided = asyncio.Event()
        self._bringing = asyncio.Lock()

    async def run(self) -> None:
        """Raises: WorkerStartError."""
        failures = 0
        while not self._crew.ending.is_set():
            began = self._clock.monotonic()
            status = await self._live()
            if self._crew.ending.is_set():
                return
            has_lasted = self._clock.monotonic() - began >= STABLE_SECONDS
            failures = 1 if has_lasted else failures + 1
            pause = backoff_seconds(failures)
            _LOGGER.error("worker %d ended with %s; next in %.1f s", self.number, status, pause)
            ending = asyncio.ensure_future(self._crew.ending.wait())
            await wait_at_most(self._clock, pause, ending)
            ending.cancel()

    async def bring_to(self, held: HeldConfig) -> Taken | None:
        """Has the process serve it; None if there is none, for now.

        One that is starting is waited for, and one that cannot be asked is killed: no process
        serves anything else when this returns APPLIED or None.
        """
        await self._is_decided.wait()
        async with self._bringing:
            link = self._link
            if link is None:
                return None
            if self.held is held:
                return Taken.APPLIED
            try:
                async with asyncio.timeout(self._deadlines.apply):
                    taken = await self._send(link, update_lines(held, self.held))
                    if taken is Taken.STALE:
                        taken = await self._send(link, update_lines(held))
            except (LinkError, TimeoutError) as exc:
                if self._link is link:
                    await self.kill(f"it did not take version {held.version}: {exc!r}")
                return None
            if self._link is not link:  # it has ended since
                return None
            if taken is Taken.APPLIED:
                self.held = held
            return taken

    async def counts(self) -> bytes | None:
        """What it has counted; None if it does not say so in time."""
        link = self._link
        if link is None:
            return None
        try:
            counts = await link.ask(Kind.COUNTS, seconds=self._deadlines.counts)
        except (LinkError, TimeoutError):
            return None
        return counts if self._link is link else None

    def terminate(self) -> None:
        """Has it drain; a second time, end at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def kill(self, why: str) -> None:
        """Returns when it is gone."""
        if self._process is not None:
            if self._process.returncode is None:
                _LOGGER.error("worker %d is killed: %s", self.number, why)
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _live(self) -> int | None:
        """From start to end of one process; its exit status, None if it could not be started."""
        self._said_hello.clear()
        self._is_decided.clear()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await self._start(theirs.fileno())
        except OSError as exc:
            ours.close()
            self._is_decided.set()
            _LOGGER.error("worker %d cannot be started: %s", self.number, exc)
            return None
        self._process = process
        self._crew.begins()
        link = await WorkerLink.over(ours, self._answer)
        try:
            await self._see_through(process, link)
        finally:
            await self.kill("the pod ends")
            link.close()
            self.held, self._link, self.is_listening = None, None, False
            self._is_decided.set()
            self._crew.went(self)
        is_first = not self._crew.has_served and not self._crew.ending.is_set()
        if is_first and not self._said_hello.is_set():
            raise WorkerStartError(f"a worker ended with {process.returncode} at its start")
        return process.returncode

    async def _start(self, link: int) -> asyncio.subprocess.Process:
        """In a session of its own: a terminal's Ctrl-C is the supervisor's to pass on."""
        return await asyncio.create_subprocess_exec(
            *self._command.line(self.number, link),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(link, self._command.log_turn),
            start_new_session=True,
        )

    async def _see_through(self, process: asyncio.subprocess.Process, link: WorkerLink) -> None:
        """Until the process has ended, or is killed for what it did."""
        if self._crew.ending.is_set():
            self.terminate()
        ended = asyncio.create_task(process.wait())
        talk = asyncio.create_task(self._talk(link))
        try:
            await asyncio.wait({ended, talk}, return_when=asyncio.FIRST_COMPLETED)
            if talk.done() and not ended.done():
                try:
                    talk.result()
                    await asyncio.wait({ended}, timeout=self._deadlines.exit)
                    await self.kill("it hung up and did not end")
                except (LinkError, TimeoutError) as exc:
                    await self.kill(repr(exc))
        finally:
            await _end(ended, talk)

    async def _talk(self, link: WorkerLink) -> None:
        """Until the worker hangs up. Raises: LinkError or TimeoutError if it is to be replaced."""
        hearing = asyncio.create_task(link.run())
        leading = asyncio.create_task(self._lead(link))
        try:
            await asyncio.wait({hearing, leading}, return_when=asyncio.FIRST_COMPLETED)
            # That the link ended is the reason, and what the other met with a consequence.
            (hearing if hearing.done() else leading).result()
        finally:
            await _end(hearing, leading)

    async def _lead(self, link: WorkerLink) -> None:
        """From its hello on: what the others serve, then the port, then signs of life."""
        async with asyncio.timeout(self._deadlines.start):
            await self._said_hello.wait()
        self._link = link
        self._is_decided.set()
        await self._crew.is_open.wait()
        current = self._crew.current
        if current is not None and await self.bring_to(current) is not Taken.APPLIED:
            raise LinkError("it cannot serve what the others serve")
        await link.ask(Kind.LISTEN, seconds=self._deadlines.listen)
        self.is_listening = True
        assert self._process is not None
        _LOGGER.info("worker %d listens pid=%d", self.number, self._process.pid)
        self._crew.listens()
        while True:
            await self._clock.sleep(self._deadlines.ping_every)
            await link.ask(Kind.PING, seconds=self._deadlines.ping)

    async def _send(self, link: WorkerLink, lines: Sequence[bytes]) -> Taken:
        """In pieces: whoever takes them has requests to serve. Raises: LinkError; TimeoutError."""
        update = memoryview(b"".join(lines))
        for start in range(0, len(update), _PIECE_BYTES):
            await link.tell(Kind.PIECE, bytes(update[start : start + _PIECE_BYTES]))
        answer = await link.ask(Kind.UPDATE, seconds=self._deadlines.apply)
        try:
            return Taken(answer)
        except ValueError as exc:
            raise LinkError("no answer to an update") from exc

    async def _answer(self, kind: Kind, payload: bytes) -> bytes:
        if kind is Kind.HELLO:
            self._said_hello.set()
            return b""
        return await self._crew.heard(self, kind, payload)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """What was to be raised of them has been."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def backoff_seconds(failures: int) -> float:
    """Before the next process, after so many in a row that did not last."""
    return min(LONGEST_BACKOFF_SECONDS, SHORTEST_BACKOFF_SECONDS * 2.0 ** (failures - 1))
