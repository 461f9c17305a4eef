"""The checks of an installation: CRDs, operator, gateway, classes, webhook, issuer, routes.

Each check asks for what it needs, changes nothing, and answers for itself: one that RBAC refuses
is unknown and stops no other.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import version
from typing import Any, Final

from bucketroute_cli.cluster import Cluster, in_words
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK
from bucketroute_cli.status_report import class_status, route_status
from bucketroute_cli.table import table
from bucketroute_operator.shell.gateway_pods import gateway_pods
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    ENDPOINT_SLICES,
    LEASES,
    ROUTES,
    WEBHOOK_CONFIGURATIONS,
    ForbiddenError,
    Json,
    KubeError,
    NotFoundError,
    Resource,
)

CRDS = Resource(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    is_namespaced=False,
)
DEPLOYMENTS = Resource(kind="Deployment", plural="deployments", group="apps")

BUNDLE_VERSION: Final = "bucketroute.io/bundle-version"
_MIN_MINOR: Final = 31  # of Kubernetes 1: selectableFields
_OURS: Final = "app.kubernetes.io/name=bucketroute"
_SERVICE_NAME: Final = "kubernetes.io/service-name"
# A lease is renewed several times within its duration; the clocks of two machines differ a bit.
_LATE_LEASES: Final = 3


class Verdict(Enum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    what: str
    verdict: Verdict
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What every check needs."""

    cluster: Cluster
    system_namespace: str
    now: datetime


Check = Callable[[Examination], AsyncIterator[CheckResult]]


async def examine(cluster: Cluster, args: argparse.Namespace) -> int:
    """0: no errors. 1: errors. Raises: KubeError if the API server cannot be asked at all."""
    examination = Examination(
        cluster=cluster, system_namespace=args.system_namespace, now=datetime.now(UTC)
    )
    results = [result async for result in checked(examination)]
    _show(results, args.output)
    has_errors = any(result.verdict is Verdict.ERROR for result in results)
    return EXIT_FINDINGS if has_errors else EXIT_OK


async def checked(examination: Examination) -> AsyncIterator[CheckResult]:
    """Raises: KubeError if the API server does not even tell its version."""
    async for result in _api_server(examination):
        yield result
    for what, check in _CHECKS.items():
        try:
            async for result in check(examination):
                yield result
        except ForbiddenError as exc:
            yield CheckResult(what=what, verdict=Verdict.UNKNOWN, message=in_words(exc))
        except KubeError as exc:
            yield CheckResult(what=what, verdict=Verdict.ERROR, message=in_words(exc))


def _show(results: list[CheckResult], output: str) -> None:
    if output == "json":
        values = [
            {"check": item.what, "verdict": item.verdict.value, "message": item.message}
            for item in results
        ]
        print(json.dumps(values, indent=2))
    else:
        rows = [(item.verdict.value, item.what, item.message) for item in results]
        print(table(("VERDICT", "CHECK", "WHAT WAS FOUND"), rows))


def _ok(what: str, message: str) -> CheckResult:
    return CheckResult(what=what, verdict=Verdict.OK, message=message)


def _warning(what: str, message: str) -> CheckResult:
    return CheckResult(what=what, verdict=Verdict.WARNING, message=message)


def _error(what: str, message: str) -> CheckResult:
    return CheckResult(what=what, verdict=Verdict.ERROR, message=message)


async def _api_server(on: Examination) -> AsyncIterator[CheckResult]:
    found = json.loads(await on.cluster.kube.raw("/version"))
    said = str(found.get("gitVersion", ""))
    match = re.match(r"v1\.(\d+)", said)
    if match is None or int(match[1]) < _MIN_MINOR:
        yield _error("API server", f"Kubernetes {said}; 1.{_MIN_MINOR} or later is needed")
    else:
        yield _ok("API server", f"Kubernetes {said}")


async def _crds(on: Examination) -> AsyncIterator[CheckResult]:
    ours = f"v{version('bucketroute')}"
    for resource in (ROUTES, BACKENDS, CLASSES):
        name = f"{resource.plural}.{resource.group}"
        try:
            crd = await on.cluster.kube.get(CRDS, "", name)
        except NotFoundError:
            yield _error("CRD", f"{name} is not there: docs/install.md")
            continue
        served = [item["name"] for item in crd["spec"]["versions"] if item.get("served")]
        bundle = (crd["metadata"].get("annotations") or {}).get(BUNDLE_VERSION, "unknown")
        if resource.version not in served:
            yield _error("CRD", f"{name} serves {', '.join(served)}, not {resource.version}")
        elif not _is_true(crd, "Established"):
            yield _error("CRD", f"{name} is not established: kubectl describe crd {name}")
        elif bundle != ours:
            yield _warning("CRD", f"{name} is of {bundle}, this command of {ours}")
        else:
            yield _ok("CRD", f"{name} serves {resource.version}, of {bundle}")


