"""A second operator's surroundings, beside the installed one: its namespace, rights and gateway.

The rights are those of the chart. The gateway's pods exist for the API server only: they hold
tokens and are counted as ready, and `gateway_clients` plays them. The installed operator has to be
away meanwhile, because two of different namespaces would both write the statuses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from bucketroute_testing.cluster import SYSTEM_NAMESPACE, Cluster, Json, wait_until
from bucketroute_testing.workloads import CLIENT_IMAGE

REPOSITORY = Path(__file__).parents[3]
NAMESPACE = "bucketroute-beside"
CLASS = "beside"
OPERATOR_ACCOUNT = "bucketroute-operator"
GATEWAY_ACCOUNT = "bucketroute-gateway"
PODS = ("gateway-1", "gateway-2")
OLDER_POD = "gateway-older"
OLD_CHUNKS = 11
_INSTALLED = "deployment/bucketroute-operator"
_SHOWN = ("operator/rbac", "operator/secrets", "gateway/serviceaccount")
_ROLES = ("Role", "ClusterRole")


def send_installed_operator_away(cluster: Cluster) -> None:
    """Raises: CommandError."""
    where = ("--namespace", SYSTEM_NAMESPACE)
    label = "app.kubernetes.io/component=operator"
    cluster.kubectl("scale", _INSTALLED, "--replicas=0", *where)
    cluster.kubectl("wait", "--for=delete", "pod", "-l", label, "--timeout=60s", *where, seconds=70)


def bring_installed_operator_back(cluster: Cluster, *, endpoint: str) -> None:
    """And the class `default` to its gateway, whose Service it follows. Raises: TimeoutError."""
    where = ("--namespace", SYSTEM_NAMESPACE)
    cluster.kubectl("scale", _INSTALLED, "--replicas=1", *where)
    cluster.kubectl("rollout", "status", _INSTALLED, "--timeout=90s", *where, seconds=100)
    wait_until(lambda: default_endpoint(cluster), lambda found: found == endpoint, seconds=90)


def default_endpoint(cluster: Cluster) -> str:
    """Of the class `default`. Raises: CommandError."""
    found = cluster.get("bucketrouteclass", "default")
    return str(found["spec"]["dataPlane"]["endpoint"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`roles` are the rendered Role and ClusterRole, `token` is the operator's own. `token_files`
    are those of the gateway's pods, by name.
    """

    cluster: Cluster
    roles: tuple[Json, ...]
    token: str
    api_server: str
    ca_file: Path
    token_files: Mapping[str, Path]

    def authority_file(self, directory: Path) -> Path:
        """What data planes trust, once the operator has written it. Raises: TimeoutError."""
        found = wait_until(lambda: _data_of(self.cluster, "bucketroute-ca"), bool, seconds=60)
        file = directory / "operator-ca.crt"
        file.write_text(found["ca.crt"])
        return file


def make_surroundings(cluster: Cluster, directory: Path) -> Surroundings:
    """Raises: CommandError."""
    cluster.create_namespace(NAMESPACE)
    rendered = _rendered(cluster)
    pods = [_pod(name) for name in (*PODS, OLDER_POD)]
    chunks = map(_old_chunk, range(OLD_CHUNKS))
    cluster.apply(*rendered, class_with(), _SERVICE, *pods, *chunks)
    set_ready(cluster, *PODS)
    token_files = {}
    for name in (*PODS, OLDER_POD):
        file = directory / f"token-{name}"
        bound = ("--bound-object-kind", "Pod", "--bound-object-name", name)
        file.write_text(
            _token(cluster, GATEWAY_ACCOUNT, "--audience", "bucketroute-config", *bound)
        )
        token_files[name] = file
    api_server, ca_file = _api_server(cluster, directory)
    return Surroundings(
        cluster=cluster,
        roles=tuple(item for item in rendered if item["kind"] in _ROLES),
        token=_token(cluster, OPERATOR_ACCOUNT),
        api_server=api_server,
        ca_file=ca_file,
        token_files=token_files,
    )


