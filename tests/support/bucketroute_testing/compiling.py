"""Builders of raw objects, and the compiler's results by object, for tests of the control plane."""

from __future__ import annotations

from typing import Any

from bucketroute_operator.core.compilation import Compilation, RouteResult
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.conflicts import NameHolder
from bucketroute_operator.core.endpoints import AwsEndpoints
from bucketroute_operator.core.findings import Condition, ConditionType, Reason
from bucketroute_operator.core.objects import object_set, parse_object
from bucketroute_operator.core.resources import BackendObject, ClassObject, RouteObject
from bucketroute_snapshot import Route, SnapshotSecrets

Manifest = dict[str, Any]


def manifest(kind: str, name: str, namespace: str = "", **fields: Any) -> Manifest:
    created = fields.pop("created", "2026-01-01T00:00:00Z")
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"kind": kind, "metadata": metadata, **fields}


def class_(**spec: Any) -> Manifest:
    return manifest("BucketRouteClass", "default", spec={"dataPlane": {"mode": "Sidecar"}, **spec})


def role(namespace: str) -> str:
    return f"arn:aws:iam::111122223333:role/bucketroute/{namespace}/x"


def route(namespace: str, name: str = "data", **spec: Any) -> Manifest:
    created = spec.pop("created", "2026-01-01T00:00:00Z")
    backend = {"bucket": "acme", "region": "eu-west-1", "roleARN": role(namespace)}
    spec = {"backend": backend, **spec}
    return manifest("BucketRoute", name, namespace, spec=spec, created=created)


def referring(namespace: str, owner: str, **backend: Any) -> Manifest:
    ref = {"name": "lake", "namespace": owner}
    return route(namespace, backend={"bucket": "acme", "ref": ref, **backend})


def lake(namespace: str = "platform", **spec: Any) -> Manifest:
    auth = {"type": "WebIdentity", "webIdentity": {"roleARN": role(namespace)}}
    return manifest(
        "BucketBackend", "lake", namespace, spec={"region": "eu-west-1", "auth": auth, **spec}
    )


def admitting(**namespaces: Any) -> Manifest:
    return {"allowedRoutes": {"namespaces": namespaces}}


def access_key(
    namespace: str, key_id: str = "KEY1", created: str = "2026-01-01T00:00:00Z"
) -> Manifest:
    return manifest(
        "Secret",
        "key",
        namespace,
        created=created,
        type="bucketroute.io/access-key",
        stringData={"accessKeyID": key_id, "secretAccessKey": f"secret-of-{namespace}"},
    )


def regional_endpoint(region: str) -> str | None:
    return f"https://s3.{region}.amazonaws.com"


def compiled(
    *manifests: Manifest,
    holders: tuple[NameHolder, ...] = (),
    aws_endpoints: AwsEndpoints = regional_endpoint,
) -> Compilation:
    return compile_snapshot(
        CompileInputs(
            objects=object_set(map(parse_object, manifests)),
            aws_endpoints=aws_endpoints,
            holders=holders,
        )
    )


def result_of(compilation: Compilation, namespace: str, name: str = "data") -> RouteResult:
    return next(
        item
        for item in compilation.routes
        if (item.metadata.namespace, item.metadata.name) == (namespace, name)
    )


def references(compilation: Compilation, namespace: str) -> Condition:
    return result_of(compilation, namespace).condition(ConditionType.RESOLVED_REFS)


def acceptance(compilation: Compilation, namespace: str, name: str = "data") -> Reason:
    return result_of(compilation, namespace, name).condition(ConditionType.ACCEPTED).reason


def served(compilation: Compilation, namespace: str, name: str = "data") -> Route | None:
    result = compilation.of_class("default")
    assert result is not None
    assert result.snapshot is not None
    return next(
        (
            item
            for item in result.snapshot.routes
            if (item.namespace, item.name) == (namespace, name)
        ),
        None,
    )


def secrets(compilation: Compilation) -> SnapshotSecrets:
    result = compilation.of_class("default")
    assert result is not None
    return result.secrets


def problem_fields(kind: str, spec: Any) -> list[str]:
    """The fields that parsing an object with this spec complains of."""
    parsed = parse_object(
        {
            "apiVersion": "bucketroute.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "sample", "namespace": "team-a"},
            "spec": spec,
        }
    )
    assert isinstance(parsed, RouteObject | BackendObject | ClassObject)
    assert (parsed.spec is None) == bool(parsed.problems)
    return [problem.field for problem in parsed.problems]
