"""The cluster's token issuer and its public keys, which data planes check callers' tokens with."""

from __future__ import annotations

import json
import logging

from bucketroute_operator.shell.kube_api import Kube, KubeError

log = logging.getLogger("bucketroute.operator.cluster_keys")

_DISCOVERY_PATH = "/.well-known/openid-configuration"
_JWKS_PATH = "/openid/v1/jwks"


class ClusterKeys:
    """`issuer` and `jwks` (JSON text) are None until they could be read once.

    `may_be_missed`: they could not be read, and for a reason that may pass.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.issuer: str | None = None
        self.jwks: str | None = None
        self.may_be_missed = False

    async def refresh(self) -> bool:
        """Returns whether they changed; what cannot be read stays as it was."""
        before = (self.issuer, self.jwks)
        self.may_be_missed = False
        try:
            self.issuer = str(json.loads(await self._kube.raw(_DISCOVERY_PATH))["issuer"])
            # Canonical, so that the order of a reply's fields makes no new snapshot.
            keys = json.loads(await self._kube.raw(_JWKS_PATH))
            self.jwks = json.dumps(keys, sort_keys=True, separators=(",", ":"))
        except (KubeError, ValueError, KeyError, TypeError) as exc:
            log.warning("the cluster's token keys could not be read: %s", exc)
            self.may_be_missed = isinstance(exc, KubeError) and exc.may_pass and self.jwks is None
        return (self.issuer, self.jwks) != before
