"""`bucketroute check` of an installation: each check finds its own fault and stops no other."""

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from bucketroute_cli import check as command
from bucketroute_cli.doctor import (
    BUNDLE_VERSION,
    CRDS,
    DEPLOYMENTS,
    examine,
)
from bucketroute_operator.shell.kube_api import (
    CLASSES,
    ENDPOINT_SLICES,
    LEASES,
    ROUTES,
    WEBHOOK_CONFIGURATIONS,
    Json,
    KubeError,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.live_cluster import arguments, hide, on, status
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE, raw_class, raw_route

CRD_FILES = Path(__file__).parents[3] / "crds"
Capture = pytest.CaptureFixture[str]


def crd(file: Path, **annotations: str) -> Json:
    raw: Json = yaml.safe_load(file.read_text())
    raw["metadata"]["annotations"].update(annotations)
    return {**raw, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


def deployment(component: str, *, ready: int = 2, updated: int = 2) -> Json:
    return {
        "metadata": {"namespace": OPERATOR_NAMESPACE, "name": f"bucketroute-{component}"},
        "spec": {"replicas": 2},
        "status": {"readyReplicas": ready, "updatedReplicas": updated},
    }


def lease(seconds_ago: float = 2) -> Json:
    renewed = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {
        "metadata": {"namespace": OPERATOR_NAMESPACE, "name": "bucketroute-operator"},
        "spec": {
            "holderIdentity": "operator-1",
            "leaseDurationSeconds": 15,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def class_(pod_state: str = "Synced", **spec: Any) -> Json:
    said = status(("Synced", "True", "Synced"))
    said["routes"] = {"total": 1, "programmed": 1}
    said["dataPlanes"] = {"pods": [{"name": "gateway-a", "state": pod_state, "ready": True}]}
    return {**raw_class(**spec), "status": said}


@pytest.fixture
def kube() -> FakeKube:
    fake = FakeKube()
    fake.raws = {
        "/version": b'{"gitVersion": "v1.35.4"}',
        "/.well-known/openid-configuration": b'{"issuer": "https://oidc.example.com"}',
    }
    for file in CRD_FILES.glob("*.yaml"):
        fake.put(CRDS, crd(file))
    for component in ("operator", "gateway"):
        fake.put(DEPLOYMENTS, deployment(component))
    fake.put(LEASES, lease())
    fake.put(CLASSES, class_())
    fake.put(ROUTES, {**raw_route(), "status": status()})
    return fake


async def examined(kube: FakeKube, capsys: Capture) -> tuple[int, dict[str, list[str]]]:
    """The exit status, and "verdict: message" of each check."""
    code = await examine(on(kube), arguments(command, "-o", "json"))
    found: dict[str, list[str]] = {}
    for item in json.loads(capsys.readouterr().out):
        found.setdefault(item["check"], []).append(f"{item['verdict']}: {item['message']}")
    return code, found


def test_the_crds_are_of_the_version_of_the_package() -> None:
    for file in CRD_FILES.glob("*.yaml"):
        annotations = yaml.safe_load(file.read_text())["metadata"]["annotations"]
        assert annotations[BUNDLE_VERSION] == f"v{version('bucketroute')}", file.name


async def test_a_good_installation_is_good_all_over(kube: FakeKube, capsys: Capture) -> None:
    code, found = await examined(kube, capsys)
    assert code == 0
    assert list(found) == [
        "API server",
        "CRD",
        "operator",
        "gateway",
        "class default",
        "injector",
        "issuer",
        "routes",
    ]
    assert all(line.startswith("ok: ") for lines in found.values() for line in lines), found
    assert found["operator"][1].startswith("ok: operator-1 leads, and renewed its Lease ")


async def test_the_text_is_a_table(kube: FakeKube, capsys: Capture) -> None:
    assert await examine(on(kube), arguments(command)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["VERDICT", "CHECK", "WHAT", "WAS", "FOUND"]
    assert lines[1].split() == ["ok", "API", "server", "Kubernetes", "v1.35.4"]


ESTABLISHED = {"conditions": [{"type": "Established", "status": "False"}]}
OLD_CRD = crd(CRD_FILES / "bucketroutes.yaml", **{BUNDLE_VERSION: "v0.0.9"})
UNESTABLISHED = {**crd(CRD_FILES / "bucketroutes.yaml"), "status": ESTABLISHED}
FAULTS: dict[str, tuple[Any, str, str, int]] = {
    "old-kubernetes": (
        lambda kube: kube.raws.update({"/version": b'{"gitVersion": "v1.30.1"}'}),
        "API server",
        "error: Kubernetes v1.30.1; 1.31 or later is needed",
        1,
    ),
    "no-crd": (
        lambda kube: kube.remove(CRDS, "", "bucketbackends.bucketroute.io"),
        "CRD",
        "error: bucketbackends.bucketroute.io is not there",
        1,
    ),
    "old-crd": (
        lambda kube: kube.put(CRDS, OLD_CRD),
        "CRD",
        "warning: bucketroutes.bucketroute.io is of v0.0.9, this command of v",
        0,
    ),
    "crd-that-is-not-established": (
        lambda kube: kube.put(CRDS, UNESTABLISHED),
        "CRD",
        "error: bucketroutes.bucketroute.io is not established",
        1,
    ),
    "no-operator": (
        lambda kube: kube.remove(DEPLOYMENTS, OPERATOR_NAMESPACE, "bucketroute-operator"),
        "operator",
        "error: no Deployment bucketroute-operator in namespace bucketroute-system",
        1,
    ),
    "operator-that-does-not-run": (
        lambda kube: kube.put(DEPLOYMENTS, deployment("operator", ready=0)),
        "operator",
        "error: 0 of 2 pods are ready",
        1,
    ),
    "no-lease": (
        lambda kube: kube.remove(LEASES, OPERATOR_NAMESPACE, "bucketroute-operator"),
        "operator",
        "error: no replica has ever led",
        1,
    ),
    "old-lease": (
        lambda kube: kube.put(LEASES, lease(600)),
        "operator",
        "error: nobody leads: operator-1 renewed its Lease 600 s ago",
        1,
    ),
    "gateway-in-an-upgrade": (
        lambda kube: kube.put(DEPLOYMENTS, deployment("gateway", updated=1)),
        "gateway",
        "warning: 2 of 2 pods are ready, 1 are of the latest version",
        0,
    ),
    "no-class": (
        lambda kube: kube.remove(CLASSES, "", "default"),
        "class",
        "error: there is none",
        1,
    ),
    "class-that-nobody-looked-at": (
        lambda kube: kube.put(CLASSES, {**raw_class(), "status": {}}),
        "class default",
        "error: no operator has looked at it",
        1,
    ),
    "class-that-is-not-synced": (
        lambda kube: kube.put(
            CLASSES, {**raw_class(), "status": status(("Synced", "False", "NoDataPlane"))}
        ),
        "class default",
        "error: Synced=False NoDataPlane",
        1,
    ),
    "pod-that-is-offline": (
        lambda kube: kube.put(CLASSES, class_("Offline")),
        "class default",
        "warning: pod gateway-a is OFFLINE",
        0,
    ),
    "route-that-is-not-ready": (
        lambda kube: kube.put(ROUTES, {**raw_route("new"), "status": {}}),
        "routes",
        "warning: 1 of 2 are not ready",
        0,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_by_its_check(kube: FakeKube, capsys: Capture, fault: str) -> None:
    break_it, check, says, expected = FAULTS[fault]
    break_it(kube)
    code, found = await examined(kube, capsys)
    assert code == expected
    assert any(line.startswith(says) for line in found[check]), found[check]


async def test_sidecars_alone_need_no_gateway(kube: FakeKube, capsys: Capture) -> None:
    kube.remove(DEPLOYMENTS, OPERATOR_NAMESPACE, "bucketroute-gateway")
    kube.put(CLASSES, class_(dataPlane={"mode": "Sidecar"}))
    code, found = await examined(kube, capsys)
    assert code == 0
    assert "gateway" not in found


def webhook(ca: str = "Y2E=") -> Json:
    client = {
        "caBundle": ca,
        "service": {"namespace": OPERATOR_NAMESPACE, "name": "bucketroute-injector"},
    }
    labels = {"app.kubernetes.io/name": "bucketroute"}
    hooks = [{"name": "inject.bucketroute.io", "clientConfig": client}]
    return {"metadata": {"name": "bucketroute-injector", "labels": labels}, "webhooks": hooks}


def injector_slice(*, is_ready: bool) -> Json:
    target = {"kind": "Pod", "uid": "i", "name": "injector-a"}
    labels = {"kubernetes.io/service-name": "bucketroute-injector"}
    return {
        "metadata": {"namespace": OPERATOR_NAMESPACE, "name": "injector", "labels": labels},
        "endpoints": [{"conditions": {"ready": is_ready}, "targetRef": target}],
    }


@pytest.mark.parametrize(
    ("ca", "is_ready", "says"),
    [
        ("Y2E=", True, "ok: webhook inject.bucketroute.io: 1 of 1 pods of Service "),
        ("Y2E=", False, "error: webhook inject.bucketroute.io: 0 of 1 pods"),
        ("", True, "error: webhook inject.bucketroute.io has no caBundle"),
    ],
    ids=["good", "no-pod", "no-ca"],
)
async def test_the_webhook_is_looked_at_where_it_is_installed(
    kube: FakeKube, capsys: Capture, ca: str, is_ready: bool, says: str
) -> None:
    kube.put(WEBHOOK_CONFIGURATIONS, webhook(ca))
    kube.put(ENDPOINT_SLICES, injector_slice(is_ready=is_ready))
    code, found = await examined(kube, capsys)
    assert found["injector"][0].startswith(says)
    assert code == (not says.startswith("ok"))


async def test_what_rbac_hides_is_unknown_and_stops_no_other_check(
    kube: FakeKube, capsys: Capture
) -> None:
    hide(kube, CRDS, DEPLOYMENTS, LEASES, WEBHOOK_CONFIGURATIONS)
    code, found = await examined(kube, capsys)
    assert code == 0
    assert found["CRD"][0].startswith("unknown: RBAC does not grant it: ")
    assert found["operator"][0].startswith("unknown: ")
    assert found["injector"][0].startswith("unknown: ")
    assert found["routes"] == ["ok: all 1 are ready"]


async def test_an_api_server_that_fails_at_one_thing_is_an_error_there(
    kube: FakeKube, capsys: Capture
) -> None:
    kube.fault = lambda verb, resource, name: KubeError(500, "no") if resource is LEASES else None
    code, found = await examined(kube, capsys)
    assert code == 1
    assert found["operator"][-1] == "error: the API server refuses: no"
    assert found["routes"] == ["ok: all 1 are ready"]
