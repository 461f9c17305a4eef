"""Which gateway pods are ready: the EndpointSlices of the gateways' Services.

Services carry the label `bucketroute.io/class`, which Kubernetes copies to their EndpointSlices;
only the operator's own namespace counts, where tenants have no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bucketroute_operator.shell.kube_api import ENDPOINT_SLICES, Json, Kube

CLASS_LABEL = "bucketroute.io/class"


class GatewayPod(NamedTuple):
    name: str
    uid: str
    is_ready: bool


class GatewayPods:
    """The pods by class, as last read."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pods: Mapping[str, tuple[GatewayPod, ...]] = {}

    def of(self, class_name: str) -> tuple[GatewayPod, ...]:
        """Ready or not, sorted by name."""
        return self._pods.get(class_name, ())

    def ready(self, class_name: str) -> frozenset[str]:
        """The UIDs of the ready ones."""
        return frozenset(pod.uid for pod in self.of(class_name) if pod.is_ready)

    async def refresh(self) -> bool:
        """Returns whether anything changed. Raises: KubeError."""
        slices = await self._kube.list_all(
            ENDPOINT_SLICES, namespace=self._namespace, selector=CLASS_LABEL
        )
        pods = gateway_pods(slices)
        changed, self._pods = pods != self._pods, pods
        return changed


def gateway_pods(slices: Iterable[Json]) -> dict[str, tuple[GatewayPod, ...]]:
    """A missing `ready` means ready; terminating pods are never ready (EndpointSlice API).

    A pod may be in several slices, one for each family of addresses.
    """
    found: dict[str, dict[str, GatewayPod]] = {}
    for item in slices:
        labels = item["metadata"].get("labels") or {}
        pods = found.setdefault(labels.get(CLASS_LABEL, ""), {})
        for endpoint in item.get("endpoints") or []:
            target = endpoint.get("targetRef") or {}
            uid = target.get("uid")
            if target.get("kind") != "Pod" or not uid:
                continue
            is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
            known = pods.get(uid)
            is_known_ready = known is not None and known.is_ready
            pods[uid] = GatewayPod(target.get("name", uid), uid, is_ready or is_known_ready)
    return {name: tuple(sorted(pods.values())) for name, pods in found.items()}
