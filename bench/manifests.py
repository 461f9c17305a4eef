"""What BucketRoute is configured with: one route, its backend, and the client's access key."""

import json

from bench.requests import BACKEND, BUCKET, CLIENT, REGION, Credentials

Document = dict[str, object]


def manifests(endpoint: str, authority: str | None) -> str:
    """JSON is YAML, so this needs no library. `authority`: what the backend's TLS is trusted by."""
    backend: Document = {
        "endpoint": endpoint,
        "region": REGION,
        "addressingStyle": "Path",
        "auth": {"type": "Static", "staticCredentials": {"secretName": "backend-keys"}},
    }
    access = {
        "subjects": [{"kind": "AccessKey", "name": "bench-client"}],
        "permissions": ["Read", "List", "Write", "Delete"],
    }
    route: Document = {
        "backend": {"ref": {"name": "stub"}, "bucket": "backend-bucket"},
        "access": [access],
    }
    documents = [
        _secret("backend-keys", "Opaque", BACKEND),
        _secret("bench-client", "bucketroute.io/access-key", CLIENT),
        _resource("BucketBackend", "stub", backend),
        _resource("BucketRoute", BUCKET, route),
    ]
    if authority is not None:
        backend["tls"] = {"caConfigMapName": "backend-ca"}
        documents.insert(0, _config_map("backend-ca", {"ca.crt": authority}))
    return "".join(f"---\n{json.dumps(document, indent=2)}\n" for document in documents)


def _secret(name: str, kind: str, keys: Credentials) -> Document:
    data = {"accessKeyID": keys.access_key_id, "secretAccessKey": keys.secret_access_key}
    return _named(name, {"apiVersion": "v1", "kind": "Secret", "type": kind, "stringData": data})


def _config_map(name: str, data: dict[str, str]) -> Document:
    return _named(name, {"apiVersion": "v1", "kind": "ConfigMap", "data": data})


def _resource(kind: str, name: str, spec: Document) -> Document:
    return _named(name, {"apiVersion": "bucketroute.io/v1alpha1", "kind": kind, "spec": spec})


def _named(name: str, document: Document) -> Document:
    return document | {"metadata": {"name": name, "namespace": "bench"}}
