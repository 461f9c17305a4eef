"""The four verbs of a local cluster: up, enter, load, down."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import cgroups, configuration, layout, namespaces
from .layout import ClusterError, Layout
from .namespaces import Holder

NODE_SECONDS = 120
_STOP_SECONDS = 15
_HYPER_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
)
_HOST_PROGRAMS = ("containerd", "runc", "ctr", "iptables", "conntrack", "ip", "nsenter", "unshare")


def up(directory: Path, *, owner: int | None) -> None:
    """Bring up a cluster with working DNS in `directory`, or leave the one that is there.

    It ends with `down`, or with the process `owner`. After an error nothing of it is left but
    the log files, whose last lines are printed.

    Raises: ClusterError.
    """
    cluster = Layout.of(directory)
    holder = Holder.recorded(cluster)
    if holder is not None and holder.is_running() and cluster.ready.exists():
        _say(f"already up: {cluster.directory}")
        return
    cni_plugins = _require(cluster)
    _claim(cluster)
    started = time.monotonic()
    try:
        _write_files(cluster, cni_plugins)
        cgroups.create(cluster.cgroup)
        holder = namespaces.start(cluster, owner)
        holder.record(cluster)
        _await_node(cluster, holder)
        _say(f"API server ready after {time.monotonic() - started:.1f} s")
        _install(cluster)
    except (ClusterError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as exc:
        reason = str(exc) or "interrupted"
        _print_log_ends(cluster)
        _stop(cluster)
        raise ClusterError(f"up failed: {reason}; the logs are in {cluster.logs}") from exc
    _say(f"node and DNS ready after {time.monotonic() - started:.1f} s: {cluster.directory}")


def enter(directory: Path, command: list[str]) -> None:
    """Replace this process by `command` inside the cluster, with KUBECONFIG and PATH set.

    Raises: ClusterError if the cluster is not up.
    """
    arguments = _inside(Layout.of(directory), *command)
    os.execvp(arguments[0], arguments)


def load(directory: Path, archive: Path) -> None:
    """Import an image archive (docker-archive or OCI) into the cluster's container runtime.

    Raises: ClusterError if the cluster is not up or the archive is no image.
    """
    cluster = Layout.of(directory)
    command = ["ctr", "-a", str(layout.CONTAINERD_SOCKET), "-n", "k8s.io", "images", "import", "-"]
    try:
        with archive.open("rb") as content:  # the path itself may be hidden inside
            _run(cluster, *command, stdin=content.fileno(), seconds=120)
    except FileNotFoundError as exc:
        raise ClusterError(f"no image archive {archive}: make it with tools/images.sh") from exc


def down(directory: Path) -> None:
    """End the cluster in `directory` and delete the folder. Does nothing if there is none.

    Raises: ClusterError if the folder is not a cluster's, or something of it can't be removed.
    """
    cluster = Layout.of(directory)
    if not cluster.directory.exists():
        return
    if not cluster.state.exists():
        raise ClusterError(f"{cluster.directory} is no cluster's folder (no {cluster.state.name})")
    _stop(cluster)
    shutil.rmtree(cluster.directory)


def _say(text: str) -> None:
    print(f"local-cluster: {text}", file=sys.stderr, flush=True)


def _require(cluster: Layout) -> str:
    """Check what is needed before anything is made; return the folder of the CNI plugins."""
    if os.geteuid() != 0:
        raise ClusterError("root is needed to make namespaces")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in _HOST_PROGRAMS if shutil.which(name, path=path) is None]
    plugins = [d for d in ("/usr/lib/cni", "/opt/cni/bin") if Path(d, "bridge").exists()]
    if missing or not plugins:
        wanted = missing + ([] if plugins else ["the CNI plugin bridge"])
        raise ClusterError(f"not installed: {', '.join(wanted)}; run tests/e2e/tools/apt.sh")
    if not cluster.hyper.exists():
        raise ClusterError(f"no {cluster.hyper}: run tests/e2e/tools/build.sh hyper")
    for name in ("pause", "coredns"):
        archive = cluster.images / f"{name}.tar"
        if not archive.exists():
            raise ClusterError(f"no {archive}: run tests/e2e/tools/images.sh {name}")
    return plugins[0]


def _claim(cluster: Layout) -> None:
    """Make the folder anew; a cluster that died in it is cleared away first."""
    if cluster.state.exists():
        down(cluster.directory)
    if cluster.directory.exists() and any(cluster.directory.iterdir()):
        raise ClusterError(f"{cluster.directory} is not empty and is no cluster's folder")
    for folder in (cluster.logs, cluster.pki, cluster.configuration / "cni", cluster.programs):
        folder.mkdir(parents=True)
    cluster.state.write_text("{}\n")


def _write_files(cluster: Layout, cni_plugins: str) -> None:
    for name, content in configuration.files(cluster, cni_plugins).items():
        (cluster.configuration / name).write_text(content)
    for name in _HYPER_PROGRAMS:
        (cluster.programs / name).symlink_to(cluster.hyper)
    version = _kubeadm(cluster, "version", "-o", "short").strip()
    file = cluster.configuration / "kubeadm.yaml"
    file.write_text(configuration.kubeadm(cluster, version))
    config = ("--config", str(file))
    _kubeadm(cluster, "init", "phase", "certs", "all", *config)
    folder = ("--kubeconfig-dir", str(cluster.pki))
    _kubeadm(cluster, "init", "phase", "kubeconfig", "all", *config, *folder)
    proxy = _kubeadm(cluster, "kubeconfig", "user", *config, "--client-name", "system:kube-proxy")
    (cluster.pki / "kube-proxy.conf").write_text(proxy)


def _kubeadm(cluster: Layout, *arguments: str) -> str:
    with (cluster.logs / "kubeadm.log").open("ab") as log:
        command = [str(cluster.programs / "kubeadm"), *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=log, timeout=60)
    return done.stdout.decode()


def _await_node(cluster: Layout, holder: Holder) -> None:
    deadline = time.monotonic() + NODE_SECONDS
    while not cluster.ready.exists():
        if not holder.is_running():
            reason = cluster.failure.read_text() if cluster.failure.exists() else "see node.log"
            raise ClusterError(f"the node stopped: {reason.strip()}")
        if time.monotonic() > deadline:
            raise ClusterError(f"the node was not ready in {NODE_SECONDS} s")
        time.sleep(0.1)


def _install(cluster: Layout) -> None:
    """Give the bare cluster what `kubeadm init` would: its role bindings and its DNS."""
    for name in ("pause", "coredns"):
        load(cluster.directory, cluster.images / f"{name}.tar")
    for manifest in ("bootstrap.yaml", "coredns.yaml"):
        _run(cluster, "kubectl", "apply", "-f", str(layout.MANIFESTS / manifest))
    node = f"node/{layout.NODE_NAME}"
    _run(cluster, "kubectl", "wait", "--for=create", node, "--timeout=60s", seconds=70)
    for ready in (("condition=Ready", node), ("condition=Available", "deployment/coredns")):
        where = ("-n", "kube-system")
        wait = ("kubectl", *where, "wait", f"--for={ready[0]}", ready[1], "--timeout=90s")
        _run(cluster, *wait, seconds=100)


def _inside(cluster: Layout, *command: str) -> list[str]:
    holder = Holder.recorded(cluster)
    if holder is None or not holder.is_running():
        raise ClusterError(f"no cluster is up in {cluster.directory}")
    path = f"{cluster.programs}:{cluster.cache}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
    return holder.command(*command, environment=environment)


def _run(cluster: Layout, *command: str, stdin: int | None = None, seconds: float = 60) -> None:
    done = subprocess.run(
        _inside(cluster, *command),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace").strip()
        raise ClusterError(f"{' '.join(command)}: {output[-2000:]}")


def _print_log_ends(cluster: Layout) -> None:
    for log in sorted(cluster.logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        print(f"-- {log.name}", *lines, sep="\n", file=sys.stderr)


def _stop(cluster: Layout) -> None:
    """End every process of the cluster and remove its control groups.

    Raises: ClusterError if they are still there after 15 s.
    """
    holder = Holder.recorded(cluster)
    deadline = time.monotonic() + _STOP_SECONDS
    if holder is not None and holder.is_running():
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, 15)
    while holder is not None and holder.is_running():
        if time.monotonic() > deadline - _STOP_SECONDS / 2:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, 9)
        if time.monotonic() > deadline:
            raise ClusterError(f"process {holder.pid} does not end")
        time.sleep(0.05)
    while not cgroups.remove(cluster.cgroup):
        if time.monotonic() > deadline:
            raise ClusterError(f"the control groups {cluster.cgroup} can't be removed")
        time.sleep(0.1)
