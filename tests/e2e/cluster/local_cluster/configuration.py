"""The configuration files of a node's programs, as text. Pure; written by lifecycle.py.

The kubelet's, kube-proxy's and kubeadm's files are YAML, of which JSON is a subset.
"""

import json

from . import layout
from .layout import Layout


def files(cluster: Layout, cni_plugins: str) -> dict[str, str]:
    """Return file name → content for the folder `cluster.configuration`."""
    return {
        "containerd.toml": _containerd(cluster, cni_plugins),
        "cni/10-bridge.conflist": json.dumps(_CNI, indent=1),
        "kubelet.yaml": json.dumps(_kubelet(cluster), indent=1),
        "kube-proxy.yaml": json.dumps(_kube_proxy(cluster), indent=1),
        # Pods with dnsPolicy Default get this one; there is no DNS outside of the cluster.
        "resolv-pod.conf": f"nameserver {layout.GATEWAY_ADDRESS}\n",
        # `enter` gets this one, so that a test can use the names of Services.
        "resolv-node.conf": (
            f"nameserver {layout.DNS_ADDRESS}\n"
            f"search svc.{layout.CLUSTER_DOMAIN} {layout.CLUSTER_DOMAIN}\noptions ndots:5\n"
        ),
    }


def _containerd(cluster: Layout, cni_plugins: str) -> str:
    # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE (a container, some VMs) may not
    # lower the OOM score; runc would fail on every sandbox.
    return f"""\
version = 2
root = "{cluster.directory}/containerd"
state = "{layout.RUN}/containerd"

[grpc]
  address = "{layout.CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{layout.PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{cluster.configuration}/cni"
"""


_CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,  # a pod may reach itself through its Service
            "ipam": {
                "type": "host-local",
                "dataDir": str(layout.RUN / "ipam"),
                "ranges": [[{"subnet": layout.POD_SUBNET}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def _kubelet(cluster: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
        "failCgroupV1": False,  # from 1.35 on the kubelet refuses cgroup v1 without this
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{cluster.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [layout.DNS_ADDRESS],
        "clusterDomain": layout.CLUSTER_DOMAIN,
        "resolvConf": f"{cluster.configuration}/resolv-pod.conf",
        # The host's disk and memory are not this cluster's: it must neither evict pods nor
        # delete images because something else fills them.
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": f"{cluster.directory}/volume-plugins",
        # A Secret or ConfigMap that a test changes reaches the pod in seconds, not in a minute.
        "syncFrequency": "5s",
    }


def _kube_proxy(cluster: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": layout.NODE_NAME,
        "clientConnection": {"kubeconfig": f"{cluster.pki}/kube-proxy.conf"},
        "clusterCIDR": layout.POD_SUBNET,
        # The conntrack sysctls can't be written in a network namespace.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def kubeadm(cluster: Layout, version: str) -> str:
    """Return the configuration for kubeadm's certificate and kubeconfig phases."""
    documents = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": layout.NODE_ADDRESS, "bindPort": 6443},
            "nodeRegistration": {
                "name": layout.NODE_NAME,
                "criSocket": f"unix://{layout.CONTAINERD_SOCKET}",
            },
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
            "certificatesDir": str(cluster.pki),
            "controlPlaneEndpoint": f"{layout.NODE_ADDRESS}:6443",
            "networking": {
                "serviceSubnet": layout.SERVICE_SUBNET,
                "podSubnet": layout.POD_SUBNET,
            },
            "apiServer": {"certSANs": ["localhost", "127.0.0.1"]},
            # Most clusters sign tokens with RS256; ECDSA keys would be made 2 s sooner.
            "encryptionAlgorithm": "RSA-2048",
        },
    ]
    return "\n---\n".join(json.dumps(document, indent=1) for document in documents)
