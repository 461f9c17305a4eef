"""The operator's static settings: flags, else environment, else defaults; checked at start.

What changes while it runs comes from BucketRouteClass objects.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A replica that has not seen the cluster for five minutes is started again.
MOST_LIST_SECONDS = 120
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class SettingsError(Exception):
    """All that is wrong with the settings, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """Addresses are host and port; port 0 takes a free one.

    namespace: where the operator runs, keeps its objects and looks for gateway pods.
    identity: this replica's name in the Lease and in Events.
    service_name: the Service that data planes reach the config server by; in its certificate.
    extra_names: more names and IP addresses for that certificate.
    gateway_service, gateway_service_account: of the class `default` that is created when absent.
    default_class: whether it is created; default_class_file: its spec, YAML; what it leaves out of
        `dataPlane` is filled in.
    webhook_certificate: whether to make the injector's certificate and tell the API server of it.
    tls_certificate, tls_key, tls_ca: files kept up to date by cert-manager; without them the
        operator makes and renews its own.
    list_seconds: between two LISTs of all objects, which correct what a watch did not tell.
    kubeconfig: for running outside a cluster; None uses the pod's service account.
    """

    namespace: str
    identity: str
    config_host: str = "0.0.0.0"  # noqa: S104  # data planes call from other pods
    config_port: int = 9443
    admin_host: str = "0.0.0.0"  # noqa: S104  # kubelet and Prometheus call from other nodes
    admin_port: int = 9090
    service_name: str = "bucketroute-operator"
    extra_names: tuple[str, ...] = ()
    gateway_service: str = "bucketroute-gateway"
    gateway_service_account: str = "bucketroute-gateway"
    default_class: bool = True
    default_class_file: Path | None = None
    webhook_certificate: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    list_seconds: float = 60.0
    kubeconfig: str | None = None
    log_level: str = "INFO"

    @property
    def serving_names(self) -> tuple[str, ...]:
        """What data planes may call the config server by."""
        short = f"{self.service_name}.{self.namespace}"
        own = (f"{short}.svc", short, f"{short}.svc.cluster.local", self.service_name)
        return tuple(dict.fromkeys((*own, *self.extra_names)))


def load_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> OperatorSettings:
    """Raises: SettingsError; SystemExit for --help and unknown flags."""
    given = vars(parser(_PROGRAM, _DESCRIPTION, HELP).parse_args(arguments))
    reader = SettingsReader(given, environment)
    settings = OperatorSettings(
        namespace=reader.text("namespace", _own_namespace()),
        identity=reader.text("identity", socket.gethostname()),
        config_host=reader.address("config_listen", "0.0.0.0:9443")[0],
        config_port=reader.address("config_listen", "0.0.0.0:9443")[1],
        admin_host=reader.address("admin_listen", "0.0.0.0:9090")[0],
        admin_port=reader.address("admin_listen", "0.0.0.0:9090")[1],
        service_name=reader.text("service_name", "bucketroute-operator"),
        extra_names=tuple(filter(None, reader.text("extra_names", "-").strip("-").split(","))),
        gateway_service=reader.text("gateway_service", "bucketroute-gateway"),
        gateway_service_account=reader.text("gateway_service_account", "bucketroute-gateway"),
        default_class=reader.choice("default_class", ("true", "false")) == "true",
        default_class_file=reader.file("default_class_file"),
        webhook_certificate=reader.choice("webhook_certificate", ("false", "true")) == "true",
        tls_certificate=reader.file("tls_certificate"),
        tls_key=reader.file("tls_key"),
        tls_ca=reader.file("tls_ca"),
        list_seconds=reader.seconds("list_seconds", "60", most=MOST_LIST_SECONDS),
        kubeconfig=environment.get("KUBECONFIG") or None,
        log_level=reader.choice("log_level", ("INFO", "DEBUG", "WARNING", "ERROR")),
    )
    files = (settings.tls_certificate, settings.tls_key, settings.tls_ca)
    if any(files) and not all(files):
        reader.problems.append("tls-certificate, tls-key and tls-ca go together")
    if reader.problems:
        raise SettingsError("\n".join(dict.fromkeys(reader.problems)))
    return settings


class SettingsReader:
    """Looks a setting up, and collects what is wrong instead of stopping at the first."""

    def __init__(self, given: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self._given = given
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        value = self._value(name) or default
        if not value:
            self.problems.append(f"{_flag(name)} or {_variable(name)} is needed")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        value = self._value(name) or choices[0]
        if value not in choices:
            self.problems.append(f"{_flag(name)} is {value!r}, not one of {', '.join(choices)}")
        return value

    def seconds(self, name: str, default: str, *, most: int) -> float:
        value = self._value(name) or default
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            self.problems.append(f"{_flag(name)} is {value!r}, not 1 to {most} seconds")
            return 0.0
        return float(value)

    def optional_text(self, name: str) -> str | None:
        return self._value(name) or None

    def path(self, name: str, default: str) -> Path:
        """A file that may come to exist later: kubelet mounts some things late."""
        return Path(self._value(name) or default)

    def file(self, name: str) -> Path | None:
        value = self._value(name)
        if not value:
            return None
        if not Path(value).is_file():
            self.problems.append(f"{_flag(name)}: there is no file {value}")
        return Path(value)

    def address(self, name: str, default: str) -> tuple[str, int]:
        value = self._value(name) or default
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            self.problems.append(f"{_flag(name)} is {value!r}, not HOST:PORT")
            return "", 0
        return host.strip("[]"), int(port)

    def _value(self, name: str) -> str | None:
        return self._given.get(name) or self._environment.get(_variable(name))


_PROGRAM = "bucketroute-operator"
_DESCRIPTION = "Compiles BucketRoutes and sends them to the data planes."
HELP = {
    "namespace": "where the operator keeps its objects (default: the pod's own)",
    "identity": "this replica's name (default: the host name)",
    "config_listen": "HOST:PORT of the config server (default 0.0.0.0:9443)",
    "admin_listen": "HOST:PORT of probes and metrics (default 0.0.0.0:9090)",
    "service_name": "Service that data planes reach the config server by",
    "extra_names": "more names of the serving certificate, comma-separated",
    "gateway_service": "the gateway's Service, for the class that is created",
    "gateway_service_account": "the gateway's service account, for the class that is created",
    "default_class": "whether to create the class default when absent: true or false",
    "default_class_file": "spec of that class, YAML",
    "webhook_certificate": "whether to make the injector's certificate: true or false (default)",
    "tls_certificate": "certificate file, kept up to date by cert-manager",
    "tls_key": "its key",
    "tls_ca": "the authority that data planes are told to trust",
    "list_seconds": "seconds between two LISTs of all objects (default 60)",
    "log_level": "INFO, DEBUG, WARNING or ERROR",
}


def parser(program: str, description: str, settings: Mapping[str, str]) -> argparse.ArgumentParser:
    """One flag for each setting; `settings` says what they are."""
    made = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="Each flag may be given as BUCKETROUTE_NAME in the environment instead.",
    )
    for name, text in settings.items():
        made.add_argument(_flag(name), help=text)
    return made


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "BUCKETROUTE_" + name.upper()


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        return ""
