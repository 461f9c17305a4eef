"""Logins beside the gateway: 1,000 at concurrency 16, 1,000 at once, and 10,000 open sessions.

    python -m bench.login [--sessions 10000]

Every login is a connection of its own with a token of its own, as pods make them; every session is
used once, signed. No backend is needed: HeadBucket is answered from the snapshot. The client shares
the machine with the gateway, each on a core of its own where there are two. Exit status 1 when a
goal is missed: p99 below 50 ms, the burst within 5 s, memory flat over the sessions.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench.processes import BenchmarkError, Cores, pinned
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    format_amz_date,
    sign_headers,
)

ISSUER = "https://kubernetes.default.svc.cluster.local"
LOGINS = 1000
CONCURRENCY = 16
P99_GOAL_SECONDS = 0.050
BURST_GOAL_SECONDS = 5.0
# What 10,000 sessions may leave behind: signing keys of the last 4,096 callers, and noise.
GROWTH_GOAL_BYTES = 16 * 1024 * 1024
START_SECONDS = 20.0

_MANIFEST = """
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {name: data, namespace: team-a}
spec:
  backend:
    bucket: acme
    endpoint: http://127.0.0.1:1
    region: us-east-1
    roleARN: arn:aws:iam::111122223333:role/data
  access:
  - subjects: [{kind: Namespace, name: team-a}]
    permissions: [Read]
"""
_FIELD = re.compile(rb"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)<")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `bucketroute serve` and who may log in to it."""

    port: int
    pid: int
    key: rsa.RSAPrivateKey

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time so far. Source: proc_pid_stat(5), fields 14 and 15, in ticks."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def login_request(self, number: int) -> bytes:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:team-a:app-{number}",
            "aud": ["bucketroute"],
            "exp": now + 3600,
            "nbf": now - 1,
        }
        token = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "k1"})
        form = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": f"arn:aws:iam::000000000000:role/team-a.app-{number}",
                "RoleSessionName": f"pod-{number}",
                "WebIdentityToken": token,
            }
        )
        head = (
            f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nconnection: close\r\n"
            "content-type: application/x-www-form-urlencoded; charset=utf-8\r\n"
            f"content-length: {len(form)}\r\n\r\n{form}"
        )
        return head.encode()

    def head_bucket(self, answer: bytes) -> bytes:
        """A request signed with the session of a login's answer."""
        found = {name.decode(): value.decode() for name, value in _FIELD.findall(answer)}
        host = f"127.0.0.1:{self.port}".encode()
        added = sign_headers(
            UnsignedRequest(b"HEAD", b"/data", b"", [(b"host", host)], EMPTY_SHA256),
            credentials=SigningCredentials(
                found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]
            ),
            region=b"us-east-1",
            amz_date=format_amz_date(datetime.now(UTC)),
            keys=SigningKeys(maxsize=1),
        )
        lines = [b"%s: %s\r\n" % header for header in [(b"host", host), *added]]
        return b"HEAD /data HTTP/1.1\r\nconnection: close\r\n%s\r\n" % b"".join(lines)


@contextmanager
def running_gateway(directory: Path, cores: Cores) -> Iterator[Gateway]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k1"}]}))
    (directory / "route.yaml").write_text(_MANIFEST)
    ready = directory / "ready"
    program = str(Path(sys.executable).with_name("bucketroute"))
    arguments = ("serve", "-f", str(directory / "route.yaml"), "--listen", "127.0.0.1:0")
    cluster = ("--cluster-issuer", ISSUER, "--cluster-jwks", str(directory / "jwks.json"))
    process = subprocess.Popen(
        pinned(cores.proxy, (program, *arguments, *cluster, "--once-ready", str(ready))),
        env={**os.environ, "XDG_STATE_HOME": str(directory)},
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not (ready.is_file() and ready.read_text()):
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError("bucketroute serve does not start")
            time.sleep(0.05)
        yield Gateway(int(ready.read_text().rpartition(":")[2]), process.pid, key)
    finally:
        process.terminate()
        process.wait()


async def exchange(port: int, request: bytes) -> tuple[float, bytes]:
    """Seconds from the connect to the end of the answer, and the answer."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"refused: {answer[:400]!r}")
    return time.perf_counter() - started, answer


async def at_most(
    concurrency: int, requests: Sequence[bytes], send: Callable[[bytes], Awaitable[float]]
) -> list[float]:
    """A closed loop: each worker sends its next request when the last is answered."""
    waiting = iter(requests)

    async def worker() -> list[float]:
        return [await send(request) for request in waiting]

    return [second for part in await asyncio.gather(*[worker() for _ in range(concurrency)])
            for second in part]  # fmt: skip


async def measure(gateway: Gateway, sessions: int) -> bool:
    async def log_in(request: bytes) -> float:
        return (await exchange(gateway.port, request))[0]

    async def use(request: bytes) -> float:
        seconds, answer = await exchange(gateway.port, request)
        await exchange(gateway.port, gateway.head_bucket(answer))
        return seconds

    requests = [gateway.login_request(number) for number in range(LOGINS)]
    await at_most(CONCURRENCY, requests[:100], log_in)
    cpu = gateway.cpu_seconds()
    times = sorted(await at_most(CONCURRENCY, requests, log_in))
    cpu = (gateway.cpu_seconds() - cpu) / LOGINS
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(
        f"{LOGINS} logins at {CONCURRENCY}: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"{cpu * 1e3:.2f} ms of CPU each"
    )
    started = time.perf_counter()
    await at_most(LOGINS, requests, log_in)
    burst = time.perf_counter() - started
    print(f"{LOGINS} logins at once: {burst:.2f} s, all answered")
    before = gateway.rss_bytes()
    for first in range(0, sessions, LOGINS):
        numbers = range(first, min(first + LOGINS, sessions))
        await at_most(CONCURRENCY, [gateway.login_request(number) for number in numbers], use)
    growth = gateway.rss_bytes() - before
    print(f"{sessions} sessions, each used: {growth / 2**20:+.1f} MiB of {before / 2**20:.0f} MiB")
    return p99 < P99_GOAL_SECONDS and burst < BURST_GOAL_SECONDS and growth < GROWTH_GOAL_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.login")
    parser.add_argument("--sessions", type=int, default=10_000)
    sessions = parser.parse_args().sessions
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, {cores.rest})
    with (
        tempfile.TemporaryDirectory() as directory,
        running_gateway(Path(directory), cores) as gateway,
    ):
        is_met = asyncio.run(measure(gateway, sessions))
    print("goals met" if is_met else "a goal is missed")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