async def _operator(on: Examination) -> AsyncIterator[CheckResult]:
    yield await _deployment(on, "operator")
    try:
        lease = await on.cluster.kube.get(LEASES, on.system_namespace, "bucketroute-operator")
    except NotFoundError:
        yield _error("operator", "no replica has ever led: there is no Lease; read its log")
        return
    spec = lease["spec"]
    renewed = datetime.fromisoformat(spec["renewTime"])
    age = (on.now - renewed).total_seconds()
    holder = spec.get("holderIdentity") or "nobody"
    if age > _LATE_LEASES * spec.get("leaseDurationSeconds", 15):
        yield _error("operator", f"nobody leads: {holder} renewed its Lease {age:.0f} s ago")
    else:
        yield _ok("operator", f"{holder} leads, and renewed its Lease {max(age, 0):.0f} s ago")


async def _gateway(on: Examination) -> AsyncIterator[CheckResult]:
    classes = await on.cluster.kube.list_all(CLASSES)
    modes = {(item["spec"].get("dataPlane") or {}).get("mode") for item in classes}
    if "Shared" in modes:
        yield await _deployment(on, "gateway")


async def _deployment(on: Examination, component: str) -> CheckResult:
    name, namespace = f"bucketroute-{component}", on.system_namespace
    try:
        found = await on.cluster.kube.get(DEPLOYMENTS, namespace, name)
    except NotFoundError:
        where = "another one is --system-namespace"
        return _error(component, f"no Deployment {name} in namespace {namespace}; {where}")
    wanted, status = found["spec"].get("replicas", 1), found.get("status") or {}
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    said = f"{ready} of {wanted} pods are ready"
    if ready < wanted and ready == 0 < wanted:
        return _error(component, f"{said}: kubectl get pods -n {namespace}")
    if ready < wanted or updated < wanted:
        return _warning(component, f"{said}, {updated} are of the latest version")
    return _ok(component, said)


async def _classes(on: Examination) -> AsyncIterator[CheckResult]:
    found = [class_status(item) for item in await on.cluster.kube.list_all(CLASSES)]
    if not found:
        yield _error("class", "there is none, so no route is served: does the operator run?")
    for item in found:
        what = f"class {item.name}"
        if item.why:
            yield _error(what, "; ".join(map(str, item.why)))
        elif item.accepted != "True":
            yield _error(what, "no operator has looked at it")
        else:
            yield _ok(what, f"accepted; {item.routes} routes programmed, version {item.version}")
        for pod in item.pods:
            if not pod.is_fine:
                yield _warning(what, f"pod {pod.name} is {pod.state} at {pod.version or 'none'}")


async def _webhook(on: Examination) -> AsyncIterator[CheckResult]:
    configurations = await on.cluster.kube.list_all(WEBHOOK_CONFIGURATIONS, selector=_OURS)
    if not configurations:
        yield _ok("injector", "its webhook is not installed; pods set their variables themselves")
    for configuration in configurations:
        for hook in configuration.get("webhooks") or ():
            yield await _hook(on, hook)


async def _hook(on: Examination, hook: Json) -> CheckResult:
    client = hook.get("clientConfig") or {}
    if not client.get("caBundle"):
        return _error("injector", f"webhook {hook['name']} has no caBundle, so no call succeeds")
    service = client.get("service") or {}
    name, namespace = service.get("name", ""), service.get("namespace", "")
    slices = await on.cluster.kube.list_all(
        ENDPOINT_SLICES, namespace=namespace, selector=f"{_SERVICE_NAME}={name}"
    )
    pods = [pod for found in gateway_pods(slices).values() for pod in found]
    ready = sum(pod.is_ready for pod in pods)
    said = f"webhook {hook['name']}: {ready} of {len(pods)} pods of Service {namespace}/{name}"
    if not ready:
        return _error("injector", f"{said} are ready; labelled pods start without being changed")
    return _ok("injector", f"{said} are ready")


async def _issuer(on: Examination) -> AsyncIterator[CheckResult]:
    found: dict[str, Any] = json.loads(
        await on.cluster.kube.raw("/.well-known/openid-configuration")
    )
    yield _ok("issuer", f"{found.get('issuer')}; a backend's STS must trust it: docs/trust.md")


async def _routes(on: Examination) -> AsyncIterator[CheckResult]:
    routes = [route_status(item) for item in await on.cluster.kube.list_all(ROUTES)]
    not_ready = [item for item in routes if not item.is_fine]
    if not_ready:
        said = f"{len(not_ready)} of {len(routes)} are not ready"
        yield _warning("routes", f"{said}: kubectl bucketroute status -A")
    else:
        yield _ok("routes", f"all {len(routes)} are ready" if routes else "there are none yet")


def _is_true(found: Json, kind: str) -> bool:
    conditions: Iterable[Json] = (found.get("status") or {}).get("conditions") or ()
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


_CHECKS: Final[dict[str, Check]] = {
    "CRD": _crds,
    "operator": _operator,
    "gateway": _gateway,
    "class": _classes,
    "injector": _webhook,
    "issuer": _issuer,
    "routes": _routes,
}
