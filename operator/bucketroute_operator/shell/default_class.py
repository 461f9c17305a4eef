"""Creates the BucketRouteClass `default` where there is none, as the chart's values describe it.

Helm cannot: it would have to install the kind and an object of it in one release.
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
_S3_PORT_NAME = "s3"


async def ensure_default_class(kube: Kube, settings: OperatorSettings) -> None:
    """Never touches a class that is there. A failure is logged: the admin can create it by hand."""
    try:
        spec = await asyncio.to_thread(_spec, settings.default_class_file)
        data_plane = spec.setdefault("dataPlane", {})
        data_plane.setdefault("mode", "Shared")
        if data_plane["mode"] == "Shared":
            account = {"namespace": settings.namespace, "name": settings.gateway_service_account}
            data_plane.setdefault("serviceAccountRef", account)
            if "endpoint" not in data_plane:
                data_plane.update(await _endpoint(kube, settings))
        await kube.create(CLASSES, {"metadata": {"name": NAME}, "spec": spec})
    except ConflictError:
        return
    except (KubeError, OSError, yaml.YAMLError, ValueError) as exc:
        log.error("class default could not be created: %s", exc)
        return
    log.info("class default created")


async def _endpoint(kube: Kube, settings: OperatorSettings) -> Json:
    """By cluster IP: with a bare IP every SDK puts the bucket into the path."""
    try:
        service = await kube.get(SERVICES, settings.namespace, settings.gateway_service)
    except KubeError as exc:
        log.warning("the gateway's Service could not be read: %s", exc)
        return {}
    address = service["spec"].get("clusterIP")
    ports = service["spec"].get("ports") or []
    named = [item for item in ports if item.get("name") == _S3_PORT_NAME]
    port = next(iter([*named, *ports]), None)
    if not address or address == "None" or port is None:
        return {}
    host = f"[{address}]" if ":" in address else address
    return {"endpoint": f"http://{host}:{port['port']}"}


def _spec(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    spec = yaml.safe_load(file.read_text())
    if not isinstance(spec, dict):
        raise ValueError(f"{file} holds no mapping")
    return spec
