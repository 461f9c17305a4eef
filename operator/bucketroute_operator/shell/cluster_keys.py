"""The cluster's token issuer and its public keys, which data planes check callers' tokens with."""

from __future__ import annotations

import json
import logging

from bucketroute_operator.shell.kube_api import Kube, KubeError

log = logging.getLogger("bucketroute.operator.cluster_keys")

_DISCOVERY_PATH = "/.well-known/openid-configuration"
_JWKS_PATH = "/openid/v1/jwks"


class ClusterKeys:
    """`issuer` and `jwks` (JSON text) are None until they could be read once."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.issuer: str | None = None
        self.jwks: str | None = None

    async def refresh(self) -> bool:
        """Returns whether they changed; what cannot be read stays as it was."""
        before = (self.issuer, self.jwks)
        try:
            self.issuer = str(json.loads(await self._kube.raw(_DISCOVERY_PATH))["issuer"])
            # Canonical, so that the order of a reply's fields makes no new snapshot.
            keys = json.loads(await self._kube.raw(_JWKS_PATH))
            self.jwks = json.dumps(keys, sort_keys=True, separators=(",", ":"))
        except (KubeError, ValueError, KeyError, TypeError) as exc:
            log.warning("the cluster's token keys could not be read: %s", exc)
        return (self.issuer, self.jwks) != before
