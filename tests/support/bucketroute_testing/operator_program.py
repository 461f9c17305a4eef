"""`bucketroute-operator` as a plain process beside the cluster, started again as a kubelet would.

It serves its config channel and its metrics on loopback, and has the rights of a service account.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from bucketroute_testing.processes import ChildProcess, free_port, wait_until

# A kubelet's first wait is longer; what is tested is that starting again is enough.
_RESTARTED_AFTER_SECONDS = 0.5
_POLL_SECONDS = 0.05
PROGRAM = Path(sys.executable).with_name("bucketroute-operator")


def write_kubeconfig(file: Path, *, server: str, token: str) -> None:
    """For `token` at `server`, which is plain HTTP."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(config))


class OperatorProgram:
    """`with OperatorProgram(...) as operator:`. `ends` are the exit codes of those that ended."""

    def __init__(
        self,
        directory: Path,
        *,
        namespace: str,
        kubeconfig: Path,
        command: tuple[str, ...] = (str(PROGRAM),),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.config_port, self._admin_port = free_port(), free_port()
        self.ends: list[int] = []
        self.log = directory / "operator.log"
        self._command = command
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "KUBECONFIG": str(kubeconfig),
            "BUCKETROUTE_NAMESPACE": namespace,
            "BUCKETROUTE_IDENTITY": "beside-the-cluster",
            "BUCKETROUTE_CONFIG_LISTEN": f"127.0.0.1:{self.config_port}",
            "BUCKETROUTE_ADMIN_LISTEN": f"127.0.0.1:{self._admin_port}",
            "BUCKETROUTE_EXTRA_NAMES": "localhost",
            **(environment or {}),
        }
        self._child: ChildProcess | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="operator", daemon=True)

    def __enter__(self) -> Self:
        self._child = self._start()
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
        assert self._child is not None
        self._child.stop()

    def await_leading(self, *, seconds: float = 60) -> None:
        wait_until(
            lambda: self.metric("bucketroute_operator_leader") == 1,
            deadline_seconds=seconds,
            what=f"the operator leads\n{self.log_end()}",
            poll_seconds=0.1,
        )

    def metric(self, name: str, **labels: str) -> float:
        """The sum of its series that have these labels; 0 while it cannot be asked."""
        try:
            text = httpx.get(
                f"http://127.0.0.1:{self._admin_port}/metrics", timeout=5, trust_env=False
            ).text
        except httpx.HTTPError:
            return 0.0
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{")) and all(part in line for part in wanted)
        )

    def log_end(self) -> str:
        """What it said last."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    def _start(self) -> ChildProcess:
        return ChildProcess(self._command, log=self.log, environment=self._environment)

    def _keep_running(self) -> None:
        assert self._child is not None
        while not self._stop.wait(_POLL_SECONDS):
            status = self._child.exit_status
            if status is not None:
                self.ends.append(self._child.stop())
                time.sleep(_RESTARTED_AFTER_SECONDS)
                self._child = self._start()
