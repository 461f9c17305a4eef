"""Pods with a sidecar, for the cluster tests: what docs/sidecar.md has users write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bucketroute_testing.cluster import SYSTEM_NAMESPACE, Cluster, wait_until
from bucketroute_testing.workloads import CLIENT_IMAGE, ClientResult, program

Json = dict[str, Any]
APPLICATION = "application"
SIDECAR = "bucketroute-proxy"
IMAGE = "localhost/bucketroute-dataplane:e2e"
_S3 = "http://127.0.0.1:9000"
_TOKENS = "/var/run/secrets/bucketroute.io/tokens"
_CREDENTIALS = "/var/run/secrets/bucketroute.io/credentials"
_STATE = "/var/lib/bucketroute"
_END_SECONDS = 180.0
# MinIO's client ID; `identity.audience` of the class in manifests/bucketroute/values.yaml.
_STS_AUDIENCE = "minio"
_RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_APPLICATION_ENVIRONMENT = {
    "AWS_ENDPOINT_URL_S3": _S3,
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{_S3}/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{_CREDENTIALS}/token",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarWorkload:
    """Pods of one service account: an unmodified SDK without any credential, beside a sidecar."""

    cluster: Cluster
    namespace: str
    service_account: str
    class_name: str = "default"

    def pod(self, name: str, program_name: str, **environment: str) -> Json:
        """The manifest of a pod that runs a program of tests/e2e/cluster/programs."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"bucketroute.io/config-client": "true"},
            },
            "spec": {
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "securityContext": _RESTRICTED_POD,
                "initContainers": [_sidecar(_authority(self.cluster), self.class_name)],
                "containers": [_application(program(program_name), environment)],
                "volumes": _volumes(),
            },
        }

    def start(self, pod: Json) -> None:
        """Anew, if there is one. Raises: CommandError."""
        self.delete("pod", pod["metadata"]["name"])
        self.cluster.apply(pod)

    def end(self, name: str) -> ClientResult:
        """Of a pod that was started. Raises: TimeoutError."""
        phase = wait_until(
            lambda: self.phase(name),
            lambda found: found in ("Succeeded", "Failed"),
            seconds=_END_SECONDS,
        )
        return ClientResult(has_succeeded=phase == "Succeeded", log=self.log(f"pod/{name}"))

    def run(self, name: str, program_name: str, **environment: str) -> ClientResult:
        """Raises: CommandError; TimeoutError."""
        self.start(self.pod(name, program_name, **environment))
        return self.end(name)

    def run_job(self, pod: Json) -> ClientResult:
        """Runs the pod as a Job until Kubernetes calls that complete, or failed.

        Raises: CommandError; TimeoutError.
        """
        name, labels = pod["metadata"]["name"], pod["metadata"]["labels"]
        self.delete("job", name)
        template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
        self.cluster.apply(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"backoffLimit": 0, "template": template},
            }
        )
        ended = wait_until(
            lambda: self.cluster.conditions("job", name, self.namespace),
            lambda seen: "Complete" in seen or "Failed" in seen,
            seconds=_END_SECONDS,
        )
        return ClientResult(has_succeeded="Complete" in ended, log=self.log(f"job/{name}"))

    def phase(self, name: str) -> str:
        """Raises: CommandError."""
        return str(self.cluster.get("pod", name, self.namespace)["status"].get("phase"))

    def log(self, what: str, container: str = APPLICATION) -> str:
        """Raises: CommandError."""
        where = ("--namespace", self.namespace)
        return self.cluster.kubectl("logs", what, "--container", container, *where)

    def delete(self, kind: str, name: str) -> None:
        """Returns when all its containers have ended. Raises: CommandError."""
        where = ("--namespace", self.namespace)
        self.cluster.kubectl("delete", kind, name, *where, "--ignore-not-found", "--wait=true")


def _authority(cluster: Cluster) -> str:
    found: str = cluster.get("configmap", "bucketroute-ca", SYSTEM_NAMESPACE)["data"]["ca.crt"]
    return found


def _application(text: str, environment: Mapping[str, str]) -> Json:
    settings = {**_APPLICATION_ENVIRONMENT, **environment}
    return {
        "name": APPLICATION,
        "image": CLIENT_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", text],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "securityContext": _RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "bucketroute-credentials", "mountPath": _CREDENTIALS, "readOnly": True}
        ],
    }


def _sidecar(authority: str, class_name: str) -> Json:
    settings = {
        "BUCKETROUTE_CLASS": class_name,
        "BUCKETROUTE_ADMIN_LISTEN": "0.0.0.0:9102",
        "BUCKETROUTE_CONFIG_URL": f"https://bucketroute-operator.{SYSTEM_NAMESPACE}.svc:9443",
        "BUCKETROUTE_CA_PEM": authority,
        "BUCKETROUTE_CONFIG_TOKEN_FILE": f"{_TOKENS}/config",
        "BUCKETROUTE_STS_TOKEN_FILE": f"{_TOKENS}/sts",
        "BUCKETROUTE_AUTHORIZATION_TOKEN_FILE": f"{_CREDENTIALS}/token",
        "BUCKETROUTE_STATE_DIR": _STATE,
    }
    return {
        "name": SIDECAR,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "restartPolicy": "Always",
        "args": ["--mode=sidecar", "--listen=127.0.0.1:9000"],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "ports": [{"name": "br-metrics", "containerPort": 9102}],
        "startupProbe": _probe("ready", periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("live", periodSeconds=10),
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {**_RESTRICTED_CONTAINER, "runAsUser": 65532},
        "volumeMounts": [
            {"name": "bucketroute-tokens", "mountPath": _TOKENS, "readOnly": True},
            {"name": "bucketroute-credentials", "mountPath": _CREDENTIALS},
            {"name": "bucketroute-state", "mountPath": _STATE},
        ],
    }


def _probe(name: str, **pace: int) -> Json:
    return {"exec": {"command": ["bucketroute-dataplane", name]}, "timeoutSeconds": 5, **pace}


def _volumes() -> list[Json]:
    tokens = [
        {"path": path, "audience": audience, "expirationSeconds": 3600}
        for path, audience in (("sts", _STS_AUDIENCE), ("config", "bucketroute-config"))
    ]
    sources = [{"serviceAccountToken": token} for token in tokens]
    return [
        {"name": "bucketroute-tokens", "projected": {"defaultMode": 0o444, "sources": sources}},
        {"name": "bucketroute-credentials", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "bucketroute-state", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
    ]
