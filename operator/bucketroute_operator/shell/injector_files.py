"""The mounted files that the injector works with, followed as kubelet changes them.

A file that cannot be read or makes no sense leaves in place what was read before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from bucketroute_operator.core.injected_sidecar import SidecarTemplate
from bucketroute_operator.core.injection import Injector
from bucketroute_operator.core.injector_classes import (
    InjectorClass,
    InjectorClassesError,
    decode_classes,
)
from bucketroute_operator.shell.certificates import KeyPair, expires_at
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_operator.shell.serving_context import load_pair, new_serving_context
from bucketroute_operator.webhook_settings import WebhookSettings

log = logging.getLogger("bucketroute.injector.files")

# A ConfigMap holds 1 MiB at most.
MAX_FILE_BYTES = 1024 * 1024


class InjectorFiles:
    """`refresh` now and then; `injector` and `context` are what the newest files say."""

    def __init__(self, settings: WebhookSettings, version: str, metrics: InjectorMetrics) -> None:
        self._settings = settings
        self._version = version
        self._metrics = metrics
        self._serving: KeyPair | None = None
        self._classes: Mapping[str, InjectorClass] | None = None
        self._ca_pem = ""
        self._told: dict[str, str] = {}
        self.context = new_serving_context()
        self.injector = self._injector()

    @property
    def has_certificate(self) -> bool:
        return self._serving is not None

    @property
    def is_complete(self) -> bool:
        """Whether pods can be set up."""
        is_offered = self._settings.sidecar_image is not None
        return (
            self.has_certificate
            and self._classes is not None
            and (bool(self._ca_pem) or not is_offered)
        )

    async def refresh(self) -> None:
        """Never raises; what is wrong with a file is logged once."""
        await asyncio.to_thread(self._refresh)

    def _refresh(self) -> None:
        for name, read in (
            ("certificate", self._read_certificate),
            ("classes", self._read_classes),
            ("authority", self._read_authority),
        ):
            try:
                read()
                self._told.pop(name, None)
            except (OSError, ValueError, InjectorClassesError) as exc:
                if self._told.get(name) != str(exc):
                    self._told[name] = str(exc)
                    log.warning("no new %s: %s", name, exc)
        self.injector = self._injector()

    def _read_certificate(self) -> None:
        settings = self._settings
        found = KeyPair(certificate=_text(settings.tls_certificate), key=_text(settings.tls_key))
        if found == self._serving:
            return
        until = expires_at(found)
        load_pair(self.context, found)
        self._serving = found
        self._metrics.certificate_expiry.set(until.timestamp())
        log.info("serving certificate loaded expires=%s", until.isoformat())

    def _read_classes(self) -> None:
        classes = decode_classes(_text(self._settings.classes_file))
        if classes != self._classes:
            log.info("classes loaded count=%d", len(classes))
        self._classes = classes
        self._metrics.classes.set(len(classes))

    def _read_authority(self) -> None:
        if self._settings.sidecar_image is not None:
            self._ca_pem = _text(self._settings.sidecar_ca_file)

    def _injector(self) -> Injector:
        settings = self._settings
        sidecar = None
        if settings.sidecar_image is not None and self._ca_pem:
            sidecar = SidecarTemplate(
                image=settings.sidecar_image,
                pull_policy=settings.sidecar_pull_policy,
                resources=settings.sidecar_resources,
                config_url=settings.sidecar_config_url,
                ca_pem=self._ca_pem,
                log_level=settings.sidecar_log_level,
            )
        return Injector(classes=self._classes, sidecar=sidecar, version=self._version)


def _text(file: Path) -> str:
    """Raises: OSError; ValueError if it is empty, too large or no text."""
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if not 0 < len(content) <= MAX_FILE_BYTES:
        raise ValueError(f"{file} is empty or larger than {MAX_FILE_BYTES} bytes")
    return content.decode()
