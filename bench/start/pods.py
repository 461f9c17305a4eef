"""A data plane from its start to its first login: how long, and how much memory."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchmarkError
from bench.targets import free_port

START_SECONDS = 30.0
# By then what a start leaves to be done is done: the first poll of the operator, say.
SETTLE_SECONDS = 2.0
_STOP_SECONDS = 20.0
MiB = 1024**2
_TICKS = os.sysconf("SC_CLK_TCK")
_READY = b"GET /-/ready HTTP/1.0\r\nhost: bench\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the pod mounts is in `directory`: ca.crt, token, and state/ with what it kept."""

    program: Path
    directory: Path
    operator_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A ready data plane. `ready_seconds` are from its exec to its first 200 on /-/ready."""

    pid: int
    s3_port: int
    ready_seconds: float
    cpu_seconds: float

    def memory_mib(self, field: str = "Rss") -> float:
        """Source: proc_pid_smaps(5), the roll-up."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / MiB
        raise BenchmarkError(f"smaps_rollup has no {field}")


@contextmanager
def started(around: Surroundings) -> Iterator[Pod]:
    """Raises: BenchmarkError when it is not ready in time."""
    s3_port, admin_port = free_port(), free_port()
    argv = [
        *(str(around.program), "--listen", f"127.0.0.1:{s3_port}"),
        *("--admin-listen", f"127.0.0.1:{admin_port}", "--log-level", "ERROR"),
        *("--config-url", f"https://localhost:{around.operator_port}"),
        *("--config-ca", str(around.directory / "ca.crt")),
        *("--config-token-file", str(around.directory / "token")),
        *("--state-dir", str(around.directory / "state")),
    ]
    began = time.perf_counter()
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the access log
        env={"PATH": os.environ["PATH"]},
    )
    try:
        while not _is_ready(admin_port):
            if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                raise BenchmarkError("bucketroute-dataplane does not get ready")
            time.sleep(0.002)
        ready = time.perf_counter() - began
        yield Pod(
            pid=process.pid,
            s3_port=s3_port,
            ready_seconds=ready,
            cpu_seconds=_cpu_seconds(process.pid),
        )
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_READY)
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _cpu_seconds(pid: int) -> float:
    """User and system time so far. Source: proc_pid_stat(5), fields 14 and 15, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
