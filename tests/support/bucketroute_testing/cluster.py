"""The cluster that KUBECONFIG names, through kubectl and helm, as a user has it.

Nothing here needs an address of a pod or Service: on kind the tests run outside the cluster. What
is to happen inside does so in a pod, see `workloads.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]
SYSTEM_NAMESPACE = "bucketroute-system"
GATEWAY_SUBJECT = f"system:serviceaccount:{SYSTEM_NAMESPACE}:bucketroute-gateway"
BACKEND_BUCKET = "acme-prod-reports"


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

    def await_condition(
        self, kind: str, name: str, namespace: str, *, is_now: tuple[str, str], seconds: float
    ) -> Json:
        """The condition once its type has the status of `is_now`. Raises: TimeoutError."""
        wanted, status = is_now
        found = wait_until(
            lambda: self.conditions(kind, name, namespace),
            lambda seen: seen.get(wanted, {}).get("status") == status,
            seconds=seconds,
        )
        return found[wanted]

    def create_namespace(self, name: str) -> None:
        """One that admits restricted pods only. Raises: CommandError."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """BucketRoute as helm installed it. `endpoint`: where workloads reach the gateway."""

    cluster: Cluster
    endpoint: str


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
