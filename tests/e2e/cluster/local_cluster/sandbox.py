"""What the node sees of the machine: called once, as root, in fresh namespaces.

Every change is made to a namespace's own copy, so nothing is left on the host when the last
process ends: no mount, interface, iptables rule, folder or kernel setting.
"""

import os
import subprocess
from pathlib import Path

from . import layout
from .layout import Layout

# Host-wide settings that the kubelet would change. It finds them as it wants them in files
# mounted over the real ones.
_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}


def run(*command: str) -> None:
    """Run a command that must succeed; its output goes to the node's log."""
    subprocess.run(command, check=True, timeout=30)


def prepare(cluster: Layout) -> None:
    """Set up host name, mounts, network and kernel settings of the namespaces we are in."""
    run("hostname", layout.NODE_NAME)
    run("mount", "--make-rshared", "/")  # the kubelet's volume mounts must reach the pods
    _mounts(cluster)
    _sysctls(cluster)
    _network()


def _mounts(cluster: Layout) -> None:
    resolv_conf = Path(os.path.realpath("/etc/resolv.conf"))  # often in /run, which is hidden next
    run("mount", "-t", "tmpfs", "tmpfs", str(layout.RUN))
    resolv_conf.parent.mkdir(parents=True, exist_ok=True)
    resolv_conf.touch()
    _bind(cluster.configuration / "resolv-node.conf", resolv_conf)

    (layout.RUN / "netns").mkdir()
    _bind(layout.RUN / "netns", layout.RUN / "netns")  # runc needs a mount point of its own there

    # kubelet and CNI have fixed paths in /var; what they make there lands in our own folder.
    for parent in ("lib", "log"):
        upper, work = (cluster.directory / "var" / parent / part for part in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir=/var/{parent},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, f"/var/{parent}")
    for target in (Path("/var/lib/kubelet"), Path("/var/lib/cni"), Path("/var/log/pods")):
        source = cluster.directory / "var" / target.name
        source.mkdir()
        target.mkdir(exist_ok=True)
        _bind(source, target)


def _bind(source: Path, target: Path) -> None:
    run("mount", "--bind", str(source), str(target))
    run("mount", "--make-shared", str(target))


def _sysctls(cluster: Layout) -> None:
    for name, value in _SYSCTLS.items():
        file = cluster.directory / "sysctl" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
        run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _network() -> None:
    run("ip", "link", "set", "lo", "up")
    # The node's address sits on a bridge without ports: kernels without the dummy device exist.
    run("ip", "link", "add", "node0", "type", "bridge")
    run("ip", "address", "add", f"{layout.NODE_ADDRESS}/24", "dev", "node0")
    run("ip", "link", "set", "node0", "up")
    # Without a route, a connection to a Service address ends in "network unreachable" before
    # kube-proxy's rules are asked.
    run("ip", "route", "add", "default", "via", layout.GATEWAY_ADDRESS, "dev", "node0", "onlink")
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        setting = Path("/proc/sys") / name
        if setting.exists():  # the second is absent where bridges don't pass iptables: none needed
            setting.write_text("1\n")
