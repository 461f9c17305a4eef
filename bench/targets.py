"""The proxies that are compared: how each is configured, started and told apart."""

import json
import os
import shlex
import socket
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench import programs
from bench.requests import BACKEND, BUCKET, CLIENT, REGION, Credentials
from bench.tls import BackendTls

SUBJECT = "bucketroute"
BASELINE = "nginx"

Document = dict[str, object]


class Signer(Enum):
    """Whose signature must be on the requests that reach the backend."""

    CLIENT = "client"
    BACKEND = "backend"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the targets of one run live; `directory` is private to the run."""

    directory: Path
    stub_port: int
    tls: BackendTls | None = None
    """The backend is reached over TLS; nothing but nginx and BucketRoute is configured for it."""

    @property
    def backend_port(self) -> int:
        return self.tls.port if self.tls is not None else self.stub_port

    @property
    def backend_scheme(self) -> str:
        return "https" if self.tls is not None else "http"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def target(name: str, around: Surroundings, commands: dict[str, str]) -> Target:
    """Configure one target. `commands` are command lines for targets that are not built in.

    Raises: ProgramMissingError; KeyError(name) for an unknown name.
    """
    if name in commands:
        return _from_command(name, commands[name], around)
    return {"nginx": _nginx, "envoy": _envoy, "bucketroute": _bucketroute}[name](around)


def _nginx(around: Surroundings) -> Target:
    program, port = programs.nginx(), free_port()
    config = _filled_in("nginx.conf", port, around)
    return Target(
        name="nginx",
        argv=(str(program), "-p", str(around.directory), "-c", str(config)),
        port=port,
        signer=Signer.CLIENT,
        checks_signatures=False,
    )


def _envoy(around: Surroundings) -> Target:
    program, port = programs.envoy(), free_port()
    config = _filled_in("envoy.yaml", port, around)
    options = ("--concurrency", "1", "-l", "error", "--use-dynamic-base-id")
    return Target(
        name="envoy",
        argv=(str(program), "-c", str(config), *options),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=False,
    )


def _filled_in(name: str, port: int, around: Surroundings) -> Path:
    text = (programs.HERE / "peers" / name).read_text()
    values = {
        "DIR": str(around.directory),
        "PORT": str(port),
        "STUB_PORT": str(around.backend_port),
        "SCHEME": around.backend_scheme,
        "TRUST": _trust(around),
        "BACKEND_ACCESS_KEY_ID": BACKEND.access_key_id,
        "BACKEND_SECRET_ACCESS_KEY": BACKEND.secret_access_key,
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    path = around.directory / name
    path.write_text(text)
    return path


def _trust(around: Surroundings) -> str:
    """nginx's directives for a backend over TLS, held to what BucketRoute checks."""
    if around.tls is None:
        return ""
    return f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {around.tls.certificate};"


def _bucketroute(around: Surroundings) -> Target:
    program, port = programs.bucketroute(), free_port()
    manifests = around.directory / "manifests"
    manifests.mkdir()
    (manifests / "bench.yaml").write_text(_manifests(around))
    ready = around.directory / "bucketroute-ready"
    listen = ("--listen", f"127.0.0.1:{port}")
    return Target(
        name="bucketroute",
        argv=(str(program), "serve", "-f", str(manifests), *listen, "--once-ready", str(ready)),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
        ready_file=ready,
    )


def _manifests(around: Surroundings) -> str:
    """One route, its backend with static credentials, and the client's access key.

    JSON is YAML, so this needs no library.
    """
    backend: Document = {
        "endpoint": f"{around.backend_scheme}://127.0.0.1:{around.backend_port}",
        "region": REGION,
        "addressingStyle": "Path",
        "auth": {"type": "Static", "staticCredentials": {"secretName": "backend-keys"}},
    }
    access = {
        "subjects": [{"kind": "AccessKey", "name": "bench-client"}],
        "permissions": ["Read", "List", "Write", "Delete"],
    }
    route: Document = {
        "backend": {"ref": {"name": "stub"}, "bucket": "backend-bucket"},
        "access": [access],
    }
    authority: list[Document] = []
    if around.tls is not None:
        backend["tls"] = {"caConfigMapName": "backend-ca"}
        authority.append(_config_map("backend-ca", {"ca.crt": around.tls.certificate.read_text()}))
    documents = [
        *authority,
        _secret("backend-keys", "Opaque", BACKEND),
        _secret("bench-client", "bucketroute.io/access-key", CLIENT),
        _resource("BucketBackend", "stub", backend),
        _resource("BucketRoute", BUCKET, route),
    ]
    return "".join(f"---\n{json.dumps(document, indent=2)}\n" for document in documents)


def _secret(name: str, kind: str, keys: Credentials) -> Document:
    data = {"accessKeyID": keys.access_key_id, "secretAccessKey": keys.secret_access_key}
    metadata = {"name": name, "namespace": "bench"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "stringData": data,
    }


def _config_map(name: str, data: dict[str, str]) -> Document:
    metadata = {"name": name, "namespace": "bench"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _resource(kind: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": "bench"}
    api = "bucketroute.io/v1alpha1"
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _from_command(name: str, command: str, around: Surroundings) -> Target:
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


def environment(around: Surroundings) -> dict[str, str]:
    """What every target sees: for peers that take their keys from the environment."""
    return os.environ | {
        "AWS_ACCESS_KEY_ID": BACKEND.access_key_id,
        "AWS_SECRET_ACCESS_KEY": BACKEND.secret_access_key,
        "AWS_REGION": REGION,
    }
