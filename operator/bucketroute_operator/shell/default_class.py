"""Creates the BucketRouteClass `default` where there is none, as the chart's values describe it.

Helm cannot: it would have to install the kind and an object of it in one release. Of a class that
exists nothing is touched but the endpoint, and that only as long as it is what was filled in here:
a chart that is installed again has a Service with another address.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import yaml

from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.kube_api import (
    CLASSES,
    SERVICES,
    ConflictError,
    Json,
    Kube,
    KubeError,
)

log = logging.getLogger("bucketroute.operator.default_class")

NAME = "default"
# Holds the endpoint that was filled in; where the class has another one, an admin chose that.
FILLED_IN_ENDPOINT = "bucketroute.io/filled-in-endpoint"
_S3_PORT_NAME = "s3"


async def keep_ensuring(kube: Kube, settings: OperatorSettings, *, retry_seconds: float) -> None:
    """Until the API server has decided. All else goes on meanwhile."""
    while True:
        try:
            await ensure_default_class(kube, settings)
            return
        except KubeError as exc:
            log.warning("class default could not be created, trying again: %s", exc)
            await asyncio.sleep(retry_seconds)


async def ensure_default_class(kube: Kube, settings: OperatorSettings) -> None:
    """Changes nothing that an admin wrote. A refusal is logged: the admin can create or edit the
    class by hand.

    Raises: KubeError for what may pass. Nothing was created then: a class without an endpoint
    would be taken for one whose admin wants none.
    """
    try:
        spec = await asyncio.to_thread(_spec, settings.default_class_file)
        data_plane = spec.setdefault("dataPlane", {})
        data_plane.setdefault("mode", "Shared")
        metadata: Json = {"name": NAME}
        if data_plane["mode"] == "Shared":
            account = {"namespace": settings.namespace, "name": settings.gateway_service_account}
            data_plane.setdefault("serviceAccountRef", account)
            endpoint = await _endpoint(kube, settings)
            if "endpoint" not in data_plane and endpoint is not None:
                data_plane["endpoint"] = endpoint
                metadata["annotations"] = {FILLED_IN_ENDPOINT: endpoint}
        await kube.create(CLASSES, {"metadata": metadata, "spec": spec})
    except ConflictError:
        await refresh_endpoint(kube, settings)
        return
    except (KubeError, OSError, yaml.YAMLError, ValueError) as exc:
        if isinstance(exc, KubeError) and exc.may_pass:
            raise
        log.error("class default could not be created: %s", exc)
        return
    log.info("class default created")


async def refresh_endpoint(kube: Kube, settings: OperatorSettings) -> None:
    """Follows the gateway's Service, unless somebody edited the endpoint. A failure is logged."""
    try:
        classes = await kube.list_all(CLASSES)
        found = next((item for item in classes if item["metadata"]["name"] == NAME), None)
        filled_in = _filled_in(found)
        endpoint = None if filled_in is None else await _endpoint(kube, settings)
        if found is None or endpoint in (None, filled_in):
            return
        found["spec"]["dataPlane"]["endpoint"] = endpoint
        found["metadata"]["annotations"][FILLED_IN_ENDPOINT] = endpoint
        await kube.replace(CLASSES, found)
    except KubeError as exc:
        log.warning("the endpoint of class default could not be refreshed: %s", exc)
        return
    log.info("class default follows its Service endpoint=%s", endpoint)


def _filled_in(item: Json | None) -> str | None:
    """The endpoint of a class, if it is one that was filled in here."""
    if item is None:
        return None
    ours = (item["metadata"].get("annotations") or {}).get(FILLED_IN_ENDPOINT)
    present = (item.get("spec", {}).get("dataPlane") or {}).get("endpoint")
    return ours if ours is not None and ours == present else None


async def _endpoint(kube: Kube, settings: OperatorSettings) -> str | None:
    """By cluster IP: with a bare IP every SDK puts the bucket into the path. With TLS by name, as a
    certificate has it."""
    try:
        service = await kube.get(SERVICES, settings.namespace, settings.gateway_service)
    except KubeError as exc:
        if exc.may_pass:
            raise
        log.warning("the gateway's Service could not be read: %s", exc)
        return None
    address = service["spec"].get("clusterIP")
    ports = service["spec"].get("ports") or []
    named = [item for item in ports if item.get("name") == _S3_PORT_NAME]
    port = next(iter([*named, *ports]), None)
    if not address or address == "None" or port is None:
        return None
    if port.get("appProtocol") == "https":
        name = f"{settings.gateway_service}.{settings.namespace}.svc"
        return f"https://{name}" + ("" if port["port"] == 443 else f":{port['port']}")
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port['port']}"


def _spec(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    spec = yaml.safe_load(file.read_text())
    if not isinstance(spec, dict):
        raise ValueError(f"{file} holds no mapping")
    return spec
