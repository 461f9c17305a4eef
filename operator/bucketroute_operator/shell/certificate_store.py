"""Where the config server's certificate is kept, and the TLS context that follows it.

By default a Secret of the operator's own; with cert-manager, files that it keeps up to date. Either
way the bundle to trust goes into the ConfigMap `bucketroute-ca`, for gateways and the injector.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from datetime import UTC, datetime

from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.certificates import Certificates, KeyPair, expires_at, renewed
from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    SECRETS,
    ConflictError,
    Json,
    Kube,
    NotFoundError,
)
from bucketroute_operator.shell.serving_context import load_pair, new_serving_context
from bucketroute_operator.shell.webhook_certificate import WebhookCertificate

log = logging.getLogger("bucketroute.operator.certificates")

SECRET_NAME = "bucketroute-config-tls"  # noqa: S105  # a name
CA_CONFIG_MAP_NAME = "bucketroute-ca"
CA_KEY = "ca.crt"
_ATTEMPTS = 5


class CertificateStore:
    """`refresh` at start and then every minute; `context` is what the server listens with."""

    def __init__(self, kube: Kube, settings: OperatorSettings) -> None:
        self._kube = kube
        self._settings = settings
        self._serving: KeyPair | None = None
        self._webhook = (
            WebhookCertificate(kube, settings.namespace) if settings.webhook_certificate else None
        )
        self.context = new_serving_context()

    async def refresh(self) -> None:
        """Reads, renews where due, and serves what is newest.

        Raises: KubeError; OSError and ValueError for files that are no certificate.
        """
        certificates = None
        if self._settings.tls_certificate is not None:
            serving, bundle = await asyncio.to_thread(self._read_files)
        else:
            certificates = await self._read_or_renew()
            serving, bundle = certificates.serving, certificates.bundle
        if serving != self._serving:
            await asyncio.to_thread(load_pair, self.context, serving)
            self._serving = serving
            log.info("serving certificate loaded expires=%s", expires_at(serving).isoformat())
        await self._publish_bundle(bundle)
        if self._webhook is not None and certificates is not None:
            await self._webhook.refresh(certificates)

    def expires_at(self) -> float:
        """Epoch seconds; 0 before the first `refresh`."""
        return 0.0 if self._serving is None else expires_at(self._serving).timestamp()

    def _read_files(self) -> tuple[KeyPair, str]:
        settings = self._settings
        assert settings.tls_certificate
        assert settings.tls_key
        assert settings.tls_ca
        serving = KeyPair(
            certificate=settings.tls_certificate.read_text(), key=settings.tls_key.read_text()
        )
        return serving, settings.tls_ca.read_text()

    async def _read_or_renew(self) -> Certificates:
        """Any replica may renew: the Secret's resourceVersion lets one of them win."""
        for _ in range(_ATTEMPTS):
            secret = await self._read_secret()
            known = None if secret is None else _certificates(secret)
            current = renewed(known, self._settings.serving_names, datetime.now(UTC))
            if current == known:
                return current
            try:
                await self._write_secret(secret, current)
            except ConflictError:
                continue
            log.info("serving certificate renewed")
            return current
        raise ConflictError(409, f"Secret {SECRET_NAME} kept changing")

    async def _read_secret(self) -> Json | None:
        try:
            return await self._kube.get(SECRETS, self._settings.namespace, SECRET_NAME)
        except NotFoundError:
            return None

    async def _write_secret(self, secret: Json | None, certificates: Certificates) -> None:
        data = _data(certificates)
        if secret is not None:
            await self._kube.replace(SECRETS, {**secret, "data": data})
            return
        metadata = {"namespace": self._settings.namespace, "name": SECRET_NAME}
        await self._kube.create(
            SECRETS, {"metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        )

    async def _publish_bundle(self, bundle: str) -> None:
        metadata = {"namespace": self._settings.namespace, "name": CA_CONFIG_MAP_NAME}
        data = {CA_KEY: bundle}
        try:
            known = await self._kube.get(CONFIG_MAPS, metadata["namespace"], metadata["name"])
            if known.get("data") != data:
                await self._kube.replace(CONFIG_MAPS, {**known, "data": data})
        except NotFoundError:
            await self._kube.create(CONFIG_MAPS, {"metadata": metadata, "data": data})
        except ConflictError:
            log.info("another replica wrote %s", CA_CONFIG_MAP_NAME)


def _certificates(secret: Json) -> Certificates | None:
    """None if the Secret is empty, as the chart makes it, or damaged: then all is made anew."""
    data = secret.get("data") or {}
    if not data:
        return None
    try:
        values = {name: base64.b64decode(value).decode() for name, value in data.items()}
        following = values.get("next-ca.crt")
        certificates = Certificates(
            authority=KeyPair(certificate=values["ca.crt"], key=values["ca.key"]),
            serving=KeyPair(certificate=values["tls.crt"], key=values["tls.key"]),
            next_authority=None
            if following is None
            else KeyPair(certificate=following, key=values["next-ca.key"]),
        )
        expires_at(certificates.authority)
        expires_at(certificates.serving)
    except (KeyError, ValueError, binascii.Error):
        log.warning("Secret %s is damaged; certificates are made anew", SECRET_NAME)
        return None
    return certificates


def _data(certificates: Certificates) -> dict[str, str]:
    values = {
        "ca.crt": certificates.authority.certificate,
        "ca.key": certificates.authority.key,
        "tls.crt": certificates.serving.certificate,
        "tls.key": certificates.serving.key,
    }
    if certificates.next_authority is not None:
        values["next-ca.crt"] = certificates.next_authority.certificate
        values["next-ca.key"] = certificates.next_authority.key
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
