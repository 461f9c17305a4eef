"""The folder that the injector mounts, and an injector that reads it."""

import json
from pathlib import Path

from bucketroute_operator.shell.injector_files import InjectorFiles
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_operator.webhook_settings import WebhookSettings, load_webhook_settings
from bucketroute_testing.tls import CertificateFiles, make_certificate

RAW_CLASS = {
    "endpoint": "http://10.96.0.9",
    "region": "us-east-1",
    "client_audience": "bucketroute",
    "sts_audience": "minio",
    "fieldOfAFutureOperator": 1,
}


class Mounted:
    """`arguments` are those of the program; `files` reads the folder in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = InjectorMetrics()
        self.classes = folder / "classes.json"
        self.ca = folder / "ca.crt"
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        arguments = {
            "--listen": "127.0.0.1:0",
            "--admin-listen": "127.0.0.1:0",
            "--classes-file": self.classes,
            "--tls-certificate": self.certificate,
            "--tls-key": self.key,
            "--sidecar-image": "dataplane:1",
            "--sidecar-config-url": "https://operator:9443",
            "--sidecar-ca-file": self.ca,
            "--sidecar-resources": '{"limits": {"memory": "256Mi"}}',
        }
        self.arguments = [str(part) for pair in arguments.items() for part in pair]
        self.settings: WebhookSettings = load_webhook_settings(self.arguments, {})
        self.files = InjectorFiles(self.settings, "v1", self.metrics)

    def write_classes(self, *names: str) -> None:
        self.classes.write_text(json.dumps(dict.fromkeys(names, RAW_CLASS)))

    def write_certificate(self) -> CertificateFiles:
        made = make_certificate(self.folder / f"made-{len(list(self.folder.iterdir()))}")
        self.certificate.write_bytes(made.certificate.read_bytes())
        self.key.write_bytes(made.key.read_bytes())
        return made
