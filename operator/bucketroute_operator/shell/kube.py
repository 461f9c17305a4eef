"""The API server through the official client. The only module that imports `kubernetes`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from yaml import YAMLError

from bucketroute_operator.shell.kube_api import (
    FIELD_MANAGER,
    ConflictError,
    ForbiddenError,
    Json,
    KubeError,
    Listing,
    NoAccessError,
    NotFoundError,
    Resource,
)

_TIMEOUT_SECONDS = 30
_PAGE_SIZE = 500  # what kubectl and client-go ask for
_MAX_MESSAGE_LENGTH = 300
# The client does not check what it reads: a file that is no kubeconfig fails anywhere in it.
_NO_KUBECONFIG = (
    config.ConfigException,
    OSError,
    YAMLError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
# The client's package is typed but these functions are not.
_load_kube_config: Any = config.load_kube_config
_load_incluster_config: Any = config.load_incluster_config
_list_contexts: Any = config.list_kube_config_contexts
# The key set is served under its own type and nothing else.
_ACCEPT = "application/json, application/jwk-set+json"
_APPLY = "application/apply-patch+yaml"
_STRATEGIC_MERGE = "application/strategic-merge-patch+json"


@asynccontextmanager
async def connect(
    kubeconfig: str | None, *, context: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS
) -> AsyncIterator[KubeClient]:
    """As the kubeconfig says (several paths, as in KUBECONFIG), else as the pod's service account.

    `timeout_seconds` is each call's. Raises: NoAccessError if there is neither.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is not None:
            await _load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
        else:
            _load_incluster_config(client_configuration=configuration)
    except _NO_KUBECONFIG as exc:
        raise NoAccessError(f"no access to an API server: {_on_one_line(exc)}") from exc
    async with client.ApiClient(configuration) as api:
        yield KubeClient(api, timeout_seconds=timeout_seconds)


def context_namespace(kubeconfig: str, context: str | None) -> str | None:
    """The namespace that a context (None: the current one) says. Raises: NoAccessError."""
    try:
        contexts, active = _list_contexts(config_file=kubeconfig)
    except _NO_KUBECONFIG as exc:
        raise NoAccessError(f"{kubeconfig} cannot be used: {_on_one_line(exc)}") from exc
    chosen = active if context is None else {}
    for item in contexts:
        if item["name"] == context:
            chosen = item
    namespace = (chosen.get("context") or {}).get("namespace")
    return None if namespace is None else str(namespace)


def _on_one_line(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


class KubeClient:
    """Implements `Kube`. Objects are plain JSON: the client's models would cost time and memory."""

    def __init__(self, api: client.ApiClient, *, timeout_seconds: float) -> None:
        self._api = api
        self._timeout_seconds = timeout_seconds

    async def list_all(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> list[Json]:
        return (await self.listing(resource, namespace=namespace, selector=selector)).items

    async def listing(
        self, resource: Resource, *, namespace: str = "", selector: str = ""
    ) -> Listing:
        items: list[Json] = []
        query = [("limit", str(_PAGE_SIZE))]
        if selector:
            query.append(("labelSelector", selector))
        token = ""
        while True:
            page_query = [*query, ("continue", token)] if token else query
            page = await self._json("GET", resource.path(namespace), query=page_query)
            items.extend(_slimmed(item) for item in page.get("items") or [])
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                version = str(metadata.get("resourceVersion", ""))
                return Listing(resource_version=version, items=items)

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        return await self._json("GET", resource.path(namespace, name))

    async def create(self, resource: Resource, body: Json) -> Json:
        namespace = body.get("metadata", {}).get("namespace", "")
        return await self._json("POST", resource.path(namespace), body=_typed(resource, body))

    async def replace(self, resource: Resource, body: Json) -> Json:
        path = _path_of(resource, body)
        return await self._json("PUT", path, body=_typed(resource, body))

    async def patch(self, resource: Resource, body: Json) -> Json:
        return await self._json(
            "PATCH", _path_of(resource, body), body=body, content_type=_STRATEGIC_MERGE
        )

    async def apply_status(self, resource: Resource, body: Json) -> Json:
        return await self._json(
            "PATCH",
            _path_of(resource, body, "status"),
            query=[("fieldManager", FIELD_MANAGER), ("force", "true")],
            body=_typed(resource, body),
            content_type=_APPLY,
        )

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        await self._request("DELETE", resource.path(namespace, name))

    async def raw(self, path: str) -> bytes:
        return await self._request("GET", path)

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        value = json.loads(await self._request(method, path, **options))
        assert isinstance(value, dict)
        return value

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        headers = {"Accept": _ACCEPT, "Content-Type": content_type}
        with_auth = await self._api.param_serialize(
            method,
            path,
            query_params=query or [],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response: Any = await self._api.call_api(
                *with_auth, _request_timeout=self._timeout_seconds
            )
            answer: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise KubeError(0, f"{method} {path}: {type(exc).__name__}") from exc
        if not 200 <= response.status < 300:
            raise _error(response.status, f"{method} {path}", answer)
        return answer


def _slimmed(item: Json) -> Json:
    """Without what is larger than all the rest, and of no use here."""
    item.get("metadata", {}).pop("managedFields", None)
    return item


def _typed(resource: Resource, body: Json) -> Json:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}


def _path_of(resource: Resource, body: Json, subresource: str = "") -> str:
    metadata = body["metadata"]
    return resource.path(metadata.get("namespace", ""), metadata["name"], subresource)


def _error(status: int, request: str, answer: bytes) -> KubeError:
    try:
        message = str(json.loads(answer).get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    kinds = {403: ForbiddenError, 404: NotFoundError, 409: ConflictError}
    text = f"{request}: {status} {message[:_MAX_MESSAGE_LENGTH]}"
    return kinds.get(status, KubeError)(status, text)