def set_ready(cluster: Cluster, *pods: str) -> None:
    """Has these pods, and no others, counted as ready. Raises: CommandError."""
    uids = [str(cluster.get("pod", name, NAMESPACE)["metadata"]["uid"]) for name in pods]
    cluster.apply(_ready(dict(zip(pods, uids, strict=True))))


def remove_surroundings(cluster: Cluster) -> None:
    """Raises: CommandError."""
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", NAMESPACE, "--ignore-not-found")
    cluster.kubectl("delete", "bucketrouteclass", CLASS, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")


def _rendered(cluster: Cluster) -> list[Json]:
    """The chart's objects that the operator's rights are made of, for its other namespace."""
    chart = str(REPOSITORY / "charts/bucketroute")
    shown = [f"--show-only=templates/{name}.yaml" for name in _SHOWN]
    output = cluster.helm("template", "bucketroute", chart, "--namespace", NAMESPACE, *shown)
    objects: list[Json] = [item for item in yaml.safe_load_all(output) if item]
    for item in objects:
        if item["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            item["metadata"]["name"] = NAMESPACE  # the installed ones stay as they are
        if item["kind"] == "ClusterRoleBinding":
            item["roleRef"]["name"] = NAMESPACE
    return objects


def class_with(**spec: object) -> Json:
    """The class `beside`, with more in its spec."""
    account = {"namespace": NAMESPACE, "name": GATEWAY_ACCOUNT}
    return {
        "apiVersion": "bucketroute.io/v1alpha1",
        "kind": "BucketRouteClass",
        "metadata": {"name": CLASS},
        "spec": {"dataPlane": {"mode": "Shared", "serviceAccountRef": account}, **spec},
    }


# The class `default` follows it as long as this operator leads.
_SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": NAMESPACE, "name": GATEWAY_ACCOUNT},
    "spec": {"ports": [{"name": "s3", "port": 80}]},
}


def _pod(name: str) -> Json:
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    of_container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "none", "image": CLIENT_IMAGE, "securityContext": of_container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "serviceAccountName": GATEWAY_ACCOUNT,
            "schedulingGates": [{"name": "bucketroute.io/never"}],
            "securityContext": security,
            "containers": [container],
        },
    }


def _old_chunk(number: int) -> Json:
    """As of a snapshot long ago: there are more of them than are kept."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"bucketroute-snapshot-{CLASS}-{number:016x}-0",
            "labels": {"bucketroute.io/snapshot-class": CLASS},
        },
    }


def _ready(pod_uids: Mapping[str, str]) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": "gateway",
            "labels": {"bucketroute.io/class": CLASS},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"192.0.2.{number}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": uid},
            }
            for number, (name, uid) in enumerate(pod_uids.items(), start=1)
        ],
    }


def _token(cluster: Cluster, account: str, *arguments: str) -> str:
    return cluster.kubectl(
        "create", "token", account, "--namespace", NAMESPACE, "--duration=1h", *arguments
    ).strip()


def _api_server(cluster: Cluster, directory: Path) -> tuple[str, Path]:
    """Its address and the authority of its certificate, as the administrator has them."""
    view = cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json")
    found = json.loads(view)["clusters"][0]["cluster"]
    file = directory / "api-server-ca.crt"
    encoded = found.get("certificate-authority-data")
    file.write_bytes(
        base64.b64decode(encoded) if encoded else Path(found["certificate-authority"]).read_bytes()
    )
    return str(found["server"]), file


def _data_of(cluster: Cluster, name: str) -> Json:
    where = ("--namespace", NAMESPACE, "--ignore-not-found", "-o", "json")
    text = cluster.kubectl("get", "configmap", name, *where)
    return dict(json.loads(text).get("data") or {}) if text.strip() else {}
