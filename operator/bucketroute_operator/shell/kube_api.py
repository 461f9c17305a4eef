"""What the operator asks of an API server: the port, its errors, and the resources it knows.

`kube.py` implements it with the Kubernetes client; tests implement it in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]  # an object as the API server writes it

FIELD_MANAGER = "bucketroute-operator"


class KubeError(Exception):
    """The API server said no, or nothing. `status` is the HTTP status, 0 without an answer.

    NotFoundError, ConflictError, ForbiddenError, NoAccessError; KubeError itself for all else.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later: it had no answer, or there was too much
        to do, or the API server has a fault.
        """
        return self.status in (0, 408, 429) or self.status >= 500


class NotFoundError(KubeError):
    """404: no such object (or kind)."""


class ConflictError(KubeError):
    """409: it exists already, or has changed since it was read."""


class ForbiddenError(KubeError):
    """403: RBAC does not grant it."""


class NoAccessError(KubeError):
    """Nothing says which API server to ask, or how."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of object and where the API server has it."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.is_namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(parts)


def _ours(kind: str, plural: str, *, is_namespaced: bool = True) -> Resource:
    return Resource(
        kind=kind,
        plural=plural,
        group="bucketroute.io",
        version="v1alpha1",
        is_namespaced=is_namespaced,
    )


ROUTES = _ours("BucketRoute", "bucketroutes")
BACKENDS = _ours("BucketBackend", "bucketbackends")
CLASSES = _ours("BucketRouteClass", "bucketrouteclasses", is_namespaced=False)
NAMESPACES = Resource(kind="Namespace", plural="namespaces", is_namespaced=False)
WATCHED = (ROUTES, BACKENDS, CLASSES, NAMESPACES)

SECRETS = Resource(kind="Secret", plural="secrets")
CONFIG_MAPS = Resource(kind="ConfigMap", plural="configmaps")
SERVICES = Resource(kind="Service", plural="services")
ENDPOINT_SLICES = Resource(kind="EndpointSlice", plural="endpointslices", group="discovery.k8s.io")
LEASES = Resource(kind="Lease", plural="leases", group="coordination.k8s.io")
EVENTS = Resource(kind="Event", plural="events", group="events.k8s.io")
TOKEN_REVIEWS = Resource(
    kind="TokenReview", plural="tokenreviews", group="authentication.k8s.io", is_namespaced=False
)
WEBHOOK_CONFIGURATIONS = Resource(
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    group="admissionregistration.k8s.io",
    is_namespaced=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All objects of a kind as they were at one `resource_version`."""

    resource_version: str
    items: list[Json]


class Kube(Protocol):
    """Every call has a deadline of its own. All raise KubeError or one of its kinds."""

    async def list_all(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> list[Json]:
        """All objects, read page by page; of every namespace if none is given."""
        ...

    async def listing(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> Listing:
        """The same, and when that was."""
        ...

    async def get(self, resource: Resource, namespace: str, name: str) -> Json: ...

    async def create(self, resource: Resource, body: Json) -> Json:
        """Raises: ConflictError if it exists."""
        ...

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Raises: ConflictError if it is not at the `resourceVersion` in `body` any more."""
        ...

    async def patch(self, resource: Resource, body: Json) -> Json:
        """Strategic merge into an object of a built-in kind: lists merge by their items' names."""
        ...

    async def apply_status(self, resource: Resource, body: Json) -> Json:
        """Server-side apply of the status; ours are the only fields there, so conflicts are won."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str) -> None: ...

    async def raw(self, path: str) -> bytes:
        """The body of a GET that is no object's."""
        ...
