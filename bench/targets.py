"""What a proxy under test is, and those that are always there: nginx, Envoy and BucketRoute."""

import os
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench import programs
from bench.manifests import manifests
from bench.requests import BACKEND, CLIENT, REGION
from bench.scenarios import Tls
from bench.tls import Certificate

SUBJECT = "bucketroute"
BASELINE = "nginx"
ENVOY = "envoy"


class Signer(Enum):
    """Whose signature must be on the requests that reach the backend."""

    CLIENT = "client"
    BACKEND = "backend"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    argv: tuple[str, ...]
    port: int
    signer: Signer
    checks_signatures: bool
    ready_file: Path | None = None
    """Exists once the target serves; None: it serves as soon as it takes connections."""
    ready_port: int | None = None
    """Where `/-/ready` says that it serves."""
    warm_up_factor: float = 1.0
    """How many times the usual warm-up it gets: a JIT compiler needs more."""
    methods: tuple[str, ...] = ("GET", "PUT")
    """What can be asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the targets of one part of a run live; `directory` is private to it."""

    directory: Path
    stub_port: int
    tls: Tls = Tls.NONE
    certificate: Certificate | None = None
    """There with any TLS: the proxies' own, or that of the backend, which they then trust."""
    terminator_port: int = 0
    """Where TLS for the backend is ended."""

    @property
    def backend_port(self) -> int:
        return self.terminator_port if self.tls is Tls.BACKEND else self.stub_port

    @property
    def backend_scheme(self) -> str:
        return "https" if self.tls is Tls.BACKEND else "http"

    @property
    def trusted(self) -> Path | None:
        """The backend's certificate."""
        return self.certificate.path if self.certificate and self.tls is Tls.BACKEND else None

    @property
    def own(self) -> Certificate | None:
        """What a proxy shows to its clients."""
        return self.certificate if self.tls is Tls.CLIENT else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def nginx(around: Surroundings) -> Target:
    program, port = programs.nginx(), free_port()
    values = {"SCHEME": around.backend_scheme, "TRUST": "", "SERVER_TLS": ""}
    if around.trusted is not None:
        trusted = f"proxy_ssl_trusted_certificate {around.trusted};"
        values["TRUST"] = f"proxy_ssl_verify on; {trusted}"
    if around.own is not None:
        files = f"ssl_certificate {around.own.path}; ssl_certificate_key {around.own.key}"
        values["SERVER_TLS"] = f" ssl; {files}; ssl_protocols TLSv1.3"
    config = filled_in("nginx.conf", port, around, values)
    return Target(
        name=BASELINE,
        argv=(str(program), "-p", str(around.directory), "-c", str(config)),
        port=port,
        signer=Signer.CLIENT,
        checks_signatures=False,
    )


def envoy(around: Surroundings) -> Target:
    program, port = programs.envoy(), free_port()
    config = filled_in("envoy.yaml", port, around)
    options = ("--concurrency", "1", "-l", "error", "--use-dynamic-base-id")
    return Target(
        name=ENVOY,
        argv=(str(program), "-c", str(config), *options),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=False,
    )


def bucketroute(around: Surroundings) -> Target:
    program, port = programs.bucketroute(), free_port()
    folder = around.directory / "manifests"
    folder.mkdir()
    endpoint = f"{around.backend_scheme}://127.0.0.1:{around.backend_port}"
    authority = around.trusted.read_text() if around.trusted is not None else None
    (folder / "bench.yaml").write_text(manifests(endpoint, authority))
    ready = around.directory / "bucketroute-ready"
    argv = [str(program), "serve", "-f", str(folder), "--listen", f"127.0.0.1:{port}"]
    argv += ["--once-ready", str(ready)]
    if around.own is not None:
        argv += ["--tls-cert", str(around.own.path), "--tls-key", str(around.own.key)]
    return Target(
        name=SUBJECT,
        argv=tuple(argv),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
        ready_file=ready,
    )


def from_command(name: str, command: str, around: Surroundings) -> Target:
    """A proxy that the caller starts its own way: held to what BucketRoute is held to."""
    port = free_port()
    values = {"port": port, "stub_port": around.stub_port, "dir": around.directory}
    return Target(
        name=name,
        argv=tuple(word.format(**values) for word in shlex.split(command)),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=name == SUBJECT,
    )


def filled_in(
    name: str,
    port: int,
    around: Surroundings,
    more: Mapping[str, str] | None = None,
    *,
    into: str | None = None,
) -> Path:
    """The configuration `peers/NAME` with its @...@ replaced, in the surroundings' folder, there
    under its own name or as `into`."""
    text = (programs.HERE / "peers" / name).read_text()
    values = {
        "DIR": str(around.directory),
        "PORT": str(port),
        "STUB_PORT": str(around.backend_port),
        "CLIENT_ACCESS_KEY_ID": CLIENT.access_key_id,
        "CLIENT_SECRET_ACCESS_KEY": CLIENT.secret_access_key,
        "BACKEND_ACCESS_KEY_ID": BACKEND.access_key_id,
        "BACKEND_SECRET_ACCESS_KEY": BACKEND.secret_access_key,
    }
    for key, value in (values | dict(more or {})).items():
        text = text.replace(f"@{key}@", value)
    path = around.directory / (into or name)
    path.write_text(text)
    return path


def environment() -> dict[str, str]:
    """What every target sees: for peers that take their keys from the environment, and nothing of
    the caller's own settings for AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ACCESS_KEY_ID": BACKEND.access_key_id,
        "AWS_SECRET_ACCESS_KEY": BACKEND.secret_access_key,
        "AWS_REGION": REGION,
    }
