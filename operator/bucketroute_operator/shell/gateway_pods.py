"""Which gateway pods are ready: the EndpointSlices of the gateways' Services.

Services carry the label `bucketroute.io/class`, which Kubernetes copies to their EndpointSlices;
only the operator's own namespace counts, where tenants have no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bucketroute_operator.shell.kube_api import ENDPOINT_SLICES, Json, Kube

CLASS_LABEL = "bucketroute.io/class"


class GatewayPods:
    """The UIDs of the ready pods by class, as last read."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._ready: Mapping[str, frozenset[str]] = {}

    def ready(self, class_name: str) -> frozenset[str]:
        return self._ready.get(class_name, frozenset())

    async def refresh(self) -> bool:
        """Returns whether anything changed. Raises: KubeError."""
        slices = await self._kube.list_all(
            ENDPOINT_SLICES, namespace=self._namespace, selector=CLASS_LABEL
        )
        ready = ready_pods(slices)
        changed, self._ready = ready != self._ready, ready
        return changed


def ready_pods(slices: Iterable[Json]) -> dict[str, frozenset[str]]:
    """A missing `ready` means ready; terminating pods are never ready (EndpointSlice API)."""
    found: dict[str, set[str]] = {}
    for item in slices:
        labels = item["metadata"].get("labels") or {}
        pods = found.setdefault(labels.get(CLASS_LABEL, ""), set())
        for endpoint in item.get("endpoints") or []:
            target = endpoint.get("targetRef") or {}
            is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if is_ready and target.get("kind") == "Pod" and target.get("uid"):
                pods.add(target["uid"])
    return {name: frozenset(pods) for name, pods in found.items()}
