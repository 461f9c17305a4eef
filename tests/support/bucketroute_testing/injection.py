"""The injector of the cluster tests: what the API server would store, and when it knows a class."""

from __future__ import annotations

import json
import time

from bucketroute_testing.cluster import (
    SYSTEM_NAMESPACE,
    Cluster,
    CommandError,
    Json,
    wait_until,
)

INJECTED = "bucketroute.io/injected"
_KUBELET_SECONDS = 120.0
# Enough that each of two replicas was asked.
_CALLS = 4


def create(cluster: Cluster, manifest: Json, *arguments: str) -> Json:
    """What the API server stores, or with `--dry-run=server` would store. Raises: CommandError."""
    command = ("create", "-f", "-", "-o", "json", *arguments)
    stored: Json = json.loads(cluster.kubectl(*command, stdin=json.dumps(manifest)))
    return stored


def await_injection(cluster: Cluster, manifest: Json) -> Json:
    """The pod as it would be stored, once every replica sets it up. Raises: TimeoutError.

    For what takes a while to reach the injector: a class that is new, a Service that is back.
    """
    # kubelet looks at a pod's volumes by the minute, and at once when the pod has changed.
    stamp = f"bucketroute.io/looked-at={time.time_ns()}"
    selected = ("-l", "app.kubernetes.io/component=injector", "--namespace", SYSTEM_NAMESPACE)
    cluster.kubectl("annotate", "pods", *selected, stamp, "--overwrite")

    def stored() -> list[Json]:
        try:
            return [create(cluster, manifest, "--dry-run=server") for _ in range(_CALLS)]
        except CommandError:  # refused, as pods of mode sidecar are
            return []

    def is_set_up(found: list[Json]) -> bool:
        annotated = [INJECTED in item["metadata"].get("annotations", {}) for item in found]
        return bool(found) and all(annotated)

    return wait_until(stored, is_set_up, seconds=_KUBELET_SECONDS)[0]


def await_known_class(cluster: Cluster, name: str) -> None:
    """The operator has written the class down for the injector. Raises: TimeoutError."""
    wait_until(
        lambda: cluster.get("configmap", "bucketroute-injector", SYSTEM_NAMESPACE)["data"],
        lambda data: name in json.loads(data["classes.json"]),
        seconds=30,
    )
