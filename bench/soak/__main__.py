"""`python -m bench.soak`: mixed load with accidents on both sides, then: is anything left behind?

Exit status: 0 nothing is, 1 something is or a body was wrong.
"""

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from urllib.request import urlopen

from bench.soak.backend import SoakBackend
from bench.soak.load import BUCKET, Front, Tally, Worker
from bench.soak.process import Held, Memory, MiB, metric
from bucketroute_testing.gateway import random_key
from bucketroute_testing.manifests import (
    AccessRule,
    RouteBackend,
    StaticCredentials,
    access_key_secret,
    bucket_backend,
    bucket_route,
    static_credentials_secret,
    write_manifests,
)
from bucketroute_testing.processes import ServeOptions, ServeProcess
from bucketroute_testing.signing import UNSIGNED_PAYLOAD, AccessKey, Signer
from bucketroute_testing.tls import make_certificate

WORKERS = 12  # for each front
IDLE = "10s"  # what a stalled backend is given
# Idle backend connections go after 4 s, and the sweep comes once a second.
SETTLE_SECONDS = 30.0
# Pipes that are kept for the next moves, two descriptors each, and the instance that watches them.
KEPT_PIPES, KEPT_OTHERS = 2 * 16, 1
# A process takes a minute to have met all that it will meet.
MEMORY_SECONDS, RSS_MARGIN_BYTES = 240.0, 8 * MiB
# The event loop's pool, the resolver's, the access log's writer, the watcher of manifests.
MAX_THREADS = 16
# As many bodies of 4 MiB as fit into the budget of 64 MiB, with the room that each is counted for.
BUFFERED, BUFFERED_BYTES = 12, 4 * MiB


class Serving:
    """The two data planes, http and https, before one backend."""

    def __init__(self, stack: ExitStack, directory: Path, backend_port: int) -> None:
        key = random_key()
        self.signer = Signer(key=key)
        self.certificate = make_certificate(directory / "tls")
        path = directory / "manifests"
        path.mkdir()
        write_manifests(path / "soak.yaml", *_manifests(key, backend_port))
        options = ServeOptions(manifests=(path,))
        secure = replace(
            options, tls_certificate=self.certificate.certificate, tls_key=self.certificate.key
        )
        self.processes = {
            name: stack.enter_context(ServeProcess(given, directory / name))
            for name, given in (("http", options), ("https", secure))
        }
        context = self.certificate.client_context()
        self.fronts = {
            name: Front(process.endpoint, self.signer, context if name == "https" else None)
            for name, process in self.processes.items()
        }

    def metrics(self, name: str) -> str:
        context = self.certificate.client_context() if name == "https" else None
        with urlopen(f"{self.processes[name].endpoint}/-/metrics", context=context) as answer:
            text: str = answer.read().decode()
        return text


def _manifests(key: AccessKey, port: int) -> list[dict[str, object]]:
    backend = bucket_backend(
        "store", f"http://127.0.0.1:{port}", StaticCredentials(secret_name="b")
    )
    placed = RouteBackend(ref="store", bucket="backend-bucket")
    return [
        access_key_secret("client", key),
        static_credentials_secret("b", random_key()),
        backend,
        bucket_route(
            BUCKET, placed, [AccessRule(access_keys=["client"])], extra={"timeouts": {"idle": IDLE}}
        ),
    ]


async def soak(seconds: float, seed: int, directory: Path) -> list[str]:
    """What is wrong, if anything."""
    backend = SoakBackend()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=1 * MiB)
    problems: list[str] = []
    with ExitStack() as stack:
        port = server.sockets[0].getsockname()[1]
        serving = await asyncio.to_thread(Serving, stack, directory, port)
        pids = {name: process.pid for name, process in serving.processes.items()}
        held = {name: Held.by(pid) for name, pid in pids.items()}
        memory, tally = Memory(pids), Tally()
        sampling = asyncio.create_task(memory.run())
        await _load(serving, tally, seconds, seed)
        sampling.cancel()
        problems += [*tally.problems, *await _check_budget(serving)]
        backend.end()
        await _settle(pids, held, backend)
        problems += backend.problems
        if backend.open_connections:
            problems.append(f"{backend.open_connections} connections to the backend are open")
        for name in pids:
            after = Held.by(pids[name])  # before another connection is made
            text = await asyncio.to_thread(serving.metrics, name)
            problems += _left_behind(name, held[name], after, text)
            if seconds >= MEMORY_SECONDS:
                problems += _grown(name, memory)
        _report(tally, backend, memory, serving)
        server.close()
        await asyncio.to_thread(stack.close)
    return problems


