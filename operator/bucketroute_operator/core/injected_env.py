"""What a container gets to reach the gateway or its sidecar: variables and one mounted folder.

A variable that the pod has is never changed. Variables that only make sense together are added
together or not at all. What the SDKs will do otherwise than the label asks for is a warning.
Source of the names and their order: "AWS SDKs and Tools Reference Guide", Settings reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bucketroute_operator.core.injector_classes import InjectorClass
from bucketroute_operator.core.raw_pod import Container, JsonObject, object_at, text_at

LOGIN_VOLUME = "bucketroute-token"
LOGIN_FOLDER = "/var/run/secrets/bucketroute.io/serviceaccount"
LOGIN_TOKEN_FILE = f"{LOGIN_FOLDER}/token"
CREDENTIALS_VOLUME = "bucketroute-credentials"
CREDENTIALS_FOLDER = "/var/run/secrets/bucketroute.io/credentials"
CREDENTIALS_TOKEN_FILE = f"{CREDENTIALS_FOLDER}/token"
SIDECAR_PORT = 9000
SIDECAR_ENDPOINT = f"http://127.0.0.1:{SIDECAR_PORT}"
CREDENTIALS_URI = f"{SIDECAR_ENDPOINT}/v1/credentials"
# AssumeRoleWithWebIdentity takes a RoleSessionName of 2 to 64 characters; pod names have 1 to 253.
_MIN_SESSION_NAME, _MAX_SESSION_NAME = 2, 64
_ENDPOINT = "AWS_ENDPOINT_URL_S3"
_TOKEN_FILE = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105  # a name
_LOGIN_OF_OTHERS = ("AWS_ROLE_ARN", _TOKEN_FILE)
_CONTAINER_CREDENTIALS = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """For one container: what to append to its `env` and `volumeMounts`, and what to tell."""

    variables: tuple[JsonObject, ...]
    mounts: tuple[JsonObject, ...]
    warnings: tuple[str, ...]


def gateway_additions(
    container: Container, settings: InjectorClass, endpoint: str, pod: JsonObject, namespace: str
) -> Additions:
    """Mode env: the container logs in at the gateway with a token of its own."""
    environment = container.environment
    foreign = [name for name in _LOGIN_OF_OTHERS if name in environment]
    warnings = list(_warnings(environment, endpoint))
    if foreign and environment.get(_TOKEN_FILE) != LOGIN_TOKEN_FILE:
        # Such as EKS sets for IRSA. Its token must not go to our STS, nor ours to another.
        warnings.append(f"{foreign[0]} is already set, so it does not log in at BucketRoute")
        return _additions(container, {_ENDPOINT: endpoint}, (), warnings)
    account = text_at(object_at(pod, "spec"), "serviceAccountName") or "default"
    variables: dict[str, str | JsonObject] = {
        _ENDPOINT: endpoint,
        "AWS_ENDPOINT_URL_STS": endpoint,
        # SDKs insist on a role; the token decides who the caller is.
        "AWS_ROLE_ARN": f"arn:aws:iam::000000000000:role/{namespace}.{account}",
        _TOKEN_FILE: LOGIN_TOKEN_FILE,
        "AWS_ROLE_SESSION_NAME": _session_name(pod),
        **_region(settings),
    }
    return _additions(container, variables, (LOGIN_VOLUME, LOGIN_FOLDER), warnings)


def sidecar_additions(container: Container, settings: InjectorClass) -> Additions:
    """Mode sidecar: the container asks the proxy in its pod for a key that is good there only."""
    environment = container.environment
    warnings = list(_warnings(environment, SIDECAR_ENDPOINT))
    warnings += [
        f"{name} is already set, and SDKs look there before they ask the sidecar"
        for name in _LOGIN_OF_OTHERS
        if name in environment
    ]
    if any(item.get("containerPort") == SIDECAR_PORT for item in _ports(container)):
        warnings.append(f"port {SIDECAR_PORT} is taken by the sidecar, on 127.0.0.1")
    variables: dict[str, str | JsonObject] = {_ENDPOINT: SIDECAR_ENDPOINT, **_region(settings)}
    foreign = [name for name in _CONTAINER_CREDENTIALS if name in environment]
    if foreign and environment.get(_CONTAINER_CREDENTIALS[0]) != CREDENTIALS_URI:
        # Such as EKS Pod Identity sets: half of theirs and half of ours would be neither.
        warnings.append(f"{foreign[0]} is already set, so it does not ask the sidecar for a key")
        return _additions(container, variables, (), warnings)
    variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = CREDENTIALS_URI
    variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = CREDENTIALS_TOKEN_FILE
    return _additions(container, variables, (CREDENTIALS_VOLUME, CREDENTIALS_FOLDER), warnings)


def _additions(
    container: Container,
    variables: Mapping[str, str | JsonObject],
    mount: tuple[()] | tuple[str, str],
    warnings: Sequence[str],
) -> Additions:
    present = container.environment
    mounts: tuple[JsonObject, ...] = ()
    # What the pod mounts there itself stays; two mounts at one path are no valid pod.
    if mount and mount[1] not in container.mount_paths:
        mounts = ({"name": mount[0], "mountPath": mount[1], "readOnly": True},)
    return Additions(
        variables=tuple(
            {"name": name, "value": value}
            if isinstance(value, str)
            else {"name": name, "valueFrom": value}
            for name, value in variables.items()
            if name not in present
        ),
        mounts=mounts,
        warnings=tuple(f"container {container.name}: {text}" for text in warnings),
    )


def _region(settings: InjectorClass) -> dict[str, str]:
    """SDKs differ in which they read."""
    return {"AWS_REGION": settings.region, "AWS_DEFAULT_REGION": settings.region}


def _session_name(pod: JsonObject) -> JsonObject:
    """By fieldRef: a pod of a Deployment has no name yet. Generated names always fit."""
    name = text_at(object_at(pod, "metadata"), "name")
    fits = not name or _MIN_SESSION_NAME <= len(name) <= _MAX_SESSION_NAME
    field = "metadata.name" if fits else "metadata.uid"
    return {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}


def _ports(container: Container) -> Sequence[JsonObject]:
    ports = container.raw.get("ports")
    return [item for item in ports if isinstance(item, Mapping)] if isinstance(ports, list) else []


def _warnings(environment: Mapping[str, str | None], endpoint: str) -> Iterator[str]:
    if "AWS_ACCESS_KEY_ID" in environment:
        yield "AWS_ACCESS_KEY_ID is already set, and SDKs sign with it before all else"
    if environment.get(_ENDPOINT, endpoint) != endpoint:
        yield f"{_ENDPOINT} is already set, so its S3 requests do not go to BucketRoute"
    host = urlsplit(endpoint).hostname or ""
    names = (environment.get(name) or "" for name in ("NO_PROXY", "no_proxy"))
    proxies = [name for name in ("HTTP_PROXY", "http_proxy") if environment.get(name)]
    if proxies and not any(host in name or name == "*" for name in names):
        yield f"{proxies[0]} is set: name {host} in NO_PROXY"
