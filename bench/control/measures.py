"""The measures: changes, revocations and deletions, cold start, stalls, memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

from bench.control import objects
from bench.control.figures import Figure, percentile
from bench.control.programs import Requests, requesting
from bench.control.stage import Stage

EVERY_SECONDS = 1.0
# How finely a revocation is seen, and a stall.
REQUEST_EVERY_SECONDS = 0.004
_PROBE_PATH = f"/{objects.PROBE}/object"
_SETTLED_SECONDS = 10.0
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the probe: when it was asked for, and when its status said that it is done."""

    kind: str
    asked: float
    done: float


class Pace:
    """`await turn()` once a second."""

    def __init__(self) -> None:
        self._due = monotonic()

    async def turn(self) -> None:
        await asyncio.sleep(max(0.0, self._due - monotonic()))
        self._due = max(self._due, monotonic() - EVERY_SECONDS) + EVERY_SECONDS


async def changes(stage: Stage, count: int) -> list[Figure]:
    """One change a second of a route at random."""
    chosen, pace, seconds = random.Random(7), Pace(), []
    for _ in range(count):
        await pace.turn()
        asked = monotonic()
        applied = await stage.apply(*chosen.choice(stage.routes))
        seconds.append(await stage.statuses.programmed(applied) - asked)
    return _times(f"apply to Programmed, {_size(stage)}", seconds, p50=1.0, p99=3.0)


async def grants(stage: Stage, cycles: int) -> list[Figure]:
    """Takes a grant away and gives it back, deletes a route and makes it anew; an open session
    requests all the while."""
    session, steps, pace = await stage.session(), [], Pace()
    with requesting(
        stage.gateway_port, _PROBE_PATH, session, interval=REQUEST_EVERY_SECONDS
    ) as requests:
        for _ in range(cycles):
            for kind in ("revoked", "granted", "deleted", "created"):
                await pace.turn()
                steps.append(await _step(stage, kind))
        await pace.turn()
    size, late = _size(stage), _late(steps, requests)
    seen = {
        kind: [
            requests.first(status, after=step.asked).ended - step.asked
            for step in steps
            if step.kind == kind
        ]
        for kind, status in (("revoked", 403), ("deleted", 404), ("created", 200))
    }
    return [
        *_times(f"grant removed to refused, {size}", seen["revoked"], p50=1.0, p99=1.0),
        *_times(f"route deleted to gone, {size}", seen["deleted"], p50=1.0, p99=3.0),
        *_times(f"route created to served, {size}", seen["created"], p50=1.0, p99=3.0),
        Figure(
            name=f"answers that should have been refused, after Programmed, {size}",
            value=sum(count for count, _ in late),
            unit="requests",
            goal=1,
            remark="; ".join(when for _, when in late),
        ),
    ]


async def _step(stage: Stage, kind: str) -> Step:
    probe = (objects.PROBE_NAMESPACE, objects.PROBE)
    asked = monotonic()
    if kind == "deleted":
        await stage.api.delete(objects.route_path(*probe))
        return Step(kind, asked, asked)
    applied = await stage.apply(*probe, grants=kind != "revoked")
    return Step(kind, asked, await stage.statuses.programmed(applied))


def _late(steps: Sequence[Step], requests: Requests) -> list[tuple[int, str]]:
    """Requests that were begun after all data planes had acknowledged, and succeeded: their number
    for each revocation that had such, and when they were."""
    found = []
    for step, following in pairwise(steps):
        samples = requests.within(step.done, following.asked) if step.kind == "revoked" else []
        late = [item for item in samples if item.status == 200 and item.at > step.done]
        if late:
            first, last, done = (at - step.asked for at in (late[0].at, late[-1].at, step.done))
            when = f"{first:.2f} to {last:.2f} s after the apply, Programmed at {done:.2f} s"
            found.append((len(late), when))
    return found


async def stalls(stage: Stage, count: int) -> list[Figure]:
    """The slowest request while the gateway takes up a snapshot, beside the slowest without."""
    session, pace, swaps = await stage.session(), Pace(), []
    chosen = random.Random(11)
    began = monotonic()
    with requesting(
        stage.gateway_port, _PROBE_PATH, session, interval=REQUEST_EVERY_SECONDS / 2
    ) as requests:
        await asyncio.sleep(count * EVERY_SECONDS)
        quiet_until = monotonic()
        for _ in range(count):
            await pace.turn()
            asked = monotonic()
            applied = await stage.apply(*chosen.choice(stage.routes))
            swaps.append((asked, await stage.statuses.programmed(applied)))
    quiet = [item.seconds * _MS for item in requests.within(began, quiet_until)]
    worst = [max(item.seconds for item in requests.within(*swap)) * _MS for swap in swaps]
    size = _size(stage)
    floor = f"without a change: {max(quiet):.1f} ms"
    return [
        Figure(
            name=f"slowest request during a swap, {size}",
            value=percentile(worst, 0.5),
            unit="ms",
            goal=20,
            remark="median of the swaps",
        ),
        Figure(
            name=f"slowest request of all swaps, {size}",
            value=max(worst),
            unit="ms",
            goal=20,
            remark=floor,
        ),
    ]


async def cold_start(stage: Stage) -> list[Figure]:
    """The operator is stopped and started again, with all routes there."""
    await asyncio.to_thread(stage.operator.stop)
    stage.operator = stage.place.start()
    seconds = await asyncio.to_thread(stage.operator.wait_for, "published class=default")
    await changes(stage, 5)
    await asyncio.sleep(_SETTLED_SECONDS)
    size = _size(stage)
    return [
        Figure(name=f"operator start to first publish, {size}", value=seconds, unit="s", goal=15),
        Figure(
            name=f"operator memory at its peak, {size}",
            value=stage.operator.memory_mib("VmHWM"),
            unit="MiB",
            goal=300,
        ),
    ]


async def gateway_memory(stage: Stage) -> float:
    """MiB, once it has settled."""
    await asyncio.sleep(_SETTLED_SECONDS)
    return stage.gateway.memory_mib()


def _times(name: str, seconds: Sequence[float], *, p50: float, p99: float) -> list[Figure]:
    remark = f"{len(seconds)} samples, one a second"
    return [
        Figure(name=f"{name}: p50", value=percentile(seconds, 0.5), unit="s", goal=p50),
        Figure(
            name=f"{name}: p99", value=percentile(seconds, 0.99), unit="s", goal=p99, remark=remark
        ),
    ]


def _size(stage: Stage) -> str:
    return f"{len(stage.routes):,} routes"
