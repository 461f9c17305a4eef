"""Process 1 of the cluster's namespaces: starts the node's programs and ends with them.

    python3 -m local_cluster.node DIRECTORY [PIDFD]

The kernel kills whatever lives in a PID namespace when its process 1 ends, so there is one way
to stop a cluster, however it comes about: this process exits. It does so on SIGTERM, when one of
the programs ends (the reason is left in the file `failure`), and when the process that PIDFD
stands for has ended.
"""

import contextlib
import os
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType

from . import cgroups, components, layout, sandbox
from .layout import ClusterError, Layout

API_SERVER_READY_SECONDS = 90
_POLL_SECONDS = 0.2


class Node:
    """The programs of one node, and the watch over them."""

    def __init__(self, cluster: Layout, owner_fd: int | None) -> None:
        self._cluster = cluster
        self._owner_fd = owner_fd
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Start everything, announce it, and watch until there is a reason to end.

        Raises: ClusterError if a program ends or the API server does not become ready.
        """
        sandbox.prepare(self._cluster)
        for name, command in components.control_plane(self._cluster).items():
            self._start(name, command)
        self._await_api_server()
        for name, command in components.clients(self._cluster).items():
            self._start(name, command)
        self._cluster.ready.touch()
        while not self._owner_is_gone():
            self._check_programs()
            _reap_orphans({program.pid for program in self._running.values()})
            time.sleep(_POLL_SECONDS)

    def _start(self, name: str, command: list[str]) -> None:
        with (self._cluster.logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def _await_api_server(self) -> None:
        context = ssl.create_default_context(cafile=str(self._cluster.pki / "ca.crt"))
        deadline = time.monotonic() + API_SERVER_READY_SECONDS
        while time.monotonic() < deadline and not self._owner_is_gone():
            self._check_programs()
            try:
                url = f"{layout.API_SERVER}/readyz"
                with urllib.request.urlopen(url, timeout=2, context=context):
                    return
            except OSError:  # not listening yet, or 500 while its post-start hooks run
                time.sleep(_POLL_SECONDS)
        raise ClusterError(f"the API server was not ready in {API_SERVER_READY_SECONDS} s")

    def _check_programs(self) -> None:
        for name, program in self._running.items():
            status = program.poll()
            if status is not None:
                raise ClusterError(f"{name} ended with status {status}; see {name}.log")

    def _owner_is_gone(self) -> bool:
        return self._owner_fd is not None and bool(
            select.select([self._owner_fd], [], [], 0)[0]  # a pidfd is readable once it has ended
        )


def _reap_orphans(ours: set[int]) -> None:
    """Collect the ended processes that were handed to process 1 (containerd's shims).

    Our own programs are left to their Popen objects, which would lose their exit status.
    """
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None or ended.si_pid in ours:
            return
        os.waitpid(ended.si_pid, 0)


def _end_all() -> None:
    """Kill and collect every other process, so that the control groups are empty."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(arguments: list[str]) -> int:
    """Run the node in the folder that is named first; the exit status is 1 after a failure."""
    cluster = Layout.of(Path(arguments[0]))
    owner_fd = int(arguments[1]) if len(arguments) > 1 else None
    signal.signal(signal.SIGTERM, _terminate)
    try:
        Node(cluster, owner_fd).run()
    except (ClusterError, OSError, subprocess.SubprocessError) as exc:
        cluster.failure.write_text(f"{exc}\n")
        return 1
    finally:
        _end_all()
        cgroups.remove(cluster.cgroup)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
