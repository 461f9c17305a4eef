"""Workloads of the cluster tests: an unmodified SDK in a pod, and what it leaves in the backend."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    SYSTEM_NAMESPACE,
    Cluster,
    Installation,
    wait_until,
)

Json = dict[str, Any]
CLIENT_IMAGE = "localhost/python-client:e2e"
TOKEN_FOLDER = "/var/run/secrets/bucketroute.io/serviceaccount"
PROGRAMMED_SECONDS = 60.0
# Within this a refused exchange shows in the status, and a repair does.
CREDENTIAL_SECONDS = 30.0
_TESTS = Path(__file__).parents[2] / "e2e" / "cluster"
_CLIENT_SECONDS = 180.0
_RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def program(name: str) -> str:
    """The text of a program of tests/e2e/cluster/programs."""
    return (_TESTS / "programs" / f"{name}.py").read_text()


def route(name: str, namespace: str, **backend: str) -> Json:
    """The route of the manifest under another name, each with a prefix of its own."""
    found: Json = yaml.safe_load((_TESTS / "manifests/bucketroute/route.yaml").read_text())
    found["metadata"] |= {"name": name, "namespace": namespace}
    found["spec"]["backend"] |= {"prefix": f"{namespace}/{name}/", **backend}
    return found


def in_backend(cluster: Cluster) -> Json:
    """Every object of the backend's bucket: key → sha256, size, etag."""
    pod = ClientPod(
        namespace="minio",
        name="inspect",
        program=program("inspect_backend"),
        environment={"BUCKET": BACKEND_BUCKET},
        secret="minio",
    )
    return pod.run(cluster).value()


def published_route(cluster: Cluster, namespace: str, name: str) -> Json:
    """The route as gateways have it, from the ConfigMap that they boot from. At most ten seconds
    behind: TimeoutError if it does not come.
    """

    def find() -> Json | None:
        boot = cluster.get("configmap", "bucketroute-boot-default", SYSTEM_NAMESPACE)
        body = gzip.decompress(base64.b64decode(boot["binaryData"]["snapshot.ndjson.gz"]))
        for line in body.splitlines():
            item = json.loads(line)
            is_route = isinstance(item, dict) and "namespace" in item
            if is_route and (item["namespace"], item["name"]) == (namespace, name):
                return dict(item)
        return None

    found = wait_until(find, lambda route: route is not None, seconds=PROGRAMMED_SECONDS)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientResult:
    """How a client's pod ended and what it printed."""

    has_succeeded: bool
    log: str

    def value(self) -> Json:
        """The JSON object that the program printed last."""
        assert self.has_succeeded, self.log
        found = json.loads(self.log.splitlines()[-1])
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPod:
    """A workload: an unmodified SDK, a service account, a token for `audience`, AWS_* settings.

    With `inject` the pod has the label and neither token nor settings: the injector is to add them.
    """

    namespace: str
    name: str
    program: str
    service_account: str = "default"
    audience: str = "bucketroute"
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    inject: str | None = None

    def run(self, cluster: Cluster) -> ClientResult:
        """Runs to its end. Raises: CommandError; TimeoutError."""
        self.start(cluster)
        return self.end(cluster)

    def start(self, cluster: Cluster) -> None:
        """Returns when the pod runs, or has ended. Raises: CommandError; TimeoutError."""
        where = ("--namespace", self.namespace)
        cluster.kubectl("delete", "pod", self.name, *where, "--ignore-not-found", "--wait=true")
        cluster.apply(self.manifest())
        self._await_phase(cluster, "Running", "Succeeded", "Failed")

    def stop(self, cluster: Cluster) -> ClientResult:
        """Tells a program that looks for /tmp/stop to end; it must not have ended before.

        Raises: CommandError; TimeoutError.
        """
        command = ("python3", "-c", "open('/tmp/stop', 'w')")
        cluster.kubectl("exec", "--namespace", self.namespace, self.name, "--", *command)
        return self.end(cluster)

    def end(self, cluster: Cluster) -> ClientResult:
        """Waits for it, and deletes the pod. Raises: CommandError; TimeoutError."""
        where = ("--namespace", self.namespace)
        phase = self._await_phase(cluster, "Succeeded", "Failed")
        log = cluster.kubectl("logs", self.name, *where)
        cluster.kubectl("delete", "pod", self.name, *where, "--wait=false")
        return ClientResult(has_succeeded=phase == "Succeeded", log=log)

    def _await_phase(self, cluster: Cluster, *phases: str) -> str:
        return wait_until(
            lambda: str(cluster.get("pod", self.name, self.namespace)["status"].get("phase")),
            lambda found: found in phases,
            seconds=_CLIENT_SECONDS,
        )

    def manifest(self) -> Json:
        labels = {} if self.inject is None else {"bucketroute.io/inject": self.inject}
        token = {"path": "token", "audience": self.audience, "expirationSeconds": 3600}
        mounts: list[Json] = [{"name": "tmp", "mountPath": "/tmp"}]
        volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}]
        if self.inject is None:
            mounts.append({"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True})
            projected = {"sources": [{"serviceAccountToken": token}]}
            volumes.append({"name": "token", "projected": projected})
        container = {
            "name": "client",
            "image": CLIENT_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["python3", "-c", self.program],
            "env": [{"name": key, "value": value} for key, value in self.environment.items()],
            "envFrom": [] if self.secret is None else [{"secretRef": {"name": self.secret}}],
            "securityContext": _RESTRICTED_CONTAINER,
            "volumeMounts": mounts,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "securityContext": _RESTRICTED_POD,
                "containers": [container],
                "volumes": volumes,
            },
        }

    def job(self) -> Json:
        """A Job of one such pod, which has no name of its own choosing then."""
        pod = self.manifest()
        template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"backoffLimit": 0, "template": template},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A service account of a namespace, and the programs that it runs against the gateway."""

    bucketroute: Installation
    namespace: str
    service_account: str

    def pod(self, name: str, program_name: str, **environment: str) -> ClientPod:
        """A pod with what a workload has of the gateway, and `environment`."""
        aws = workload_environment(self.bucketroute.endpoint, self.namespace, self.service_account)
        return ClientPod(
            namespace=self.namespace,
            name=name,
            program=program(program_name),
            service_account=self.service_account,
            environment={**aws, **environment},
        )

    def run(self, name: str, program_name: str, **environment: str) -> ClientResult:
        pod = self.pod(name, program_name, **environment)
        return pod.run(self.bucketroute.cluster)


def workload_environment(endpoint: str, namespace: str, service_account: str) -> dict[str, str]:
    """What a workload of the gateway has in its environment, and nothing else of credentials."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_STS": endpoint,
        "AWS_ROLE_ARN": f"arn:aws:iam::000000000000:role/{namespace}.{service_account}",
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{TOKEN_FOLDER}/token",
        "AWS_ROLE_SESSION_NAME": "e2e",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
