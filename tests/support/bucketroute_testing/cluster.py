"""The cluster that KUBECONFIG names, through kubectl and helm, as a user has it.

Nothing here needs an address of a pod or Service: on kind the tests run outside the cluster. What
is to happen inside does so in a pod, see `run_client`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]
CLIENT_IMAGE = "localhost/python-client:e2e"
TOKEN_FOLDER = "/var/run/secrets/bucketroute.io/serviceaccount"
SYSTEM_NAMESPACE = "bucketroute-system"
GATEWAY_SUBJECT = f"system:serviceaccount:{SYSTEM_NAMESPACE}:bucketroute-gateway"
BACKEND_BUCKET = "acme-prod-reports"
_CLIENT_SECONDS = 180.0
_RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class CommandError(Exception):
    """kubectl or helm failed; its message."""


class Cluster:
    """kubectl and helm, with deadlines."""

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Its standard output. Raises: CommandError."""
        return _run("kubectl", *arguments, stdin=stdin, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 240) -> str:
        """Its standard output. Raises: CommandError."""
        return _run("helm", *arguments, stdin=None, seconds=seconds)

    def apply(self, *objects: Json) -> None:
        """Server-side, so that a second time is fine. Raises: CommandError."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(items))

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        """Raises: CommandError, also if there is none."""
        where = ("--namespace", namespace) if namespace else ()
        found = json.loads(self.kubectl("get", kind, name, *where, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def conditions(self, kind: str, name: str, namespace: str = "") -> dict[str, Json]:
        """The conditions of an object's status by their types."""
        status = self.get(kind, name, namespace).get("status") or {}
        return {item["type"]: item for item in status.get("conditions") or []}

    def create_namespace(self, name: str) -> None:
        """One that admits restricted pods only. Raises: CommandError."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def run_client(self, pod: ClientPod) -> ClientResult:
        """Runs a Python program in a pod to its end, and deletes the pod. Raises: CommandError."""
        name, where = pod.name, ("--namespace", pod.namespace)
        self.kubectl("delete", "pod", name, *where, "--ignore-not-found", "--wait=true")
        self.apply(pod.manifest())
        phase = wait_until(
            lambda: self.get("pod", name, pod.namespace)["status"].get("phase"),
            lambda found: found in ("Succeeded", "Failed"),
            seconds=_CLIENT_SECONDS,
        )
        log = self.kubectl("logs", name, *where)
        self.kubectl("delete", "pod", name, *where, "--wait=false")
        return ClientResult(has_succeeded=phase == "Succeeded", log=log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """BucketRoute as helm installed it. `endpoint`: where workloads reach the gateway."""

    cluster: Cluster
    endpoint: str


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
    """A workload: an unmodified SDK, a service account, a token for `audience`, AWS_* settings."""

    namespace: str
    name: str
    program: str
    service_account: str = "default"
    audience: str = "bucketroute"
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None

    def manifest(self) -> Json:
        token = {"path": "token", "audience": self.audience, "expirationSeconds": 3600}
        container = {
            "name": "client",
            "image": CLIENT_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["python3", "-c", self.program],
            "env": [{"name": key, "value": value} for key, value in self.environment.items()],
            "envFrom": [] if self.secret is None else [{"secretRef": {"name": self.secret}}],
            "securityContext": _RESTRICTED_CONTAINER,
            "volumeMounts": [
                {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }
        volumes: list[Json] = [
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
            {"name": "tmp", "emptyDir": {}},
        ]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "securityContext": _RESTRICTED_POD,
                "containers": [container],
                "volumes": volumes,
            },
        }


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


def wait_until(look: Callable[[], T], is_right: Callable[[T], bool], *, seconds: float) -> T:
    """Looks again and again. Raises: TimeoutError with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if is_right(found):
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s: {found}")
        time.sleep(0.5)


def _run(program: str, *arguments: str, stdin: str | None, seconds: float) -> str:
    command: Sequence[str] = (program, *arguments)
    try:
        done = subprocess.run(
            command,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=os.environ,
        )
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{' '.join(command)}: not done after {seconds} s") from exc
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
