"""The processes of a run: the operator, a gateway, their backend, and the one that requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from bench.processes import BenchmarkError
from bench.requests import Credentials

START_SECONDS = 60.0
STOP_SECONDS = 20.0
MiB = 1024 * 1024


class Program:
    """A child whose output goes to a file; `wait_for` reads there how far it is."""

    def __init__(self, argv: list[str], log: Path, *, is_urgent: bool = False) -> None:
        self._log = log
        self._read_from = log.stat().st_size if log.exists() else 0
        self.started_at = monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                urgent(argv) if is_urgent else argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait_for(self, text: str, *, seconds: float = START_SECONDS) -> float:
        """Seconds from its start until the text stood in its log. Raises: BenchmarkError."""
        while text not in self.log_text():
            if self._process.poll() is not None or monotonic() - self.started_at > seconds:
                raise BenchmarkError(f"{self._log.name}: no {text!r}\n{self.log_text()[-3000:]}")
            time.sleep(0.01)
        return monotonic() - self.started_at

    def log_text(self) -> str:
        return self._log.read_bytes()[self._read_from :].decode(errors="replace")

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Resident memory now, or, with `VmHWM`, at most so far. Source: proc_pid_status(5)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / MiB
        raise BenchmarkError(f"{self._log.name}: ended")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def urgent(argv: list[str]) -> list[str]:
    """Before everything else on the machine, where we may: what a request waits for is to be the
    gateway, and not the operator and the API server that run on the same two cores."""
    return ["nice", "-n", "-15", *argv] if os.geteuid() == 0 else argv


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def backend(host: str, port: int, directory: Path) -> Program:
    argv = [sys.executable, "-m", "bench.control.backend", host, str(port)]
    return Program(argv, directory / "backend.log", is_urgent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPlace:
    """How the operator is run again and again."""

    directory: Path
    namespace: str
    config_port: int
    admin_port: int

    def start(self) -> Program:
        argv = [
            *(program("bucketroute-operator"), "--namespace", self.namespace),
            *("--config-listen", f"127.0.0.1:{self.config_port}", "--extra-names", "localhost"),
            *("--admin-listen", f"127.0.0.1:{self.admin_port}"),
            *("--default-class-file", str(self.directory / "class.yaml")),
        ]
        return Program(argv, self.directory / "operator.log")


def gateway(directory: Path, *, config_port: int, port: int, admin_port: int) -> Program:
    """A real data plane; its tokens and the authority are in `directory`."""
    argv = [
        *(program("bucketroute-dataplane"), "--listen", f"127.0.0.1:{port}"),
        *("--admin-listen", f"127.0.0.1:{admin_port}"),
        *("--config-url", f"https://localhost:{config_port}"),
        *("--config-ca", str(directory / "ca.crt")),
        *("--config-token-file", str(directory / "token-0")),
        *("--sts-token-file", str(directory / "sts-token")),
    ]
    # Its access log goes there, too: a file is what a container's standard output is.
    return Program(argv, directory / "gateway.log", is_urgent=True)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it began, by the monotonic clock, how long it took, its status."""

    at: float
    seconds: float
    status: int

    @property
    def ended(self) -> float:
        return self.at + self.seconds


class Requests:
    """Those of a `requester`; all samples are there once it has ended."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def first(self, status: int, *, after: float) -> Sample:
        """Raises: BenchmarkError if there is none."""
        for sample in self.samples:
            if sample.at >= after and sample.status == status:
                return sample
        raise BenchmarkError(f"no request was answered with {status}")

    def within(self, begin: float, end: float) -> list[Sample]:
        return [sample for sample in self.samples if begin <= sample.ended and sample.at <= end]


@contextmanager
def requesting(
    port: int, path: str, credentials: Credentials, *, interval: float
) -> Iterator[Requests]:
    """Requests while the block runs."""
    process = subprocess.Popen(
        urgent([sys.executable, "-m", "bench.control.requester"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdin is not None
    order = {
        "port": port,
        "path": path,
        "interval": interval,
        "credentials": {
            "access_key_id": credentials.access_key_id,
            "secret_access_key": credentials.secret_access_key,
            "session_token": credentials.session_token,
        },
    }
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    requests = Requests()
    try:
        yield requests
        output, _ = process.communicate(timeout=STOP_SECONDS)
        requests.samples = [Sample(*json.loads(line)) for line in output.splitlines()]
    finally:
        process.kill()
        process.wait()
