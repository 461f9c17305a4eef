"""The process that holds a cluster's namespaces: start it, find it again, enter, end it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .layout import ClusterError, Layout

_KINDS = ("--mount", "--net", "--pid", "--uts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Process 1 of a cluster's namespaces, by the host's numbering.

    `started` is its start time in clock ticks since boot: with it, a process ID that the kernel
    has given to another process since is not taken for ours.
    """

    pid: int
    started: int

    @classmethod
    def of_process(cls, pid: int) -> "Holder":
        """Raises: OSError if there is no such process."""
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
        return cls(pid=pid, started=int(fields[19]))

    @classmethod
    def recorded(cls, cluster: Layout) -> "Holder | None":
        """Return what `record` wrote, None if nothing did."""
        try:
            return cls(**json.loads(cluster.state.read_text())["holder"])
        except (FileNotFoundError, KeyError):
            return None

    def record(self, cluster: Layout) -> None:
        holder = {"pid": self.pid, "started": self.started}
        cluster.state.write_text(json.dumps({"holder": holder}) + "\n")

    def is_running(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z" and Holder.of_process(self.pid) == self
        except OSError:
            return False

    def command(self, *command: str, environment: dict[str, str]) -> list[str]:
        """Return the command that runs `command` inside, in the same working directory."""
        settings = [f"{name}={value}" for name, value in environment.items()]
        enter = ["nsenter", "--target", str(self.pid), *_KINDS, "--"]
        return [*enter, "env", "-C", str(Path.cwd()), *settings, *command]


def start(cluster: Layout, owner: int | None) -> Holder:
    """Start the node in new namespaces; it ends with the process `owner`, if there is one.

    Raises: ClusterError if the owner does not exist or the namespaces can't be made.
    """
    try:
        descriptors = [] if owner is None else [os.pidfd_open(owner)]
    except ProcessLookupError as exc:
        raise ClusterError(f"--owner: no process {owner}") from exc
    node = [sys.executable, "-m", f"{__package__}.node", str(cluster.directory)]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
        node.append(str(descriptor))
    unshare = ["unshare", *_KINDS, "--fork", "--kill-child", "--mount-proc", "--", *node]
    with (cluster.logs / "node.log").open("wb") as log:
        process = subprocess.Popen(
            unshare,
            cwd=Path(__file__).resolve().parents[1],  # where `-m` finds this package
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
            start_new_session=True,
        )
    for descriptor in descriptors:
        os.close(descriptor)
    return _first_child(process)


def _first_child(unshare: subprocess.Popen[bytes]) -> Holder:
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and unshare.poll() is None:
        try:
            if pids := children.read_text().split():
                return Holder.of_process(int(pids[0]))
        except OSError:
            continue
        time.sleep(0.02)
    unshare.kill()
    raise ClusterError("no new namespaces; see node.log (root is needed)")
