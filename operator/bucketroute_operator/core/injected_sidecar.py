"""The data plane as a native sidecar: its container and its volumes.

Native, so that it starts before everything else in the pod, ends after it, and keeps no Job alive.
Its probes are commands, because it listens on loopback only and kubelet calls from outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from bucketroute_operator.core.injected_env import (
    CREDENTIALS_FOLDER,
    CREDENTIALS_TOKEN_FILE,
    CREDENTIALS_VOLUME,
    SIDECAR_PORT,
)
from bucketroute_operator.core.injector_classes import InjectorClass
from bucketroute_operator.core.raw_pod import JsonObject
from bucketroute_snapshot.update import CONFIG_AUDIENCE

SIDECAR_NAME = "bucketroute-proxy"
TOKENS_VOLUME = "bucketroute-tokens"
STATE_VOLUME = "bucketroute-state"
TOKENS_FOLDER = "/var/run/secrets/bucketroute.io/tokens"
STATE_FOLDER = "/var/lib/bucketroute"
# Readable by whatever user the pod's containers run as; a volume reaches those that mount it only.
_READABLE_BY_ALL = 0o444
_USER = 65532
# Probes and metrics: on the pod's address, since Prometheus has to reach them.
_ADMIN_PORT = 9102
# A first start waits for the operator's answer; image and cluster may be busy.
_START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarTemplate:
    """What is the same in every pod. `ca_pem`: the authority of the config channel."""

    image: str
    pull_policy: str
    resources: JsonObject
    config_url: str
    ca_pem: str
    log_level: str


def sidecar_container(template: SidecarTemplate, class_name: str) -> JsonObject:
    return {
        "name": SIDECAR_NAME,
        "image": template.image,
        "imagePullPolicy": template.pull_policy,
        "restartPolicy": "Always",
        "args": ["--mode=sidecar", f"--listen=127.0.0.1:{SIDECAR_PORT}"],
        "env": [
            {"name": "BUCKETROUTE_CLASS", "value": class_name},
            {"name": "BUCKETROUTE_CONFIG_URL", "value": template.config_url},
            # As text: a ConfigMap would have to be copied into the namespace of every such pod.
            {"name": "BUCKETROUTE_CA_PEM", "value": template.ca_pem},
            {"name": "BUCKETROUTE_CONFIG_TOKEN_FILE", "value": f"{TOKENS_FOLDER}/config"},
            {"name": "BUCKETROUTE_STS_TOKEN_FILE", "value": f"{TOKENS_FOLDER}/sts"},
            {"name": "BUCKETROUTE_AUTHORIZATION_TOKEN_FILE", "value": CREDENTIALS_TOKEN_FILE},
            {"name": "BUCKETROUTE_ADMIN_LISTEN", "value": f"0.0.0.0:{_ADMIN_PORT}"},
            {"name": "BUCKETROUTE_STATE_DIR", "value": STATE_FOLDER},
            {
                "name": "BUCKETROUTE_POD_UID",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}},
            },
            {"name": "BUCKETROUTE_LOG_LEVEL", "value": template.log_level},
        ],
        "ports": [{"name": "br-metrics", "containerPort": _ADMIN_PORT}],
        "startupProbe": _probe("ready", period=1, failures=_START_SECONDS),
        "livenessProbe": _probe("live", period=10, failures=3),
        "resources": template.resources,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": TOKENS_VOLUME, "mountPath": TOKENS_FOLDER, "readOnly": True},
            {"name": STATE_VOLUME, "mountPath": STATE_FOLDER},
            {"name": CREDENTIALS_VOLUME, "mountPath": CREDENTIALS_FOLDER},
        ],
    }


def sidecar_volumes(settings: InjectorClass, expiration_seconds: int) -> tuple[JsonObject, ...]:
    """State is in memory, since it may hold credentials; so is what guards the sidecar's key."""
    tokens = token_volume(
        TOKENS_VOLUME,
        {"sts": settings.sts_audience, "config": CONFIG_AUDIENCE},
        expiration_seconds,
    )
    return (tokens, _in_memory(STATE_VOLUME, "16Mi"), _in_memory(CREDENTIALS_VOLUME, "1Mi"))


def token_volume(name: str, audiences: dict[str, str], expiration_seconds: int) -> JsonObject:
    """Projected service-account tokens: file name → audience, one token for each."""
    return {
        "name": name,
        "projected": {
            "defaultMode": _READABLE_BY_ALL,
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": audience,
                        "expirationSeconds": expiration_seconds,
                        "path": path,
                    }
                }
                for path, audience in audiences.items()
            ],
        },
    }


def _in_memory(name: str, size_limit: str) -> JsonObject:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size_limit}}


def _probe(verb: str, *, period: int, failures: int) -> JsonObject:
    return {
        "exec": {"command": ["bucketroute-dataplane", verb]},
        "periodSeconds": period,
        # A new process has to start within it, in the container's share of a busy node.
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
