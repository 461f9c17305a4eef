"""A worker's end of what its supervisor says: configurations, and when to listen."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from bucketroute_dataplane.shell.config_channel import ConfigTarget
from bucketroute_dataplane.shell.config_client import ChannelError
from bucketroute_dataplane.shell.config_store import HeldConfig, UnknownBaseError, read_update
from bucketroute_dataplane.shell.memory import no_collections
from bucketroute_dataplane.shell.slices import Slices, let_go
from bucketroute_dataplane.shell.update_reader import UpdateReader
from bucketroute_dataplane.shell.worker_link import Kind, LinkError, Taken, WorkerLink
from bucketroute_snapshot import SnapshotFormatError

REPORT_SECONDS = 10.0

log = logging.getLogger("bucketroute.dataplane.config")


class WorkerFeed:
    """`answer` is for the link. `held` is the configuration that is served, and `on_held` is called
    when it is another.

    `listen` opens the port; `counts` gives what the worker has counted, in small pieces.
    """

    def __init__(
        self,
        target: ConfigTarget,
        *,
        listen: Callable[[], Awaitable[None]],
        counts: Callable[[], Iterator[list[object]]],
    ) -> None:
        self.held: HeldConfig | None = None
        self.on_held: Callable[[], None] = lambda: None
        self.is_listening = False
        self._target = target
        self._listen = listen
        self._counts = counts
        self._update = UpdateReader()

    async def answer(self, kind: Kind, payload: bytes) -> bytes:
        """Raises: LinkError; what `listen` raises."""
        match kind:
            case Kind.PIECE:
                try:
                    self._update.feed(payload)
                except SnapshotFormatError as exc:
                    raise LinkError(str(exc)) from exc
            case Kind.UPDATE:
                return (await self._take()).value
            case Kind.LISTEN:
                await self._listen()
                self.is_listening = True
            case Kind.COUNTS:
                return await self._counted()
            case Kind.PING:
                pass
            case _:
                raise LinkError(f"a worker is not asked for {kind.name}")
        return b""

    async def _take(self) -> Taken:
        update, self._update = self._update, UpdateReader()
        try:
            with no_collections():
                held = await read_update(update.lines(), self.held)
        except UnknownBaseError:
            return Taken.STALE
        except SnapshotFormatError as exc:
            log.error("snapshot refused: %s", exc)
            return Taken.REFUSED
        try:
            await self._target.serve(held)
        except Exception:
            # Whatever it is, requests go on with what is there, and the supervisor is told.
            log.exception("a snapshot cannot be served version=%s", held.version)
            return Taken.REFUSED
        former, self.held = self.held, held
        self.on_held()
        await _let_go(former)
        return Taken.APPLIED

    async def _counted(self) -> bytes:
        slices = Slices()
        lines = []
        for piece in self._counts():
            lines.append(json.dumps(piece, separators=(",", ":")))
            await slices.pause()
        return "\n".join(lines).encode()


async def _let_go(former: HeldConfig | None) -> None:
    routes = [] if former is None else list(former.snapshot.routes)
    del former
    slices = Slices()
    for _ in let_go(routes):
        await slices.pause()


class SupervisorReports:
    """Implements `ReportTaker`: the supervisor sums up for the operator."""

    def __init__(self, link: WorkerLink) -> None:
        self._link = link

    async def post(self, path: str, body: Mapping[str, object]) -> None:
        """Raises: ChannelError."""
        try:
            await self._link.ask(Kind.REPORT, json.dumps(body).encode(), seconds=REPORT_SECONDS)
        except (LinkError, TimeoutError) as exc:
            raise ChannelError(f"the supervisor did not take it: {exc}") from exc
