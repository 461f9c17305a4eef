"""The demo's child processes: started, waited for with a deadline, and ended whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_SECONDS: Final = 30.0  # moto imports half of AWS; a cold disk needs several seconds
STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_LOG_TAIL_LINES: Final = 15


class DemoError(Exception):
    """The demo cannot go on; the message is for its user."""


class Child:
    """`python -m MODULE …` that writes HOST:PORT to a file once it serves.

    In `arguments`, `{ready}` stands for that file. Its output goes to `log`, its state to
    `directory`, and its standard input ends with this process. It has a session of its own: Ctrl-C
    reaches the demo alone, which ends its children in order.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], directory: Path) -> None:
        self.name = name
        self._directory = directory
        self.log = directory / f"{name}.log"
        self._ready_file = directory / f"{name}.ready"
        self._command = [sys.executable, "-m", module]
        self._command += [item.replace("{ready}", str(self._ready_file)) for item in arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and modules
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "XDG_STATE_HOME": str(self._directory)},
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None:
            return
        try:
            process.terminate()
            if process.stdin is not None:
                process.stdin.close()
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also after a second Ctrl-C
            if process.poll() is None:
                process.kill()
                process.wait()

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def address(self) -> str:
        """HOST:PORT, once it serves. Raises: DemoError if it ends, or takes START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        while not self.has_ended and time.monotonic() < deadline:
            text = self._ready_file.read_text() if self._ready_file.exists() else ""
            if text.endswith("\n"):
                return text.strip()
            time.sleep(_POLL_SECONDS)
        how = "ended" if self.has_ended else f"did not start within {START_SECONDS:.0f} s"
        raise DemoError(f"The {self.name} {how}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def forget_aws_settings() -> None:
    """Takes from this process, and so from its children, what would lead S3 clients elsewhere."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
