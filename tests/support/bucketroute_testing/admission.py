"""Pods as the API server sends them to a webhook, and what it makes of the answer."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bucketroute_operator.core.injected_sidecar import SidecarTemplate
from bucketroute_operator.core.injection import Decision, Injector, PodRequest
from bucketroute_operator.core.injector_classes import InjectorClass

Json = dict[str, Any]
NAMESPACE = "team-a"
REQUEST_UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
ENDPOINT = "http://10.96.0.9:80"
CA_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CLASSES = {
    "default": InjectorClass(
        endpoint=ENDPOINT,
        region="us-east-1",
        client_audience="bucketroute",
        sts_audience="sts.amazonaws.com",
    ),
    "sidecars": InjectorClass(
        endpoint=None, region="eu-west-1", client_audience="unused", sts_audience="minio"
    ),
}
SIDECAR = SidecarTemplate(
    image="registry.example.com/bucketroute-dataplane:0.1.0",
    pull_policy="IfNotPresent",
    resources={"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    config_url="https://bucketroute-operator.bucketroute-system.svc:9443",
    ca_pem=CA_PEM,
    log_level="INFO",
)
INJECTOR = Injector(classes=CLASSES, sidecar=SIDECAR, version="v0.1.0")


def raw_pod(mode: str, *containers: Json, **spec: Any) -> Json:
    """A pod of a ReplicaSet: without a name yet. Its one container is `app` unless some are given.

    `spec`: more fields of the pod's spec.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "report-", "labels": {"bucketroute.io/inject": mode}},
        "spec": {
            "containers": list(containers) or [{"name": "app", "image": "app:1"}],
            "serviceAccountName": "reporter",
            **spec,
        },
    }


def app(*variables: tuple[str, str], **fields: Any) -> Json:
    """A container `app` that has these variables."""
    env = [{"name": name, "value": value} for name, value in variables]
    return {"name": "app", "image": "app:1", "env": env, **fields}


def decide(pod: Json, injector: Injector = INJECTOR, *, uid: str = REQUEST_UID) -> Decision:
    return injector.decide(PodRequest(pod=pod, namespace=NAMESPACE, uid=uid))


def injected(pod: Json, injector: Injector = INJECTOR) -> Json:
    """The pod as it is stored."""
    return patched(pod, decide(pod, injector).patch)


def review(pod: Json) -> Json:
    """An AdmissionReview as the API server sends it."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": REQUEST_UID,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "object": pod,
            "oldObject": None,
            "dryRun": False,
        },
    }


def patched(pod: Json, patch: Sequence[Mapping[str, Any]]) -> Json:
    """By RFC 6902, `add` only. Raises where the API server would refuse the patch."""
    document = copy.deepcopy(pod)
    for operation in json.loads(json.dumps(patch)):
        assert operation["op"] == "add", operation
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        parent: Any = document
        for part in parents:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        if not isinstance(parent, list):
            parent[last] = operation["value"]
            continue
        index = len(parent) if last == "-" else int(last)
        assert index <= len(parent), operation
        parent.insert(index, operation["value"])
    return document


def environment_of(pod: Json, container: str = "app") -> dict[str, Any]:
    """By name: the value, or where it is from."""
    spec = pod["spec"]
    (found,) = [
        item
        for item in (*spec.get("initContainers", ()), *spec["containers"])
        if item["name"] == container
    ]
    env = {item["name"]: item.get("value", item.get("valueFrom")) for item in found.get("env", ())}
    assert len(env) == len(found.get("env", ())), f"a name is there twice: {found['env']}"
    return env
