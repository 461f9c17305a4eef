"""`python -m bench.login`: logins beside the gateway, and what open sessions cost it.

1,000 logins at concurrency 16, 1,000 at once, and 10,000 sessions that are open together and
each used twice. Exit status: 0 every goal is met, 1 one is missed, 2 it could not run.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from bench.control.figures import Figure, percentile, told
from bench.login.gateway import Gateway, running_gateway, session_of
from bench.processes import BenchmarkError, Cores
from bucketroute_dataplane.core.sigv4 import SigningCredentials

LOGINS = 1000
CONCURRENCY = 16
MiB = 1024**2
# The signing keys of the last 4,096 callers, other bounded caches, and noise.
FIRST_USE_GOAL_MIB = 16.0
# By then every cache is full: whatever is kept for a session would show here.
SECOND_USE_GOAL_MIB = 2.0

Send = Callable[[bytes], Awaitable[bytes]]


async def exchange(port: int, request: bytes) -> bytes:
    """The answer, to its end, on a connection of its own. Raises: BenchmarkError: no 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"refused: {answer[:400]!r}")
    return answer


async def at_most(concurrency: int, requests: Iterable[bytes], send: Send) -> list[bytes]:
    """A closed loop: each worker sends its next request when the last is answered."""
    waiting = iter(requests)

    async def worker() -> list[bytes]:
        return [await send(request) for request in waiting]

    workers = await asyncio.gather(*(worker() for _ in range(concurrency)))
    return [answer for answers in workers for answer in answers]


async def logins(gateway: Gateway) -> list[Figure]:
    """How long logins take: a steady stream of them, then all of them at once."""
    seconds: list[float] = []

    async def log_in(request: bytes) -> bytes:
        started = time.perf_counter()
        answer = await exchange(gateway.port, request)
        seconds.append(time.perf_counter() - started)
        return answer

    requests = [gateway.login_request(number) for number in range(LOGINS)]
    await at_most(CONCURRENCY, requests[:100], log_in)
    seconds.clear()
    cpu = gateway.cpu_seconds()
    await at_most(CONCURRENCY, requests, log_in)
    cpu = (gateway.cpu_seconds() - cpu) / LOGINS
    steady = list(seconds)
    started = time.perf_counter()
    await at_most(LOGINS, requests, log_in)
    burst = time.perf_counter() - started
    return [
        Figure(
            name=f"{LOGINS:,} logins at concurrency {CONCURRENCY}, p99",
            value=percentile(steady, 0.99) * 1e3,
            unit="ms",
            goal=50.0,
            remark=f"p50 {percentile(steady, 0.5) * 1e3:.1f} ms; {cpu * 1e3:.2f} ms of CPU each",
        ),
        Figure(name=f"{LOGINS:,} logins at once, all answered", value=burst, unit="s", goal=5.0),
    ]


async def sessions(gateway: Gateway, count: int) -> list[Figure]:
    """What that many open sessions leave in the gateway's memory."""

    async def send(request: bytes) -> bytes:
        return await exchange(gateway.port, request)

    async def use(open_sessions: list[SigningCredentials]) -> float:
        requests = (gateway.head_bucket(session) for session in open_sessions)
        await at_most(CONCURRENCY, requests, send)
        return gateway.rss_bytes() / MiB

    before = gateway.rss_bytes() / MiB
    requests = (gateway.login_request(number) for number in range(count))
    answers = await at_most(CONCURRENCY, requests, send)
    logged_in = gateway.rss_bytes() / MiB
    open_sessions = [session_of(answer) for answer in answers]
    once, twice = await use(open_sessions), await use(open_sessions)
    return [
        Figure(
            name=f"memory for {count:,} open sessions, each used once",
            value=once - before,
            unit="MiB",
            goal=FIRST_USE_GOAL_MIB,
            remark=f"{before:.1f} MiB before, {logged_in:.1f} after the logins, {once:.1f} then",
        ),
        Figure(
            name="memory when each is used once more",
            value=twice - once,
            unit="MiB",
            goal=SECOND_USE_GOAL_MIB,
            remark=f"{twice:.1f} MiB then",
        ),
    ]


async def measured(gateway: Gateway, count: int) -> list[Figure]:
    return [*await logins(gateway), *await sessions(gateway, count)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.login", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    count = parser.parse_args().sessions
    try:
        cores = Cores.of_this_machine()
        os.sched_setaffinity(0, {cores.rest})
        with (
            tempfile.TemporaryDirectory(prefix="bucketroute-bench-") as directory,
            running_gateway(Path(directory), cores) as gateway,
        ):
            figures = asyncio.run(measured(gateway, count))
    except (BenchmarkError, OSError) as exc:
        print(f"bench.login: {exc}", file=sys.stderr)
        return 2
    return told("login", figures, rounds=1)


if __name__ == "__main__":
    sys.exit(main())
