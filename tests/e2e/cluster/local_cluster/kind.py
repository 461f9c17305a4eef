"""The same verbs on kind, for machines with Docker: kind's own node image, pulled by kind.

The cluster's folder holds its kubeconfig only; its name is derived from the folder. KIND_CONFIG
names a kind configuration file, for another node image or Kubernetes version.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from .layout import ClusterError, cache_directory

_KUBECONFIG = "kubeconfig"


def up(directory: Path, *, owner: int | None) -> None:
    """Create the cluster of this folder, or leave the one that is there.

    Raises: ClusterError, also if `owner` is given: Docker's containers outlive every process.
    """
    if owner is not None:
        raise ClusterError("--owner: kind can't end a cluster with a process; call down")
    cluster = _cluster(directory)
    exists = _name(directory) in _kind("get", "clusters", seconds=30).split()
    directory.mkdir(parents=True, exist_ok=True)
    if exists and _is_running(directory):
        return
    if exists:
        _kind("delete", "cluster", *cluster, seconds=120)
    file = os.environ.get("KIND_CONFIG")
    config = ("--config", file) if file else ()
    try:
        _kind("create", "cluster", *cluster, *config, "--wait", "180s", seconds=600)
    except ClusterError:
        down(directory)
        raise


def enter(directory: Path, command: list[str]) -> None:
    """Replace this process by `command` on the host, with KUBECONFIG and PATH set.

    Services have no address on the host: reach them from a pod, or by `kubectl port-forward`.

    Raises: ClusterError if the cluster is not up.
    """
    kubeconfig = directory.resolve() / _KUBECONFIG
    if not kubeconfig.exists():
        raise ClusterError(f"no cluster is up in {directory}")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    os.environ["PATH"] = f"{cache_directory()}/bin:{os.environ.get('PATH', '')}"
    os.execvp(command[0], command)


def load(directory: Path, archive: Path) -> None:
    """Import an image archive into the node. Raises: ClusterError."""
    _kind("load", "image-archive", str(archive), "--name", _name(directory), seconds=180)


def down(directory: Path) -> None:
    """Delete the cluster and its folder. Does nothing if there is none. Raises: ClusterError."""
    if not directory.exists():
        return
    _kind("delete", "cluster", *_cluster(directory), seconds=120)
    (directory / _KUBECONFIG).unlink(missing_ok=True)
    directory.rmdir()


def _is_running(directory: Path) -> bool:
    """Whether the cluster's node runs; if so its kubeconfig is in the folder, whatever was there.

    kind lists a cluster whose container has stopped like any other.
    """
    try:
        _kind("export", "kubeconfig", *_cluster(directory), seconds=30)
    except ClusterError:
        return False
    return True


def _cluster(directory: Path) -> tuple[str, ...]:
    """The arguments that say which cluster, and where its kubeconfig is."""
    kubeconfig = directory.resolve() / _KUBECONFIG
    return ("--name", _name(directory), "--kubeconfig", str(kubeconfig))


def _name(directory: Path) -> str:
    return "bucketroute-e2e-" + hashlib.sha256(bytes(directory.resolve())).hexdigest()[:8]


def _kind(*arguments: str, seconds: float) -> str:
    path = f"{cache_directory()}/bin:{os.environ.get('PATH', '')}"
    program = shutil.which("kind", path=path)
    if program is None or shutil.which("docker") is None:
        raise ClusterError(
            "needs Docker and kind: install Docker, run tests/e2e/tools/build.sh kind"
        )
    done = subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ClusterError(f"kind {' '.join(arguments)}: {output.strip()[-2000:]}")
    return output
