"""A backend that is reached over TLS: nginx ends it in front of the stub, on the stub's core."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import programs

CERTIFICATE_DAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTls:
    """Where TLS is spoken, and the certificate that clients of it trust."""

    port: int
    certificate: Path
    key: Path


def certified(directory: Path, port: int) -> BackendTls:
    """Makes a certificate of its own for this machine (ECDSA P-256, as public CAs issue them)."""
    found = BackendTls(
        port=port, certificate=directory / "backend.crt", key=directory / "backend.key"
    )
    subject = ("-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(found.key), "-out", str(found.certificate))
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *subject, *files, "-days", str(CERTIFICATE_DAYS)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return found


@contextmanager
def running_terminator(
    tls: BackendTls, *, stub_port: int, core: int, directory: Path
) -> Iterator[None]:
    """Ends TLS for the stub. A target that starts before it does tries again, as any client."""
    values = {
        "DIR": str(directory),
        "PORT": str(tls.port),
        "STUB_PORT": str(stub_port),
        "CERTIFICATE": str(tls.certificate),
        "KEY": str(tls.key),
    }
    text = (programs.HERE / "peers" / "tls-terminator.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    config = directory / "tls-terminator.conf"
    config.write_text(text)
    argv = ["taskset", "-c", str(core), str(programs.nginx()), "-p", str(directory)]
    process = subprocess.Popen([*argv, "-c", str(config)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
