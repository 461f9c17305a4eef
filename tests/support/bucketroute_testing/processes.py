"""Child processes of a test: start, wait with a deadline, sample memory, stop by pid, keep the log.

`ServeProcess` is the program under test. Nothing here knows what a test does with it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_DEADLINE_SECONDS = 30.0
# Longer than the default drain of `serve`, so that an overlong one is seen as that.
STOP_DEADLINE_SECONDS = 45.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def wait_until(
    holds: Callable[[], bool], *, deadline_seconds: float, what: str, poll_seconds: float = 0.02
) -> float:
    """Poll until `holds()`; the seconds that it took.

    Raises:
        TimeoutError: it did not hold in time; the message says `what` was awaited.
    """
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > deadline_seconds:
            raise TimeoutError(f"not within {deadline_seconds} s: {what}")
        time.sleep(poll_seconds)
    return time.monotonic() - started


def free_port() -> int:
    """A loopback port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class ChildProcess:
    """A subprocess whose stdout and stderr go to one log file."""

    def __init__(
        self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self._stream = log.open("ab")
        self._process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_started(self, holds: Callable[[], bool], *, what: str) -> None:
        """Wait for the start; a process that fails to is killed, and the error holds its log."""

        def check() -> bool:
            if self.exit_status is not None:
                raise RuntimeError(f"ended with {self.exit_status} before {what}")
            return holds()

        try:
            wait_until(check, deadline_seconds=START_DEADLINE_SECONDS, what=what)
        except (TimeoutError, RuntimeError) as error:
            self.kill()
            raise RuntimeError(f"{error}\n{self.log_text()[-4000:]}") from error

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and wait; the exit status. It is killed when it overstays."""
        if self._process.poll() is None:
            self._process.send_signal(stop_signal)
        try:
            status = self._process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._stream.close()
        return status

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        self._stream.close()

    def rss_bytes(self) -> int:
        """The resident set now. Source: proc_pid_statm(5), second field, in pages."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


class MemoryPeak:
    """Samples a process's resident set in a thread: `with MemoryPeak(child) as peak:`."""

    def __init__(self, child: ChildProcess, *, every_seconds: float = 0.1) -> None:
        self._child = child
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="rss")
        self.samples: list[int] = []

    @property
    def peak_bytes(self) -> int:
        return max(self.samples)

    def _sample(self) -> None:
        while True:
            self.samples.append(self._child.rss_bytes())
            if self._stop.wait(self._every_seconds):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The command line of `bucketroute serve`."""

    manifests: tuple[Path, ...]
    token_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    domain: str | None = None

    def arguments(self, once_ready: Path) -> list[str]:
        program = Path(sys.executable).with_name("bucketroute")
        out = [str(program), "serve", "--listen", "127.0.0.1:0"]
        out += ["--once-ready", str(once_ready)]
        for path in self.manifests:
            out += ["-f", str(path)]
        optional = {
            "--token-file": self.token_file,
            "--tls-cert": self.tls_certificate,
            "--tls-key": self.tls_key,
            "--domain": self.domain,
        }
        for name, value in optional.items():
            out += [] if value is None else [name, str(value)]
        return out


class ServeProcess(ChildProcess):
    """A running `bucketroute serve`; leaving the `with` stops it and asserts a clean exit."""

    def __init__(self, options: ServeOptions, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._once_ready = directory / "ready"
        self._once_ready.unlink(missing_ok=True)
        # Without the caller's AWS_* and proxy variables: they would change the program under test.
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "COVERAGE_FILE")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment["XDG_STATE_HOME"] = str(directory / "state")
        super().__init__(
            options.arguments(self._once_ready),
            log=directory / "serve.log",
            environment=environment,
        )
        self.wait_started(
            lambda: self._once_ready.is_file() and self._once_ready.read_text() != "",
            what="bucketroute serve is ready",
        )
        host, _, port = self._once_ready.read_text().strip().rpartition(":")
        self.host = host
        self.port = int(port)

    @property
    def endpoint(self) -> str:
        scheme = "http" if self._options.tls_certificate is None else "https"
        return f"{scheme}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self.stop()
        if error is None:
            assert status == 0, f"serve ended with {status}:\n{self.log_text()[-4000:]}"