async def _load(serving: Serving, tally: Tally, seconds: float, seed: int) -> None:
    end = time.monotonic() + seconds
    numbers = count()

    def is_over() -> bool:
        # The first wrong answers say enough.
        return time.monotonic() > end or len(tally.problems) > 20

    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            for name, front in serving.fronts.items():
                worker = Worker(front, tally, random.Random(f"{seed} {name} {number}"))
                group.create_task(worker.run(is_over, numbers))


async def _check_budget(serving: Serving) -> list[str]:
    """Whether all of the budget for buffered bodies is free again: it is used up at once."""
    tags = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
    body = tags + b" " * (BUFFERED_BYTES - 1024) + b"</CompleteMultipartUpload>"
    problems = []
    for name, front in serving.fronts.items():
        streams = [await front.connect() for _ in range(BUFFERED)]
        for number, (_, writer) in enumerate(streams):
            target = f"/{BUCKET}/none/0/0/{number}?uploadId=u"
            writer.write(
                front.head("POST", target, length=len(body), payload_hash=UNSIGNED_PAYLOAD)
            )
            writer.write(body[:-1])
        for _, writer in streams:
            await writer.drain()
        for _, writer in streams:
            writer.write(body[-1:])
        heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in streams]
        if not all(head.startswith(b"HTTP/1.1 200") for head in heads):
            problems.append(f"{name}: {BUFFERED} bodies of 4 MiB do not fit into the budget")
        for _, writer in streams:
            writer.transport.abort()
    return problems


async def _settle(pids: dict[str, int], held: dict[str, Held], backend: SoakBackend) -> None:
    """Until every connection is closed that is going to be."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        is_closed = all(Held.by(pid).sockets == held[name].sockets for name, pid in pids.items())
        if is_closed and not backend.open_connections:
            return


def _left_behind(name: str, before: Held, after: Held, exposition: str) -> list[str]:
    in_flight = metric(exposition, "in_flight_requests")
    moved = metric(exposition, "moved_bytes_total")
    wrong = {
        f"{after.sockets - before.sockets} sockets": after.sockets != before.sockets,
        f"{after.pipes} pipes": after.pipes > before.pipes + KEPT_PIPES,
        f"{after.others} other descriptors": after.others > before.others + KEPT_OTHERS,
        f"{after.threads} threads": after.threads > MAX_THREADS,
        f"{in_flight:.0f} requests in flight": in_flight != 0,
        f"{moved:.0f} bytes moved": (moved > 0) is not (name == "http"),
    }
    return [f"{name}: {what}" for what, is_wrong in wrong.items() if is_wrong]


def _grown(name: str, memory: Memory) -> list[str]:
    early, late = memory.early_and_late(name)
    if late <= early * 1.1 + RSS_MARGIN_BYTES:
        return []
    return [f"{name}: memory grew from {early / MiB:.0f} to {late / MiB:.0f} MiB"]


def _report(tally: Tally, backend: SoakBackend, memory: Memory, serving: Serving) -> None:
    print(f"{sum(tally.outcomes.values())} exchanges, {backend.counts['objects']} objects made")
    print(f"{tally.bytes_in / MiB:.0f} MiB sent, {tally.bytes_out / MiB:.0f} MiB received")
    for outcome, times in sorted(tally.outcomes.items()):
        print(f"  {times:8d} {outcome}")
    for name, process in serving.processes.items():
        early, late = (value / MiB for value in memory.early_and_late(name))
        held = Held.by(process.pid)
        print(f"{name}: highest memory {early:.0f} MiB early, {late:.0f} MiB late; now {held}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="which accidents happen")
    args = parser.parse_args()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    with tempfile.TemporaryDirectory(prefix="bucketroute-soak-") as directory:
        problems = asyncio.run(soak(args.minutes * 60, args.seed, Path(directory)))
    for problem in problems:
        print(f"PROBLEM {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
