"""The processes of a run: pinned to a core, waited for, and ended by their id."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.programs import compiled
from bench.requests import BACKEND
from bench.targets import Surroundings, Target, environment

START_SECONDS = 20.0
STOP_SECONDS = 10.0


class BenchmarkError(Exception):
    """A process of the run did not start or did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """One core for the generator and the stub; `proxy` are those for what is measured, another one
    or, as taskset lists them, several."""

    proxy: int | str
    rest: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Raises: BenchmarkError when there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise BenchmarkError("Two CPU cores are needed: one for the proxy, one for the rest.")
        return cls(rest=usable[0], proxy=usable[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendCounts:
    """What the stub saw since it was last asked."""

    connections: int
    requests: int
    signed_by_backend_key: int
    signed_by_other_key: int
    unsigned_requests: int
    chunked_uploads: int
    uploads: int
    wrong_bodies: int
    short_bodies: int


class Stub:
    """The running stub backend."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def take_counts(self) -> BackendCounts:
        """Return the counters and set them to zero."""
        self._process.send_signal(signal.SIGUSR1)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("The stub backend ended.")
        return BackendCounts(**json.loads(line))


def pinned(core: int | str, argv: tuple[str, ...]) -> list[str]:
    return ["taskset", "-c", str(core), *argv]


@contextmanager
def running_stub(around: Surroundings, cores: Cores) -> Iterator[Stub]:
    argv = (str(compiled("stub")), str(around.stub_port), BACKEND.access_key_id)
    process = subprocess.Popen(pinned(cores.rest, argv), stdout=subprocess.PIPE, text=True)
    try:
        _wait_for_port(process, around.stub_port)
        yield Stub(process)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def running(target: Target, around: Surroundings, cores: Cores) -> Iterator[int]:
    """Run a target; yields its process id once it serves.

    Raises: BenchmarkError with the end of its output when it does not.
    """
    log = around.directory / f"{target.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            pinned(cores.proxy, target.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(around),
            start_new_session=True,
        )
    try:
        try:
            _wait_until_ready(process, target)
        except BenchmarkError as exc:
            raise BenchmarkError(f"{target.name} {exc}\n{log.read_text()[-2000:]}") from exc
        yield process.pid
    finally:
        _stop(process)
        if target.ready_file is not None:
            target.ready_file.unlink(missing_ok=True)


def _wait_until_ready(process: subprocess.Popen[bytes], target: Target) -> None:
    deadline = time.monotonic() + START_SECONDS
    while target.ready_file is not None and not target.ready_file.exists():
        _sleep_while_alive(process, deadline)
    _wait_for_port(process, target.port)
    while target.ready_port is not None and not _is_ready(target.ready_port):
        _sleep_while_alive(process, deadline)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _wait_for_port(process: subprocess.Popen[bytes] | subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            _sleep_while_alive(process, deadline)


def _sleep_while_alive(
    process: subprocess.Popen[bytes] | subprocess.Popen[str], deadline: float
) -> None:
    if process.poll() is not None:
        raise BenchmarkError(f"ended with exit status {process.returncode}")
    if time.monotonic() > deadline:
        raise BenchmarkError(f"did not serve within {START_SECONDS:.0f} s")
    time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):  # children that outlived their parent
        os.killpg(process.pid, signal.SIGKILL)


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    pids = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            pids += family(int(child))
    return pids


def reset_peak_rss(pids: list[int]) -> None:
    """Source: proc_pid_clear_refs(5), value 5."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_bytes(pids: list[int]) -> int:
    """The sum of the highest resident sizes since reset_peak_rss."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total
