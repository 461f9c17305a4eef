"""What a GET costs with 10 routes and with 10,000: the same request, two gateways, in turn.

Each boots from a snapshot in its state folder, as after a restart without an operator.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from bench.control.figures import Figure
from bench.control.programs import program
from bench.control.snapshots import held_config
from bench.measure import Part, Plan, run
from bench.processes import BenchmarkError, Cores
from bench.scenarios import KiB, Scenario
from bench.targets import Signer, Surroundings, Target, free_port
from bench.windows import Window
from bucketroute_dataplane.shell.config_store import save_config

FEW, MANY = 10, 10_000
PAIRS_A_ROUND = 6
_SCENARIO = Scenario(method="GET", size_bytes=4 * KiB, concurrency=16)


def compared(directory: Path, rounds: int) -> Figure:
    """The median ratio of the CPU time per request. Raises: BenchmarkError."""
    around = Surroundings(directory=directory, stub_port=free_port())
    targets = tuple(_target(around, count) for count in (FEW, MANY))
    # Short and many: what else the machine does is then the same for both of a pair.
    part = Part(around=around, targets=targets, scenarios=(_SCENARIO,) * PAIRS_A_ROUND)
    plan = Plan(
        cores=Cores.of_this_machine(),
        parts=(part,),
        rounds=rounds,
        window_seconds=1.0,
        warm_up_seconds=0.3,
    )
    windows = list(run(plan))
    ratios = _ratios(windows, few=targets[0].name)
    if not ratios:
        raise BenchmarkError("; ".join(problem for item in windows for problem in item.problems))
    return Figure(
        name=f"CPU of a GET with {MANY:,} routes, against {FEW}",
        value=statistics.median(ratios),
        unit="times",
        goal=1.05,
        remark=f"4 KiB, c16; {len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}",
    )


def _ratios(windows: list[Window], *, few: str) -> list[float]:
    """Of two windows that follow each other, one of each target, where both count."""
    ratios = []
    for pair in zip(windows[::2], windows[1::2], strict=True):
        costs = [
            window.load.cpu_seconds_per_1000_requests
            for window in sorted(pair, key=lambda window: window.target != few)
            if window.counts and window.load is not None
        ]
        if len(costs) == len(pair):
            ratios.append(costs[1] / costs[0])
    return ratios


def _target(around: Surroundings, count: int) -> Target:
    """A gateway that never finds its operator."""
    directory = around.directory / f"routes-{count}"
    directory.mkdir()
    asyncio.run(
        save_config(
            directory / "snapshot.ndjson.gz", held_config(count, stub_port=around.stub_port)
        )
    )
    for name in ("ca.crt", "token"):
        (directory / name).write_text("none")
    port, admin_port = free_port(), free_port()
    argv = (
        *(program("bucketroute-dataplane"), "--listen", f"127.0.0.1:{port}"),
        *("--admin-listen", f"127.0.0.1:{admin_port}", "--config-url", "https://localhost:1"),
        *("--config-ca", str(directory / "ca.crt")),
        *("--config-token-file", str(directory / "token")),
        *("--state-dir", str(directory), "--log-level", "ERROR"),
    )
    return Target(
        name=f"{count} routes",
        argv=argv,
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
        ready_port=admin_port,
    )
