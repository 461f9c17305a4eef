"""What the statuses of live objects come to: rows, and what is not ready. Nothing is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bucketroute_operator.core.conditions import ROUTE_CONDITIONS

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionLine:
    """One condition as the operator wrote it."""

    type: str
    status: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}={self.status} {self.reason}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStatus:
    """`ready` is True, False or Unknown; `why` are the conditions that keep it from being ready,
    `notes` others that somebody should know of."""

    namespace: str
    name: str
    bucket: str
    class_name: str
    ready: str
    reason: str
    credentials: str
    version: str
    why: tuple[ConditionLine, ...] = ()
    notes: tuple[ConditionLine, ...] = ()

    @property
    def is_fine(self) -> bool:
        """A suspended route is as somebody wants it."""
        return self.ready == "True" or self.reason == "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """One gateway pod; `state` is SYNCED, BEHIND, REJECTING or OFFLINE."""

    name: str
    class_name: str
    state: str
    is_ready: bool
    version: str
    rejected_routes: int

    @property
    def is_fine(self) -> bool:
        return self.state == "SYNCED" and self.is_ready and not self.rejected_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStatus:
    """`routes` is "programmed/total"; `pods` are the worst of the `pod_count` that there are."""

    name: str
    mode: str
    accepted: str
    synced: str
    routes: str
    version: str
    pod_count: int
    pods: tuple[PodStatus, ...] = ()
    why: tuple[ConditionLine, ...] = ()

    @property
    def is_fine(self) -> bool:
        return self.accepted == self.synced == "True" and all(pod.is_fine for pod in self.pods)


def route_status(raw: Json) -> RouteStatus:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    conditions = _conditions(status)
    ready, why = _readiness(raw, conditions)
    exported = conditions.get("Exported")
    credentials = conditions.get("CredentialReady")
    return RouteStatus(
        namespace=metadata["namespace"],
        name=metadata["name"],
        bucket=status.get("bucket") or spec.get("bucket") or metadata["name"],
        class_name=spec.get("className", "default"),
        ready=ready.status,
        reason=ready.reason,
        credentials=credentials.reason if credentials else "",
        version=status.get("configVersion", ""),
        why=why,
        notes=(exported,) if exported and exported.status == "False" else (),
    )


def _readiness(
    raw: Json, conditions: Mapping[str, ConditionLine]
) -> tuple[ConditionLine, tuple[ConditionLine, ...]]:
    """The summary, and what is behind it where it is not True."""
    ready = conditions.get("Ready")
    if ready is None:
        nobody = "No operator has looked at it yet; `bucketroute check` tells whether one runs."
        unknown = _unknown("NoStatus", nobody)
        return unknown, (unknown,)
    if _is_outdated(raw):
        generation = raw["metadata"]["generation"]
        unknown = _unknown("Outdated", f"The operator has not looked at generation {generation}.")
        return unknown, (unknown,)
    if ready.status == "True":
        return ready, ()
    failing = (
        conditions[name] for name in ROUTE_CONDITIONS if name in conditions and name != "Exported"
    )
    return ready, tuple(item for item in failing if item.status == "False") or (ready,)


def _unknown(reason: str, message: str) -> ConditionLine:
    return ConditionLine(type="Ready", status="Unknown", reason=reason, message=message)


def _is_outdated(raw: Json) -> bool:
    seen: object = (raw.get("status") or {}).get("observedGeneration")
    return bool(seen != raw["metadata"].get("generation"))


def class_status(raw: Json) -> ClassStatus:
    name, status = raw["metadata"]["name"], raw.get("status") or {}
    conditions = _conditions(status)
    counts, planes = status.get("routes") or {}, status.get("dataPlanes") or {}
    accepted, synced = conditions.get("Accepted"), conditions.get("Synced")
    return ClassStatus(
        name=name,
        mode=(raw["spec"].get("dataPlane") or {}).get("mode", ""),
        accepted=accepted.status if accepted else "Unknown",
        synced=synced.status if synced else "Unknown",
        routes=f"{counts.get('programmed', 0)}/{counts.get('total', 0)}",
        version=status.get("configVersion", ""),
        pod_count=max(planes.get("connected", 0), len(planes.get("pods") or ())),
        pods=tuple(_pod_status(name, item) for item in planes.get("pods") or ()),
        why=tuple(item for item in (accepted, synced) if item and item.status != "True"),
    )


def _pod_status(class_name: str, item: Json) -> PodStatus:
    return PodStatus(
        name=item["name"],
        class_name=class_name,
        state=str(item["state"]).upper(),
        is_ready=item.get("ready", False),
        version=item.get("configVersion", ""),
        rejected_routes=item.get("rejectedRoutes", 0),
    )


def _conditions(status: Json) -> dict[str, ConditionLine]:
    return {
        item["type"]: ConditionLine(
            type=item["type"],
            status=item["status"],
            reason=item["reason"],
            message=item["message"],
        )
        for item in status.get("conditions") or ()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`classes` is None where RBAC does not let the user read them."""

    routes: tuple[RouteStatus, ...]
    classes: tuple[ClassStatus, ...] | None

    @property
    def is_fine(self) -> bool:
        routes = all(item.is_fine for item in self.routes)
        return routes and all(item.is_fine for item in self.classes or ())


def report(routes: Iterable[Json], classes: Sequence[Json] | None, *, of_all: bool) -> Report:
    """Of the classes those that the routes name, or all."""
    found = tuple(sorted(map(route_status, routes), key=lambda item: (item.namespace, item.name)))
    named = {item.class_name for item in found}
    shown = None
    if classes is not None:
        statuses = sorted(map(class_status, classes), key=lambda item: item.name)
        shown = tuple(item for item in statuses if of_all or item.name in named)
    return Report(routes=found, classes=shown)
