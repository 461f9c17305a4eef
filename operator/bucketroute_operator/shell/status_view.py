"""What the statuses should say now: compiling's results, joined with what the data planes said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from bucketroute_operator.core.compilation import ClassResult, Compilation, RouteResult
from bucketroute_operator.core.conditions import (
    ClassOutcome,
    RouteOutcome,
    Status,
    condition_of,
)
from bucketroute_operator.core.data_planes import DataPlane, PodSeen, data_planes
from bucketroute_operator.core.delta import RouteKey
from bucketroute_operator.core.resources import ClassObject, ClassSpec, DataPlaneMode
from bucketroute_operator.core.rollout import (
    NO_ANSWER,
    NOT_NEEDED,
    NOT_SERVED,
    PROGRAMMED,
    Fleet,
    Outcome,
    bucket_found,
    credential_ready,
    is_told_of,
    programmed,
    synced,
)
from bucketroute_operator.core.route_words import PublishedRoute, Revision
from bucketroute_operator.shell.class_rollout import ClassRollout
from bucketroute_operator.shell.gateway_pods import GatewayPods
from bucketroute_operator.shell.kube_api import CLASSES
from bucketroute_operator.shell.store import ObjectStore
from bucketroute_snapshot import WebIdentityAuth
from bucketroute_snapshot.update import ConfigVersion

# A route that was just published is left alone for a moment, so that one write tells that it is
# programmed instead of two.
SETTLED_AFTER_SECONDS = 2.0
# So is one whose publication the API server refused.
FAILED_AFTER_SECONDS = 10.0
# A new route's credentials, and then its bucket, are asked for as it is published, and the answers
# are there within seconds. So long it is not said to be ready: whoever waits is about to use it.
CREDENTIALS_WITHIN_SECONDS = 30.0
# Pods reconnect to a new leader within a poll; until then their silence means nothing.
WARM_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInputs:
    """What one pass looks at."""

    compilation: Compilation
    rollouts: Mapping[str, ClassRollout]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """One class during one pass; `needs_role` are the routes that assume one."""

    rollout: ClassRollout
    fleet: Fleet
    needs_role: frozenset[RouteKey]
    endpoint: str
    is_rejecting: bool
    # By version, as long as no pod rejects anything: then nothing else of a route matters.
    _programmed: dict[ConfigVersion | None, Outcome] = field(default_factory=dict)

    def programmed(self, route: str, version: ConfigVersion | None) -> Outcome:
        """Whether all ready pods have `route` (`namespace/name`) as of `version`."""
        if self.is_rejecting:
            return programmed(route, version, self.fleet)
        if version not in self._programmed:
            self._programmed[version] = programmed(route, version, self.fleet)
        return self._programmed[version]


class StatusView:
    def __init__(
        self, store: ObjectStore, pods: GatewayPods, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._pods = pods
        self._clock = clock
        self._began = clock()

    def of_class(self, rollout: ClassRollout) -> ClassView:
        current = rollout.channel.current
        routes = () if current is None else current.rendering.snapshot.routes
        spec = self._class_spec(rollout.channel.name)
        fleet = self._fleet(rollout, spec)
        return ClassView(
            rollout=rollout,
            fleet=fleet,
            needs_role=frozenset(
                (route.namespace, route.name)
                for route in routes
                if route.backend is not None and isinstance(route.backend.auth, WebIdentityAuth)
            ),
            endpoint="" if spec is None else spec.data_plane.endpoint or "",
            is_rejecting=fleet.is_rejecting,
        )

    def route(self, result: RouteResult, view: ClassView | None, before: Status) -> RouteOutcome:
        if result.state is None or view is None:
            return RouteOutcome(result=result, programmed=NOT_SERVED, credential_ready=NOT_NEEDED)
        key = _key(result)
        version = view.rollout.versions.get(key)
        published = view.rollout.channel.routes.get("/".join(key))
        if published is None or not published.has(_revision(result)):
            version = None  # as it is now: its publication is held
        outcome = view.programmed("/".join(key), version)
        if view.fleet.unheard_count and outcome.status != "True" and self._is_warming_up():
            was = condition_of(before, "Programmed")
            if before.get("configVersion") == str(version) and was and was["status"] == "True":
                outcome = PROGRAMMED
        said = before if published is not None and _counts(published, before) else {}
        credential = self._credential(key, view, said)
        return RouteOutcome(
            result=result,
            programmed=outcome,
            credential_ready=credential,
            bucket_found=self._bucket(key, view, said),
            # What is dear to find out comes last: for most routes the time is long over.
            awaits_word=view.fleet.is_required
            and self._credentials_due_seconds(key, view) > 0
            and not _was_ready(before, result.metadata.generation)
            and (credential.status == "Unknown" or not is_told_of("/".join(key), view.fleet.heard)),
            version="" if version is None else str(version),
            endpoint=view.endpoint,
        )

    def class_outcome(
        self, result: ClassResult, view: ClassView | None, programmed_count: int
    ) -> ClassOutcome:
        fleet = Fleet(is_required=False) if view is None else view.fleet
        current = None if view is None else view.rollout.channel.current
        version = None if current is None else current.version
        having = sum(pod.applied == version for pod in fleet.heard)
        rejecting = sum(pod.rejected == version for pod in fleet.heard if pod.rejected)
        is_held = view is not None and view.rollout.held_until is not None
        return ClassOutcome(
            generation=result.metadata.generation,
            accepted=result.accepted,
            synced=synced(fleet, having, rejecting, is_held=is_held),
            version="" if version is None else str(version),
            digest="" if current is None else current.rendering.digest,
            total_count=result.route_count,
            accepted_count=result.accepted_route_count,
            programmed_count=programmed_count,
            connected_count=fleet.ready_count,
            synced_count=having,
            rejecting_count=rejecting,
            data_planes=() if view is None else self._data_planes(view.rollout, version),
        )

    def settling_seconds(self, outcome: RouteOutcome, view: ClassView | None) -> float:
        """How long a route that only waits for its data planes may still be left alone."""
        is_waiting = outcome.programmed.reason in ("Pending", "PartiallyProgrammed")
        if view is None or not is_waiting:
            return 0.0
        failed_since = view.rollout.failed_since
        if not outcome.version and failed_since is not None:  # it is tried again and again
            return failed_since + FAILED_AFTER_SECONDS - self._clock()
        return self._seconds_until(SETTLED_AFTER_SECONDS, _key(outcome.result), view)

    def patience_seconds(self, outcome: RouteOutcome, view: ClassView | None) -> float | None:
        """When to look again at a route that awaits its credentials; None for any other."""
        if view is None or not outcome.awaits_word:
            return None
        return self._credentials_due_seconds(_key(outcome.result), view)

    def _credentials_due_seconds(self, key: RouteKey, view: ClassView) -> float:
        return self._seconds_until(CREDENTIALS_WITHIN_SECONDS, key, view)

    def _seconds_until(self, limit: float, key: RouteKey, view: ClassView) -> float:
        """What is left of `limit` seconds since the route was published as it is."""
        version = view.rollout.versions.get(key)
        if version is None:
            return 0.0
        return view.rollout.published_at(version) + limit - self._clock()

    def _credential(self, key: RouteKey, view: ClassView, before: Status) -> Outcome:
        if key not in view.needs_role:
            return NOT_NEEDED
        outcome = credential_ready("/".join(key), view.fleet.heard)
        return self._or_as_before(outcome, "CredentialReady", before)

    def _bucket(self, key: RouteKey, view: ClassView, before: Status) -> Outcome:
        outcome = bucket_found("/".join(key), view.fleet.heard)
        if outcome != NO_ANSWER:
            return outcome
        return self._or_as_before(outcome, "BucketFound", before)

    def _or_as_before(self, outcome: Outcome, kind: str, before: Status) -> Outcome:
        """A new leader goes on with what was said, until its data planes have had time to speak."""
        was = condition_of(before, kind)
        if outcome.status != "Unknown" or was is None or not self._is_warming_up():
            return outcome
        return Outcome(
            status=str(was["status"]), reason=str(was["reason"]), message=str(was["message"])
        )

    def _data_planes(
        self, rollout: ClassRollout, current: ConfigVersion | None
    ) -> tuple[DataPlane, ...]:
        channel = rollout.channel
        pods = (
            PodSeen(
                name=pod.name,
                is_ready=pod.is_ready,
                is_connected=channel.is_connected(pod.uid),
                said=channel.state_of(pod.uid),
            )
            for pod in self._pods.of(channel.name)
        )
        return data_planes(pods, current)

    def _fleet(self, rollout: ClassRollout, spec: ClassSpec | None) -> Fleet:
        channel = rollout.channel
        ready = self._pods.ready(channel.name)
        states = [channel.state_of(uid) for uid in sorted(ready)]
        heard = tuple(state for state in states if state is not None)
        is_shared = spec is None or spec.data_plane.mode is DataPlaneMode.SHARED
        has_sidecars_only = not ready and channel.sidecar_heard_at is not None
        return Fleet(
            is_required=is_shared and not has_sidecars_only,
            heard=heard,
            unheard_count=len(states) - len(heard),
        )

    def _class_spec(self, name: str) -> ClassSpec | None:
        stored = self._store.of(CLASSES).get(("", name))
        return stored.parsed.spec if stored and isinstance(stored.parsed, ClassObject) else None

    def _is_warming_up(self) -> bool:
        return self._clock() - self._began < WARM_UP_SECONDS


def _key(result: RouteResult) -> RouteKey:
    return (result.metadata.namespace, result.metadata.name)


def _revision(result: RouteResult) -> Revision:
    return Revision(uid=result.metadata.uid, generation=result.metadata.generation)


def _counts(published: PublishedRoute, before: Status) -> bool:
    """Whether what a status says of credentials and bucket is about the present backend."""
    generation = before.get("observedGeneration")
    return isinstance(generation, int) and generation >= published.backend_since


def _was_ready(before: Status, generation: int) -> bool:
    ready = condition_of(before, "Ready")
    return ready is not None and (ready["status"], ready["observedGeneration"]) == (
        "True",
        generation,
    )


def counted(class_name: str, status: Status) -> tuple[tuple[str, str, str], ...]:
    """The conditions that the metric of routes counts, as its labels."""
    return tuple(
        (class_name, kind, str(condition["status"]))
        for kind in ("Accepted", "Programmed", "Ready")
        if (condition := condition_of(status, kind)) is not None
    )
