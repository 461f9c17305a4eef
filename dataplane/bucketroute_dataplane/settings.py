"""Static settings of a data-plane process. What changes while it runs comes by snapshot.

A pod's come from flags, else the environment, else defaults; all that is wrong is told at once.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DataplaneSettings:
    """Times in seconds, each a deadline.

    first_byte_seconds: from the request's last byte to the response's first. S3 answers within
        seconds; 60 covers a throttled bucket.
    idle_seconds: between two bytes of a body, in either direction.
    lame_duck_seconds: for how long after SIGTERM new connections and requests are still taken, each
        answered with `Connection: close`: until every load balancer knows, no client is refused.
    drain_seconds: what requests in flight may still take after that.
    admin_host: where probes and metrics have a listener of their own; None has them, like the
        probes, on the S3 listener, which is right on a laptop and tells clients too much in a pod.
    prefetch_credentials: whether a new route's credentials are fetched before its first request,
        and its bucket asked for; a gateway does, so that its status tells whether it can be used.
    denied_addresses: what no backend's name may resolve to, whatever its class allows; in a pod
        the API server's Service, as kubelet tells it.
    workers: how many processes of this kind share the port, and the limits of each route.
    """

    listen_host: str = "127.0.0.1"
    listen_port: int = 9000
    admin_host: str | None = None
    admin_port: int = 9090
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    domains: tuple[str, ...] = ()
    first_byte_seconds: float = 60.0
    idle_seconds: float = 60.0
    lame_duck_seconds: float = 0.0
    drain_seconds: float = 60.0
    prefetch_credentials: bool = False
    denied_addresses: tuple[IPAddress, ...] = ()
    workers: int = 1


class SettingsError(Exception):
    """All that is wrong with the settings, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """A pod's process: the data plane, and where its configuration comes from.

    config_url: the operator's config server, `https://host[:port]`.
    config_ca, config_ca_pem: what to trust there, as a file or as PEM text; one of the two.
    state_directory: where the last snapshot is kept, secrets in it, so it must be in memory.
    boot_directory: a mounted snapshot without secrets, for a start while the operator is away.
    authorization_token_file: where a sidecar leaves the token with which the pod's applications
        ask for credentials. None makes the process a gateway.
    """

    dataplane: DataplaneSettings
    class_name: str
    config_url: str
    config_token_file: Path
    config_ca: Path | None = None
    config_ca_pem: str | None = None
    state_directory: Path | None = None
    boot_directory: Path | None = None
    authorization_token_file: Path | None = None
    pod_uid: str = ""
    log_level: str = "INFO"


def load_settings(
    arguments: Sequence[str], environment: Mapping[str, str], *, platform: str = sys.platform
) -> PodSettings:
    """Raises: SettingsError; SystemExit for --help and unknown flags."""
    reader = _Reader(vars(_parser().parse_args(arguments)), environment, platform)
    is_sidecar = reader.choice("mode", ("gateway", "sidecar")) == "sidecar"
    dataplane = _dataplane(reader, environment, is_sidecar=is_sidecar)
    ca, ca_pem = reader.path("config_ca"), reader.text("ca_pem")
    if ca is None and ca_pem is None:
        reader.problems.append("--config-ca or BUCKETROUTE_CA_PEM is needed")
    settings = PodSettings(
        dataplane=dataplane,
        class_name=reader.text("class") or "default",
        config_url=reader.https_url("config_url"),
        config_token_file=reader.path("config_token_file", is_needed=True) or Path(),
        config_ca=ca,
        config_ca_pem=ca_pem,
        state_directory=reader.directory("state_dir"),
        boot_directory=reader.path("boot_dir"),
        authorization_token_file=_authorization_token_file(reader, is_sidecar=is_sidecar),
        pod_uid=reader.text("pod_uid") or "",
        log_level=reader.choice("log_level", ("INFO", "DEBUG", "WARNING", "ERROR")),
    )
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


def _api_server(environment: Mapping[str, str]) -> tuple[IPAddress, ...]:
    """Empty where kubelet gave no address, or a name: then there is nothing to compare with."""
    try:
        return (ip_address(environment.get("KUBERNETES_SERVICE_HOST", "").strip("[]")),)
    except ValueError:
        return ()


def _dataplane(
    reader: _Reader, environment: Mapping[str, str], *, is_sidecar: bool
) -> DataplaneSettings:
    host, port = reader.address("listen", "127.0.0.1:9000" if is_sidecar else "0.0.0.0:9000")
    if is_sidecar and host and not _is_loopback(host):
        # Whoever reaches it may be the pod, so it must be the pod.
        reader.problems.append(f"--listen: a sidecar listens on a loopback address, not on {host}")
    admin_host, admin_port = reader.address("admin_listen", "0.0.0.0:9090")
    certificate, key = reader.file("tls_certificate"), reader.file("tls_key")
    if (certificate is None) != (key is None):
        reader.problems.append("--tls-certificate and --tls-key go together")
    return DataplaneSettings(
        listen_host=host,
        listen_port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        tls_certificate=certificate,
        tls_key=key,
        token_file=reader.path("sts_token_file"),
        lame_duck_seconds=reader.seconds("lame_duck_seconds", 0.0),
        drain_seconds=reader.seconds("drain_seconds", 20.0 if is_sidecar else 60.0),
        # A pod may see many routes and use one; nobody waits for a sidecar's word on the others.
        prefetch_credentials=not is_sidecar,
        denied_addresses=_api_server(environment),
        workers=_workers(reader, is_sidecar=is_sidecar),
    )


