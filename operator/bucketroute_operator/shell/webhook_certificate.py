"""The injector's certificate, made by the operator, and the API server told whom to trust for it.

The injector has no rights at the API server, and must not hold the authority's key: it gets a
Secret with its own certificate only. With cert-manager none of this is needed.
"""

from __future__ import annotations

import base64
import binascii
import logging
from datetime import UTC, datetime

from bucketroute_operator.shell.certificates import (
    Certificates,
    KeyPair,
    expires_at,
    serving_renewed,
)
from bucketroute_operator.shell.kube_api import (
    SECRETS,
    WEBHOOK_CONFIGURATIONS,
    ConflictError,
    Json,
    Kube,
    KubeError,
)

log = logging.getLogger("bucketroute.operator.webhook_certificate")

# Of the Service, the Secret is named after it, and of the MutatingWebhookConfiguration.
NAME = "bucketroute-injector"
SECRET_NAME = f"{NAME}-tls"


class WebhookCertificate:
    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    async def refresh(self, authorities: Certificates) -> None:
        """Renews and announces where due. A failure is logged: gateways need none of it."""
        try:
            # The API server trusts a new authority before anything is signed with it.
            await self._announce(authorities.bundle)
            await self._renew(authorities)
        except ConflictError:
            log.info("another replica wrote %s", SECRET_NAME)
        except KubeError as exc:
            log.warning("the injector's certificate could not be kept: %s", exc)

    async def _renew(self, authorities: Certificates) -> None:
        """The chart makes the Secret, empty."""
        secret = await self._kube.get(SECRETS, self._namespace, SECRET_NAME)
        known = _pair(secret)
        names = (f"{NAME}.{self._namespace}.svc",)
        current = serving_renewed(known, authorities.authority, names, datetime.now(UTC))
        if current == known:
            return
        values = {"tls.crt": current.certificate, "tls.key": current.key}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in values.items()}
        await self._kube.replace(SECRETS, {**secret, "data": data})
        log.info("injector's certificate renewed expires=%s", expires_at(current).isoformat())

    async def _announce(self, bundle: str) -> None:
        configuration = await self._kube.get(WEBHOOK_CONFIGURATIONS, "", NAME)
        trusted = base64.b64encode(bundle.encode()).decode()
        webhooks = configuration.get("webhooks") or []
        if all(item["clientConfig"].get("caBundle") == trusted for item in webhooks):
            return
        changes = [
            {"name": item["name"], "clientConfig": {"caBundle": trusted}} for item in webhooks
        ]
        body = {"metadata": {"name": NAME}, "webhooks": changes}
        await self._kube.patch(WEBHOOK_CONFIGURATIONS, body)
        log.info("the API server was told whom to trust for the injector")


def _pair(secret: Json) -> KeyPair | None:
    """None if there is none yet, or none that can be read."""
    data = secret.get("data") or {}
    try:
        pair = KeyPair(
            certificate=base64.b64decode(data["tls.crt"]).decode(),
            key=base64.b64decode(data["tls.key"]).decode(),
        )
        expires_at(pair)
    except (KeyError, ValueError, binascii.Error):
        return None
    return pair
