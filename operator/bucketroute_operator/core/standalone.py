"""The class `default` of `bucketroute serve`, for manifests that bring none of that name.

It is as permissive as a class can be: there is one user, who wrote the manifests.
"""

from __future__ import annotations

from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.object_parser import UNKNOWN_CREATION_TIME
from bucketroute_operator.core.resources import (
    ClassObject,
    ClassSpec,
    DataPlaneMode,
    DataPlaneSpec,
    Decision,
    EndpointRules,
    IdentityRules,
    Metadata,
)
from bucketroute_snapshot import NetworkScope

_MAX_ROUTES = 100_000


def standalone_class(name: str = "default") -> ClassObject:
    """Every host, role and namespace; plain HTTP, private and loopback addresses; inline backends.

    Off AWS the token goes to the backend's own endpoint, where MinIO and Ceph answer STS.
    """
    return ClassObject(
        metadata=Metadata(
            ref=ObjectRef(kind="BucketRouteClass", namespace="", name=name),
            uid=f"built-in/{name}",
            generation=1,
            created_at=UNKNOWN_CREATION_TIME,
        ),
        spec=ClassSpec(
            data_plane=DataPlaneSpec(mode=DataPlaneMode.SHARED),
            endpoints=EndpointRules(
                allowed=("*",),
                insecure_http=Decision.ALLOW,
                network_scope=NetworkScope.LOOPBACK,
            ),
            identity=IdentityRules(sts_endpoint_off_aws="${endpoint}", allowed_role_arns=("*",)),
            max_routes_per_namespace=_MAX_ROUTES,
        ),
    )
