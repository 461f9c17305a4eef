"""TLS of a listener whose certificate changes while it listens."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from bucketroute_operator.shell.certificates import KeyPair


def new_serving_context() -> ssl.SSLContext:
    """Without a certificate: `load_pair` gives it one before the first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """`ssl` takes a chain from files only; new handshakes use it, open connections keep theirs."""
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        certificate.write_text(pair.certificate)
        key.touch(mode=0o600)
        key.write_text(pair.key)
        context.load_cert_chain(certificate, key)
