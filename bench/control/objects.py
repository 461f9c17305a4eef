"""The objects of the benchmark: routes of many tenants, and what stands around the gateway."""

from __future__ import annotations

from bench.control.api import Json

NAMESPACE = "bucketroute-system"
GATEWAY = "bucketroute-gateway"
TENANTS = 128  # a class takes 100 routes of a namespace by default
PROBE_NAMESPACE = "team-000"
PROBE = "probe"
CALLER = "reporter"


def tenant(number: int) -> str:
    return f"team-{number % TENANTS:03}"


def route_path(namespace: str, name: str) -> str:
    return f"/apis/bucketroute.io/v1alpha1/namespaces/{namespace}/bucketroutes/{name}"


def route(namespace: str, name: str, *, endpoint: str, edit: int = 0, grants: bool = True) -> Json:
    """A route with a role of its own; each `edit` is another spec."""
    callers = [CALLER, f"edit-{edit}"] if grants else [f"edit-{edit}"]
    return {
        "apiVersion": "bucketroute.io/v1alpha1",
        "kind": "BucketRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "backend": {
                "bucket": "acme-objects",
                "prefix": f"{namespace}/{name}/",
                "endpoint": endpoint,
                "region": "us-east-1",
                "roleARN": f"arn:aws:iam::111122223333:role/bucketroute/{namespace}/{name}",
            },
            "access": [{"serviceAccounts": callers, "permissions": ["Read", "List"]}],
        },
    }


def class_spec(host: str) -> Json:
    """Of the class `default`: the backend is on this machine, and is its own STS."""
    return {
        "endpoints": {
            "allowed": [host],
            "insecureHTTP": "Allow",
            "privateNetworks": "Allow",
        },
        "identity": {"stsEndpoint": "${endpoint}"},
    }


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service_account(namespace_: str, name: str) -> Json:
    metadata = {"name": name, "namespace": namespace_}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def gateway_service() -> Json:
    """Without a selector: its EndpointSlice is written by hand."""
    metadata = {
        "name": GATEWAY,
        "namespace": NAMESPACE,
        "labels": {"bucketroute.io/class": "default"},
    }
    ports = [{"name": "s3", "port": 80, "targetPort": 9000}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}


def pod(name: str) -> Json:
    """One that nobody schedules: it lends its UID to a data plane outside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "schedulerName": "nobody",
            "serviceAccountName": GATEWAY,
            "automountServiceAccountToken": False,
            "containers": [{"name": "gateway", "image": "none"}],
        },
    }


def endpoint_slice(pods: list[Json]) -> Json:
    """All of them ready."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{GATEWAY}-bench",
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": GATEWAY,
                "bucketroute.io/class": "default",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "s3", "port": 9000}],
        "endpoints": [
            {
                "addresses": [f"192.0.2.{number + 1}"],
                "conditions": {"ready": True},
                "targetRef": {
                    "kind": "Pod",
                    "namespace": NAMESPACE,
                    "name": item["metadata"]["name"],
                    "uid": item["metadata"]["uid"],
                },
            }
            for number, item in enumerate(pods)
        ],
    }


def token_request(audience: str, bound_to: Json | None = None) -> Json:
    spec: Json = {"audiences": [audience], "expirationSeconds": 4 * 3600}
    if bound_to is not None:
        metadata = bound_to["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod"}
        spec["boundObjectRef"] = {**reference, "name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
