"""What ought to be published: a compilation of what the API server holds now, from nothing."""

from __future__ import annotations

import json

from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.objects import object_set, parse_object
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_operator.shell.kube_api import WATCHED
from bucketroute_snapshot import Snapshot, snapshot_digest
from bucketroute_testing.cluster import Cluster, Json


def fresh_snapshot(cluster: Cluster, class_name: str) -> Snapshot:
    """By new LISTs, and without a memory of who had which name. Raises: CommandError."""
    found = []
    for resource in WATCHED:
        listed = _raw(cluster, resource.path())
        found += [parse_object({**item, "kind": resource.kind}) for item in listed["items"]]
    jwks = _raw(cluster, "/openid/v1/jwks")
    compilation = compile_snapshot(
        CompileInputs(
            objects=object_set(found),
            aws_endpoints=aws_s3_endpoint,
            cluster_issuer=_raw(cluster, "/.well-known/openid-configuration")["issuer"],
            cluster_jwks=json.dumps(jwks, sort_keys=True, separators=(",", ":")),
        )
    )
    (result,) = [item for item in compilation.classes if item.metadata.name == class_name]
    assert result.snapshot is not None, result
    return result.snapshot


def fresh_digest(cluster: Cluster, class_name: str) -> str:
    """Raises: CommandError."""
    return snapshot_digest(fresh_snapshot(cluster, class_name))


def _raw(cluster: Cluster, path: str) -> Json:
    value = json.loads(cluster.kubectl("get", "--raw", path))
    assert isinstance(value, dict)
    return value
