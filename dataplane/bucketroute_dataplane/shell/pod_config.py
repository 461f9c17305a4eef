"""Where a pod's configuration comes from, by its settings."""

from __future__ import annotations

from pathlib import Path

from bucketroute_dataplane.settings import PodSettings
from bucketroute_dataplane.shell.config_channel import ConfigFiles
from bucketroute_dataplane.shell.config_client import OperatorAddress

# The operator writes the boot ConfigMap under this key; what is kept has the same form.
SNAPSHOT_FILE = "snapshot.ndjson.gz"


def operator_address(settings: PodSettings) -> OperatorAddress:
    return OperatorAddress(
        url=settings.config_url,
        token_file=settings.config_token_file,
        ca_file=settings.config_ca,
        ca_pem=settings.config_ca_pem,
        class_name=settings.class_name,
        pod_uid=settings.pod_uid,
    )


def config_files(settings: PodSettings) -> ConfigFiles:
    def inside(folder: Path | None) -> Path | None:
        return None if folder is None else folder / SNAPSHOT_FILE

    return ConfigFiles(state=inside(settings.state_directory), boot=inside(settings.boot_directory))