def _workers(reader: _Reader, *, is_sidecar: bool) -> int:
    workers = reader.count("workers", most=MAX_WORKERS)
    if workers > 1 and is_sidecar:
        reader.problems.append("--workers: a sidecar serves one pod, with one process")
    if workers > 1 and not reader.platform.startswith("linux"):
        reader.problems.append("--workers: more than one needs Linux, which shares a port out")
    return workers


def _is_loopback(host: str) -> bool:
    """A name is none: it may lead anywhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _authorization_token_file(reader: _Reader, *, is_sidecar: bool) -> Path | None:
    path = reader.path("authorization_token_file", is_needed=is_sidecar)
    if path is not None and not is_sidecar:
        reader.problems.append("--authorization-token-file goes with --mode=sidecar")
    return path


class _Reader:
    """Looks a setting up, and collects what is wrong instead of stopping at the first."""

    def __init__(
        self, given: Mapping[str, str | None], environment: Mapping[str, str], platform: str
    ) -> None:
        self.platform = platform
        self._given = given
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        return self._given.get(name) or self._environment.get(_variable(name)) or None

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        value = self.text(name) or choices[0]
        if value not in choices:
            self.problems.append(f"{_flag(name)} is {value!r}, not one of {', '.join(choices)}")
        return value

    def path(self, name: str, *, is_needed: bool = False) -> Path | None:
        """A path that may come to exist later: kubelet mounts some things late."""
        value = self.text(name)
        if value is None and is_needed:
            self._miss(name)
        return None if value is None else Path(value)

    def file(self, name: str) -> Path | None:
        path = self.path(name)
        if path is not None and not path.is_file():
            self.problems.append(f"{_flag(name)}: there is no file {path}")
        return path

    def directory(self, name: str) -> Path | None:
        path = self.path(name)
        if path is not None and not path.is_dir():
            self.problems.append(f"{_flag(name)}: there is no folder {path}")
        return path

    def count(self, name: str, *, most: int) -> int:
        """From 1, the default, to `most`."""
        value = self.text(name) or "1"
        is_number = value.isascii() and value.isdigit() and len(value) < 6
        if not is_number or not 1 <= int(value) <= most:
            self.problems.append(f"{_flag(name)} is {value!r}, not a number from 1 to {most}")
            return 1
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        value = self.text(name)
        try:
            seconds = default if value is None else float(value)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _MAX_SECONDS:
            self.problems.append(f"{_flag(name)} is {value!r}, not a number of seconds")
        return seconds

    def address(self, name: str, default: str) -> tuple[str, int]:
        value = self.text(name) or default
        host, colon, port = value.rpartition(":")
        is_port = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 2**16
        if not colon or not host or not is_port:
            self.problems.append(f"{_flag(name)} is {value!r}, not HOST:PORT")
            return "", 0
        return host.strip("[]"), int(port)

    def https_url(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            self._miss(name)
            return ""
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
            self.problems.append(f"{_flag(name)} is {value!r}, not https://HOST[:PORT]")
        return value.rstrip("/")

    def _miss(self, name: str) -> None:
        self.problems.append(f"{_flag(name)} or {_variable(name)} is needed")


_MAX_SECONDS = 24 * 3600.0
# A pod with more of them than that is not what a cluster is for.
MAX_WORKERS = 64
_HELP = {
    "mode": "gateway: one data plane for many workloads (the default); sidecar: for its pod alone",
    "listen": "HOST:PORT of S3 and login (default 0.0.0.0:9000; in a sidecar 127.0.0.1:9000)",
    "admin_listen": "HOST:PORT of probes and metrics (default 0.0.0.0:9090)",
    "class": "the BucketRouteClass to serve (default: default)",
    "config_url": "the operator's config server, https://HOST[:PORT]",
    "config_ca": "PEM file of the authority to trust there",
    "config_token_file": "service-account token for the config server, kept up to date by kubelet",
    "sts_token_file": "service-account token for the backends' STS, kept up to date by kubelet",
    "state_dir": "folder in memory where the last snapshot is kept",
    "boot_dir": "folder with the mounted boot snapshot",
    "authorization_token_file": "where a sidecar writes the token that the pod's applications show",
    "pod_uid": "the pod's UID, for the operator's count of data planes",
    "tls_certificate": "certificate of the S3 listener; without it clients speak plain HTTP",
    "tls_key": "its key",
    "lame_duck_seconds": "how long requests are still taken after SIGTERM (default 0)",
    "drain_seconds": "what those in flight may take after that (default 60; in a sidecar 20)",
    "workers": "processes that serve, where a pod is to use several cores (default 1; Linux)",
    "log_level": "INFO, DEBUG, WARNING or ERROR",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bucketroute-dataplane",
        description="Serves the S3 routes of one class. `ready` and `live` are the probes.",
        epilog="Each flag may be given as BUCKETROUTE_NAME in the environment instead.",
    )
    for name, text in _HELP.items():
        parser.add_argument(_flag(name), dest=name, help=text)
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "BUCKETROUTE_" + name.upper()
