"""The injector's static settings: flags, else environment, else defaults; checked at start.

What changes while it runs are the files named here, which kubelet keeps up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bucketroute_operator.settings import SettingsError, SettingsReader, parser


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Addresses are host and port; port 0 takes a free one.

    tls_certificate, tls_key: what to serve with; read again when they change.
    classes_file: what the operator tells of each class.
    sidecar_image: None offers no sidecars; the rest is then not needed.
    sidecar_ca_file: the authority of the config channel, given to sidecars as text.
    sidecar_config_url: the operator's config server, as sidecars reach it.
    sidecar_resources: `resources` of the container, as in a pod.
    """

    host: str
    port: int
    admin_host: str
    admin_port: int
    tls_certificate: Path
    tls_key: Path
    classes_file: Path
    sidecar_ca_file: Path
    sidecar_image: str | None = None
    sidecar_pull_policy: str = "IfNotPresent"
    sidecar_config_url: str = ""
    sidecar_resources: Mapping[str, object] = field(default_factory=dict)
    sidecar_log_level: str = "INFO"
    log_level: str = "INFO"


_LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR")
HELP = {
    "listen": "HOST:PORT of the webhook, https (default 0.0.0.0:8443)",
    "admin_listen": "HOST:PORT of probes and metrics (default 0.0.0.0:9090)",
    "tls_certificate": "certificate file (default /etc/bucketroute/tls/tls.crt)",
    "tls_key": "its key (default /etc/bucketroute/tls/tls.key)",
    "classes_file": "classes as the operator writes them (default /etc/bucketroute/injector/classes.json)",  # noqa: E501
    "sidecar_image": "image of the sidecar; without it pods that ask for one are refused",
    "sidecar_pull_policy": "IfNotPresent, Always or Never",
    "sidecar_config_url": "the operator's config server, https://HOST[:PORT]",
    "sidecar_ca_file": "PEM file of the authority to trust there (default /etc/bucketroute/ca/ca.crt)",  # noqa: E501
    "sidecar_resources": "resources of the sidecar's container, JSON",
    "sidecar_log_level": "INFO, DEBUG, WARNING or ERROR",
    "log_level": "INFO, DEBUG, WARNING or ERROR",
}


def load_webhook_settings(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> WebhookSettings:
    """Raises: SettingsError; SystemExit for --help and unknown flags."""
    flags = parser("bucketroute-injector", "Adds to pods what reaches their buckets.", HELP)
    reader = SettingsReader(vars(flags.parse_args(arguments)), environment)
    host, port = reader.address("listen", "0.0.0.0:8443")
    admin_host, admin_port = reader.address("admin_listen", "0.0.0.0:9090")
    image = reader.optional_text("sidecar_image")
    settings = WebhookSettings(
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        tls_certificate=reader.path("tls_certificate", "/etc/bucketroute/tls/tls.crt"),
        tls_key=reader.path("tls_key", "/etc/bucketroute/tls/tls.key"),
        classes_file=reader.path("classes_file", "/etc/bucketroute/injector/classes.json"),
        sidecar_ca_file=reader.path("sidecar_ca_file", "/etc/bucketroute/ca/ca.crt"),
        sidecar_image=image,
        sidecar_pull_policy=reader.choice(
            "sidecar_pull_policy", ("IfNotPresent", "Always", "Never")
        ),
        sidecar_config_url=reader.text("sidecar_config_url", "") if image else "",
        sidecar_resources=_resources(reader),
        sidecar_log_level=reader.choice("sidecar_log_level", _LEVELS),
        log_level=reader.choice("log_level", _LEVELS),
    )
    if reader.problems:
        raise SettingsError("\n".join(dict.fromkeys(reader.problems)))
    return settings


def _resources(reader: SettingsReader) -> Mapping[str, object]:
    text = reader.optional_text("sidecar_resources") or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        reader.problems.append("--sidecar-resources is no JSON object")
        return {}
    return value
