"""Where a cluster keeps its files, and the addresses inside of it.

Every path is derived from the cluster's folder, so that several clusters can run at once:
each has network, mount, process and host-name namespaces of its own, and equal addresses.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "node1"
NODE_ADDRESS = "10.99.0.1"
# Nothing answers here: the default route only carries packets as far as kube-proxy's rules.
GATEWAY_ADDRESS = "10.99.0.254"
API_SERVER = f"https://{NODE_ADDRESS}:6443"
POD_SUBNET = "10.244.0.0/24"
SERVICE_SUBNET = "10.96.0.0/16"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
SERVICE_ACCOUNT_ISSUER = f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}"
PAUSE_IMAGE = "localhost/pause:e2e"

# A tmpfs over /run of the cluster's own mount namespace: sockets and short-lived state.
RUN = Path("/run")
CONTAINERD_SOCKET = RUN / "containerd.sock"

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MANIFESTS = Path(__file__).resolve().parents[1] / "manifests"


class ClusterError(Exception):
    """A step failed; the message says which, and what to do or where to look."""


def cache_directory() -> Path:
    """Return the folder that tools/build.sh and tools/images.sh fill."""
    return Path(os.environ.get("BUCKETROUTE_CACHE") or Path.home() / ".cache/bucketroute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of one cluster, all under `directory`, and the binaries that it runs."""

    directory: Path
    cache: Path

    @classmethod
    def of(cls, directory: Path) -> "Layout":
        """Lay out the cluster in `directory`.

        Raises: ClusterError if the folder lies where the cluster mounts file systems of its own.
        """
        resolved = directory.resolve()
        for hidden in ("/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys", "/dev"):
            if resolved.is_relative_to(hidden):
                raise ClusterError(f"{resolved}: choose a folder outside {hidden}")
        return cls(directory=resolved, cache=cache_directory().resolve())

    @property
    def state(self) -> Path:
        """JSON of the running cluster; also the mark that `down` may delete the folder."""
        return self.directory / "cluster.json"

    @property
    def ready(self) -> Path:
        """Made by the node once every component runs and the API server is ready."""
        return self.directory / "ready"

    @property
    def failure(self) -> Path:
        """Text: why the node stopped by itself."""
        return self.directory / "failure"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for use inside the cluster's namespaces."""
        return self.pki / "super-admin.conf"

    @property
    def configuration(self) -> Path:
        return self.directory / "etc"

    @property
    def programs(self) -> Path:
        """Symbolic links to `hyper`, one for each program that it holds."""
        return self.directory / "bin"

    @property
    def hyper(self) -> Path:
        return self.cache / "bin/hyper"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def cgroup(self) -> str:
        """The control group of everything that the kubelet starts, unique to this folder."""
        return "bucketroute-e2e-" + hashlib.sha256(bytes(self.directory)).hexdigest()[:8]
