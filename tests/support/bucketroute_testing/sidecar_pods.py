"""Pods that ask for a sidecar by their label, and have nothing else of BucketRoute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bucketroute_testing.cluster import Cluster, wait_until
from bucketroute_testing.workloads import CLIENT_IMAGE, ClientResult, program

Json = dict[str, Any]
APPLICATION = "application"
SIDECAR = "bucketroute-proxy"
_END_SECONDS = 180.0
_RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
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
                "labels": {
                    "bucketroute.io/inject": "sidecar",
                    "bucketroute.io/class": self.class_name,
                },
            },
            "spec": {
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "securityContext": _RESTRICTED_POD,
                "containers": [_application(program(program_name), environment)],
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


def _application(text: str, environment: Mapping[str, str]) -> Json:
    return {
        "name": APPLICATION,
        "image": CLIENT_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", text],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "securityContext": _RESTRICTED_CONTAINER,
    }
