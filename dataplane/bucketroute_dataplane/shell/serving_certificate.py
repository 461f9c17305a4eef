"""The S3 listener's certificate, read again when its files change.

cert-manager and kubelet renew the files under a running process; a certificate that was read only
once would expire in it. New handshakes get the new certificate, open connections keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

CHECKED_EVERY_SECONDS = 10.0

_LOGGER = logging.getLogger("bucketroute.dataplane")


class ServingCertificate:
    """`context` is what to listen with."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises: OSError (ssl.SSLError is one) if the files are no certificate and its key."""
        self._certificate = certificate
        self._key = key
        self._loaded = (certificate.read_bytes(), key.read_bytes())
        self.context = self._context()

    async def follow(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(CHECKED_EVERY_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Takes over files that have changed; those that are no pair, or half written, are left
        for the next time."""
        try:
            found = await asyncio.to_thread(self._new_pair)
            if found is not None:
                # Not in the thread: between certificate and key the context has neither, and no
                # handshake may come then.
                self.context.load_cert_chain(self._certificate, self._key)
                self._loaded = found
                _LOGGER.info("the certificate was read again file=%s", self._certificate)
        except OSError as exc:
            _LOGGER.error("the new certificate cannot be used, the old one stays: %s", exc)

    def _new_pair(self) -> tuple[bytes, bytes] | None:
        """Raises: OSError, of which ssl's errors are some."""
        found = (self._certificate.read_bytes(), self._key.read_bytes())
        if found == self._loaded:
            return None
        # A pair that does not fit would leave a context with neither, so another one tries it.
        self._context()
        return found

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        return context
