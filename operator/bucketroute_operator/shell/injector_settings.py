"""The ConfigMap `bucketroute-injector`: what the webhook writes into pods of each class.

The webhook has no access to the API server; it reads this as a mounted file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from bucketroute_operator.core.injector_classes import encode_classes
from bucketroute_operator.core.resources import ClassObject
from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    ConflictError,
    Kube,
    NotFoundError,
)

log = logging.getLogger("bucketroute.operator.injector_settings")

CONFIG_MAP_NAME = "bucketroute-injector"
CLASSES_KEY = "classes.json"


class InjectorSettings:
    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._written: dict[str, str] | None = None

    async def write(self, classes: Iterable[ClassObject]) -> None:
        """Writes the settings of these classes if they differ. Raises: KubeError."""
        data = {CLASSES_KEY: encode_classes(classes)}
        if data == self._written:
            return
        metadata = {"namespace": self._namespace, "name": CONFIG_MAP_NAME}
        try:
            known = await self._kube.get(CONFIG_MAPS, self._namespace, CONFIG_MAP_NAME)
            if known.get("data") != data:
                await self._kube.replace(CONFIG_MAPS, {**known, "data": data})
        except NotFoundError:
            await self._kube.create(CONFIG_MAPS, {"metadata": metadata, "data": data})
        except ConflictError:
            log.info("%s was changed by somebody else", CONFIG_MAP_NAME)
            return
        self._written = data
