"""TLS on either side of the proxies, spoken by nginx for the stub and for the load generator.

`terminator` ends it in front of the stub, `originator` begins it behind the load generator; both
run on the core of those two, so that what the proxy under test spends on TLS is its own.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import programs

CERTIFICATE_DAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """For this machine, signed by itself: who trusts it is told so."""

    path: Path
    key: Path


def certified(directory: Path) -> Certificate:
    """Makes a certificate (ECDSA P-256, as public CAs issue them)."""
    found = Certificate(path=directory / "bench.crt", key=directory / "bench.key")
    subject = ("-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(found.key), "-out", str(found.path))
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *subject, *files, "-days", str(CERTIFICATE_DAYS)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return found


@contextmanager
def running_terminator(
    certificate: Certificate, *, port: int, stub_port: int, core: int, directory: Path
) -> Iterator[None]:
    """Ends TLS for the stub. A target that starts before it does tries again, as any client."""
    server = f"server {{ listen 127.0.0.1:{port} ssl; location / {{ proxy_pass http://stub; }} }}"
    values = {
        "NAME": "terminator",
        "DIR": str(directory),
        "CERTIFICATE": str(certificate.path),
        "KEY": str(certificate.key),
        "UPSTREAMS": _upstream("stub", stub_port),
        "SERVERS": server,
    }
    with _running(values, core):
        yield


@contextmanager
def running_originator(
    certificate: Certificate, ports: Mapping[int, int], *, core: int, directory: Path
) -> Iterator[None]:
    """Speaks TLS for the load generator: what comes in at a port goes on to the proxy at the
    other. `ports`: from the first to the second."""
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{own}; location / {{ proxy_pass https://proxy-{proxy}; }} }}"
        for own, proxy in ports.items()
    )
    values = {
        "NAME": "originator",
        "DIR": str(directory),
        "CERTIFICATE": str(certificate.path),
        "KEY": str(certificate.key),
        "UPSTREAMS": "\n".join(_upstream(f"proxy-{port}", port) for port in ports.values()),
        "SERVERS": servers,
    }
    with _running(values, core):
        yield


def _upstream(name: str, port: int) -> str:
    keep = "keepalive 64; keepalive_requests 100000000; keepalive_timeout 3600s;"
    return f"upstream {name} {{ server 127.0.0.1:{port}; {keep} }}"


@contextmanager
def _running(values: Mapping[str, str], core: int) -> Iterator[None]:
    text = (programs.HERE / "peers" / "tls.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    config = Path(values["DIR"]) / f"{values['NAME']}.conf"
    config.write_text(text)
    argv: Sequence[str] = ("-p", values["DIR"], "-c", str(config))
    process = subprocess.Popen(["taskset", "-c", str(core), str(programs.nginx()), *argv])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
