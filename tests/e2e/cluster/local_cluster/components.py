"""The command lines of the node's programs, in the order in which they are started. Pure."""

from . import layout
from .layout import Layout


def control_plane(cluster: Layout) -> dict[str, list[str]]:
    """Return name → command of what runs before the API server is ready."""
    return {
        "containerd": ["containerd", "--config", f"{cluster.configuration}/containerd.toml"],
        "etcd": _etcd(cluster),
        "kube-apiserver": _api_server(cluster),
    }


def clients(cluster: Layout) -> dict[str, list[str]]:
    """Return name → command of what needs a ready API server (they retry, but slowly)."""
    pki = cluster.pki
    return {
        "kube-controller-manager": [
            *_program(cluster, "kube-controller-manager"),
            *("--kubeconfig", f"{pki}/controller-manager.conf"),
            *("--bind-address", "127.0.0.1"),
            *("--root-ca-file", f"{pki}/ca.crt"),
            *("--service-account-private-key-file", f"{pki}/sa.key"),
            *("--cluster-signing-cert-file", f"{pki}/ca.crt"),
            *("--cluster-signing-key-file", f"{pki}/ca.key"),
            "--use-service-account-credentials",
            "--leader-elect=false",
        ],
        "kube-scheduler": [
            *_program(cluster, "kube-scheduler"),
            *("--kubeconfig", f"{pki}/scheduler.conf"),
            *("--bind-address", "127.0.0.1"),
            "--leader-elect=false",
        ],
        "kubelet": [
            *_program(cluster, "kubelet"),
            *("--config", f"{cluster.configuration}/kubelet.yaml"),
            *("--kubeconfig", f"{pki}/kubelet.conf"),
            *("--hostname-override", layout.NODE_NAME),
            *("--node-ip", layout.NODE_ADDRESS),
        ],
        "kube-proxy": [
            *_program(cluster, "kube-proxy"),
            *("--config", f"{cluster.configuration}/kube-proxy.yaml"),
        ],
    }


def _program(cluster: Layout, name: str) -> list[str]:
    return [str(cluster.programs / name)]


def _etcd(cluster: Layout) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        *_program(cluster, "etcd"),
        *("--data-dir", f"{cluster.directory}/etcd"),
        "--unsafe-no-fsync",  # nothing here outlives a power cut, and it saves seconds
        *("--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}"),
    ]


def _api_server(cluster: Layout) -> list[str]:
    pki = cluster.pki
    return [
        *_program(cluster, "kube-apiserver"),
        *("--etcd-servers", "http://127.0.0.1:2379"),
        *("--advertise-address", layout.NODE_ADDRESS, "--secure-port", "6443"),
        "--allow-privileged",
        *("--authorization-mode", "Node,RBAC"),
        *("--enable-admission-plugins", "NodeRestriction"),
        *("--client-ca-file", f"{pki}/ca.crt"),
        *("--tls-cert-file", f"{pki}/apiserver.crt"),
        *("--tls-private-key-file", f"{pki}/apiserver.key"),
        *("--kubelet-client-certificate", f"{pki}/apiserver-kubelet-client.crt"),
        *("--kubelet-client-key", f"{pki}/apiserver-kubelet-client.key"),
        *("--kubelet-preferred-address-types", "InternalIP"),
        *("--service-account-issuer", layout.SERVICE_ACCOUNT_ISSUER),
        *("--service-account-key-file", f"{pki}/sa.pub"),
        *("--service-account-signing-key-file", f"{pki}/sa.key"),
        *("--service-cluster-ip-range", layout.SERVICE_SUBNET),
    ]
