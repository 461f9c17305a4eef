"""`python -m bench.start`: how soon the programs are there, how much memory they take, how large
their images are.

Exit status: 0 every goal is met, 1 one is missed, 2 it could not run.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.control.figures import Figure, told
from bench.control.snapshots import held_config
from bench.login.__main__ import exchange
from bench.login.gateway import ISSUER, Gateway
from bench.processes import BenchmarkError
from bench.start.places import image_bytes, programs_of
from bench.start.pods import SETTLE_SECONDS, Surroundings, started
from bench.targets import free_port
from bucketroute_dataplane.shell.config_store import save_config
from bucketroute_dataplane.shell.pod_config import SNAPSHOT_FILE
from bucketroute_snapshot import Secret, SnapshotSecrets
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.identity_tokens import jwk, jwks, rsa_key

READY_GOAL_MS = 400.0
IDLE_GOAL_MIB = 45.0
ROUTES = 10
MiB = 1024**2


def from_what_it_kept(around: Surroundings, starts: int) -> list[Figure]:
    """As a container that is restarted while the operator is away."""
    state = around.directory / "state" / SNAPSHOT_FILE
    asyncio.run(save_config(state, held_config(ROUTES, stub_port=1)))
    ready, cpu, idle, anonymous = [], [], [], []
    for _ in range(starts):
        with started(around) as pod:
            ready.append(pod.ready_seconds * 1e3)
            cpu.append(pod.cpu_seconds * 1e3)
            time.sleep(SETTLE_SECONDS)
            idle.append(pod.memory_mib())
            anonymous.append(pod.memory_mib("Anonymous"))
    state.unlink()
    return [
        Figure(
            name="data plane ready, from what it kept",
            value=statistics.median(ready),
            unit="ms",
            goal=READY_GOAL_MS,
            remark=f"{_range(ready)}; {statistics.median(cpu):.0f} ms of CPU",
        ),
        Figure(
            name="data plane, idle memory (RSS)",
            value=statistics.median(idle),
            unit="MiB",
            goal=IDLE_GOAL_MIB,
            remark=f"{statistics.median(anonymous):.1f} of them its own, the rest files'",
        ),
    ]


async def with_the_operator(around: Surroundings, starts: int) -> list[Figure]:
    """As a new pod: it has nothing, asks the operator, and then somebody logs in."""
    key = rsa_key()
    snapshot = held_config(ROUTES, stub_port=1).snapshot
    settings = replace(snapshot.settings, cluster_issuer=ISSUER, cluster_jwks=jwks(jwk(key)))
    secrets = SnapshotSecrets(sealing_keys=(Secret(b64encode(bytes(32)).decode()),))
    operator = OperatorEnd(around.directory)
    operator.publish("1.1", replace(snapshot, settings=settings), secrets)
    (around.directory / "token").write_text(operator.address().token_file.read_text())
    state = around.directory / "state" / SNAPSHOT_FILE
    ready, memory = [], []

    def start(beside: Surroundings) -> None:
        with started(beside) as pod:
            ready.append(pod.ready_seconds * 1e3)
            gateway = Gateway(pod.s3_port, pod.pid, key)
            asyncio.run(exchange(pod.s3_port, gateway.login_request(1)))
            memory.append(pod.memory_mib())
        state.unlink(missing_ok=True)

    async with operator.listening():
        for _ in range(starts):
            await asyncio.to_thread(start, replace(around, operator_port=operator.port))
    return [
        Figure(
            name="data plane ready, from the operator",
            value=statistics.median(ready),
            unit="ms",
            goal=READY_GOAL_MS,
            remark=_range(ready),
        ),
        Figure(name="data plane after a login", value=statistics.median(memory), unit="MiB"),
    ]


def of_the_operator(programs: Path, starts: int) -> list[Figure]:
    """From its exec to its end with all imported: what comes then is up to the API server."""
    seconds, memory = [], []
    for _ in range(starts):
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(programs / "bucketroute-operator"), "--help"], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchmarkError(f"bucketroute-operator --help ended with {process.returncode}")
        seconds.append((time.perf_counter() - began) * 1e3)
        memory.append(usage.ru_maxrss * 1024 / MiB)
    return [
        Figure(
            name="operator, all imported",
            value=statistics.median(seconds),
            unit="ms",
            remark=f"{_range(seconds)}; {statistics.median(memory):.0f} MiB",
        )
    ]


def of_the_images() -> list[Figure]:
    """Of those that were built here."""
    sizes = {image: image_bytes(image) for image in ("dataplane", "operator")}
    return [
        Figure(name=f"image of the {image}, over its base", value=size / MiB, unit="MiB")
        for image, size in sizes.items()
        if size is not None
    ]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"


def measured(directory: Path, starts: int) -> list[Figure]:
    programs = {image: programs_of(image) for image in ("dataplane", "operator")}
    (directory / "state").mkdir()
    for name in ("ca.crt", "token"):
        (directory / name).write_text("none")
    around = Surroundings(
        program=programs["dataplane"] / "bucketroute-dataplane",
        directory=directory,
        operator_port=free_port(),
    )
    return [
        *from_what_it_kept(around, starts),
        *asyncio.run(with_the_operator(around, starts)),
        *of_the_operator(programs["operator"], starts),
        *of_the_images(),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--starts", type=int, default=11, help="of each (default: %(default)d)")
    starts = parser.parse_args().starts
    try:
        with tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory:
            figures = measured(Path(directory), starts)
    except (BenchmarkError, OSError) as exc:
        print(f"bench.start: {exc}", file=sys.stderr)
        return 2
    return told("start", figures, rounds=starts)


if __name__ == "__main__":
    sys.exit(main())
