"""Builders of the manifests that tests hand to `bucketroute serve`: small, valid, every field
overridable.

The shapes are those of the CRDs in `crds/`. A builder knows no test; the defaults make one
namespace with one backend, one caller and one route that lets that caller do everything.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bucketroute_testing.signing import AccessKey

API_VERSION = "bucketroute.io/v1alpha1"
NAMESPACE = "team-a"
ALL_PERMISSIONS = ("Read", "List", "Write", "Delete", "ReadVersion", "DeleteVersion")

Manifest = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentity:
    """Backend identity by a web-identity token."""

    role_arn: str
    duration_seconds: int | None = None

    def auth(self) -> Manifest:
        settings: Manifest = {"roleARN": self.role_arn}
        if self.duration_seconds is not None:
            settings["durationSeconds"] = self.duration_seconds
        return {"type": "WebIdentity", "webIdentity": settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCredentials:
    """Backend identity by a key pair in a Secret of the backend's namespace."""

    secret_name: str

    def auth(self) -> Manifest:
        return {"type": "Static", "staticCredentials": {"secretName": self.secret_name}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A public backend: requests go out unsigned."""

    def auth(self) -> Manifest:
        return {"type": "Unsigned"}


BackendIdentity = WebIdentity | StaticCredentials | Unsigned


def bucket_backend(
    name: str,
    endpoint: str,
    identity: BackendIdentity,
    *,
    namespace: str = NAMESPACE,
    profile: str | None = None,
    ca_config_map: str | None = None,
    extra: Mapping[str, object] | None = None,
) -> Manifest:
    """A BucketBackend with path-style addressing, as an IP endpoint needs it."""
    spec: Manifest = {
        "endpoint": endpoint,
        "region": "us-east-1",
        "addressingStyle": "Path",
        "auth": identity.auth(),
    }
    if profile is not None:
        spec["profile"] = profile
    if ca_config_map is not None:
        spec["tls"] = {"caConfigMapName": ca_config_map}
    return _object("BucketBackend", name, namespace, {**spec, **(extra or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One rule of a route: who, what, under which prefixes of the client's keys."""

    access_keys: Sequence[str] = ()
    is_anonymous: bool = False
    permissions: Sequence[str] = ALL_PERMISSIONS
    actions: Sequence[str] = ()
    prefixes: Sequence[str] = ()

    def manifest(self) -> Manifest:
        subjects: list[Manifest] = [
            {"kind": "AccessKey", "name": name} for name in self.access_keys
        ]
        if self.is_anonymous:
            subjects.append({"kind": "Anonymous"})
        rule: Manifest = {"subjects": subjects}
        lists = {
            "permissions": self.permissions,
            "actions": self.actions,
            "prefixes": self.prefixes,
        }
        return {**rule, **{name: list(values) for name, values in lists.items() if values}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteBackend:
    """Where a route's objects are."""

    ref: str
    bucket: str
    prefix: str = ""

    def manifest(self) -> Manifest:
        placed: Manifest = {"ref": {"name": self.ref}, "bucket": self.bucket}
        return {**placed, "prefix": self.prefix} if self.prefix else placed


def bucket_route(
    name: str,
    backend: RouteBackend,
    access: Sequence[AccessRule],
    *,
    namespace: str = NAMESPACE,
    extra: Mapping[str, object] | None = None,
) -> Manifest:
    """A BucketRoute whose virtual bucket is its name."""
    spec: Manifest = {
        "backend": backend.manifest(),
        "access": [rule.manifest() for rule in access],
    }
    return _object("BucketRoute", name, namespace, {**spec, **(extra or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPolicy:
    """What a test class allows: everything, unless it says less."""

    sts_endpoint: str = "${endpoint}"
    session_policy: str = "Enforced"
    extra: Mapping[str, object] = field(default_factory=dict)


def bucket_route_class(name: str, policy: ClassPolicy) -> Manifest:
    """A BucketRouteClass as permissive as the one that `serve` builds in."""
    gateway = {"namespace": "bucketroute-system", "name": "bucketroute-gateway"}
    spec: Manifest = {
        "dataPlane": {"mode": "Shared", "serviceAccountRef": gateway},
        "endpoints": {
            "allowed": ["*"],
            "insecureHTTP": "Allow",
            "privateNetworks": "Allow",
            "inline": "Allow",
        },
        "identity": {
            "stsEndpoint": policy.sts_endpoint,
            "allowedRoleARNs": ["*"],
            "sessionPolicy": policy.session_policy,
        },
        **policy.extra,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "BucketRouteClass",
        "metadata": {"name": name},
        "spec": spec,
    }


def access_key_secret(name: str, key: AccessKey, *, namespace: str = NAMESPACE) -> Manifest:
    """A Secret with a caller's key pair."""
    return _key_secret(name, key, namespace, "bucketroute.io/access-key")


def static_credentials_secret(name: str, key: AccessKey, *, namespace: str = NAMESPACE) -> Manifest:
    """A Secret with a backend's key pair."""
    return _key_secret(name, key, namespace, "Opaque")


def ca_config_map(name: str, ca: Path, *, namespace: str = NAMESPACE) -> Manifest:
    """A ConfigMap with the CA bundle of a backend."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"ca.crt": ca.read_text()},
    }


def write_manifests(path: Path, *manifests: Manifest) -> Path:
    """Write them as one YAML file, replacing it in one step as an editor or kubelet does."""
    pending = path.with_name(f".{path.name}.pending")
    pending.write_text(yaml.safe_dump_all(manifests, sort_keys=False))
    os.replace(pending, path)
    return path


def _object(kind: str, name: str, namespace: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _key_secret(name: str, key: AccessKey, namespace: str, secret_type: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": secret_type,
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {
            "accessKeyID": key.access_key_id,
            "secretAccessKey": key.secret_access_key,
        },
    }
