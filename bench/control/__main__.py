"""`python -m bench.control`: how fast and how large the control plane is, with a real API server.

The cluster is that of KUBECONFIG, and has to be empty; `run.sh` makes one. Exit status: 0 every
goal is met, 1 one is missed, 2 it could not run.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.control import get_cost, measures, objects, steps
from bench.control.api import connected
from bench.control.figures import Figure, told
from bench.control.stage import staged
from bench.processes import BenchmarkError
from bench.programs import ProgramMissingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`scale` is that of the numbers of routes: small ones are for trying the benchmark out."""

    samples: int
    rounds: int
    scale: float
    is_short: bool

    def routes(self, count: int) -> int:
        return max(1, round(count * self.scale))


async def measured(directory: Path, options: Options) -> list[Figure]:
    figures: list[Figure] = []

    def add(more: list[Figure]) -> None:
        for figure in more:
            _say(f"  {figure.name}: {figure.value:.3g} {figure.unit}")
        figures.extend(more)

    async with connected() as api, staged(api, directory) as stage:
        probe = await stage.apply(objects.PROBE_NAMESPACE, objects.PROBE)
        await stage.statuses.programmed(probe)
        await stage.grow_to(options.routes(100))
        add(await measures.grants(stage, options.samples // 4))
        await stage.grow_to(options.routes(1000))
        add(await measures.changes(stage, options.samples))
        add(await measures.grants(stage, options.samples // 4))
        if options.is_short:
            return figures
        small = await measures.gateway_memory(stage)
        await stage.grow_to(options.routes(5000))
        add(await measures.stalls(stage, options.samples // 4))
        add(await measures.cold_start(stage))
        await stage.grow_to(options.routes(10_000))
        add(await measures.stalls(stage, options.samples // 4))
        large = await measures.gateway_memory(stage)
    memory = Figure(
        name="data plane memory per 1,000 routes",
        value=(large - small) / (9 * options.scale),
        unit="MiB",
        remark=f"{small:.0f} MiB with 1,000, {large:.0f} MiB with 10,000",
    )
    add([memory])
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument("--samples", type=int, default=100, help="changes that are timed")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison of GETs")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of routes")
    parser.add_argument(
        "--short", dest="is_short", action="store_true", help="no more than 1,000 routes"
    )
    given = Options(**vars(parser.parse_args()))
    try:
        with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as name:
            figures = [*steps.longest(given.routes(5000)), *steps.longest(given.routes(10_000))]
            figures += asyncio.run(measured(Path(name), given))
            _say("GET with 10 and with 10,000 routes")
            figures.append(get_cost.compared(Path(name), given.rounds))
    except (BenchmarkError, ProgramMissingError, OSError) as exc:
        print(f"bench.control: {exc}", file=sys.stderr)
        return 2
    return told("control", figures, rounds=given.rounds)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
