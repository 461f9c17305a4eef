"""What a status is to say of credentials: when their first word is waited for, and how long."""

from dataclasses import dataclass, replace

from bucketroute_operator.core.compilation import RouteResult
from bucketroute_operator.core.conditions import RouteOutcome, Status
from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.resources import ClassObject, Metadata
from bucketroute_operator.core.rollout import CredentialState
from bucketroute_operator.shell.channel import ClassChannel
from bucketroute_operator.shell.class_rollout import Candidate, ClassRollout
from bucketroute_operator.shell.gateway_pods import GatewayPods
from bucketroute_operator.shell.kube_api import CLASSES, ENDPOINT_SLICES
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.persistence import SnapshotArchive
from bucketroute_operator.shell.status_view import (
    CREDENTIALS_WITHIN_SECONDS,
    SETTLED_AFTER_SECONDS,
    WARM_UP_SECONDS,
    StatusView,
)
from bucketroute_operator.shell.store import ObjectStore
from bucketroute_snapshot import Route, RouteState, SnapshotSecrets, UnsignedAuth
from bucketroute_snapshot.model import BackendAuth
from bucketroute_snapshot.update import BucketState
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import (
    OPERATOR_NAMESPACE,
    raw_class,
    ready_slice,
    route,
    snapshot,
)


@dataclass(slots=True)
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


UID = "uid-team-a-reports"


def _ready(generation: int) -> Status:
    condition = {"type": "Ready", "status": "True", "observedGeneration": generation}
    return {"conditions": [condition]}


class Published:
    """A route of generation 3, published just now by an operator that has been up for long."""

    def __init__(self, *, mode: str = "Shared", auth: BackendAuth | None = None) -> None:
        self._auth = auth
        self.clock = Seconds()
        kube, store = FakeKube(), ObjectStore()
        raw = raw_class()
        raw["spec"]["dataPlane"]["mode"] = mode
        store.event(CLASSES, "ADDED", raw)
        assert isinstance(store.of(CLASSES)["", "default"].parsed, ClassObject)
        if mode == "Shared":
            kube.put(ENDPOINT_SLICES, ready_slice("pod-1"))
        self._pods = GatewayPods(kube, OPERATOR_NAMESPACE)
        self.view = StatusView(store, self._pods, clock=self.clock)
        self.clock.now += WARM_UP_SECONDS
        self.rollout = ClassRollout(
            ClassChannel("default", on_word=lambda: None, clock=self.clock),
            SnapshotArchive(kube, namespace=OPERATOR_NAMESPACE, class_name="default"),
            Metrics(),
            clock=self.clock,
            now=self.clock,
        )

    async def publish(self) -> None:
        await self._pods.refresh()
        candidate = Candidate(
            snapshot=snapshot(self._route()),
            secrets=SnapshotSecrets(),
            explained=(),
            allows_mass_removal=False,
        )
        await self.rollout.roll(candidate)

    def _route(self) -> Route:
        made = route("reports", generation=3)
        assert made.backend is not None
        backend = replace(made.backend, auth=self._auth or made.backend.auth)
        return replace(made, backend=backend)

    def outcome(self, before: Status, *, generation: int = 3) -> RouteOutcome:
        ref = ObjectRef(kind="BucketRoute", namespace="team-a", name="reports")
        result = RouteResult(
            metadata=Metadata(ref=ref, uid=UID, generation=generation, created_at=""),
            class_name="default",
            bucket="reports",
            state=RouteState.ACTIVE,
            conditions=(),
        )
        return self.view.route(result, self.view.of_class(self.rollout), before)

    def told(self, code: str) -> None:
        said = {"team-a/reports": CredentialState(status="True", code=code)}
        self.rollout.channel.reported("pod-1", said)

    def settling_seconds(self) -> float:
        view = self.view.of_class(self.rollout)
        return self.view.settling_seconds(self.outcome({}), view)

    def patience_seconds(self, before: Status) -> float | None:
        view = self.view.of_class(self.rollout)
        return self.view.patience_seconds(self.outcome(before), view)


async def test_the_first_word_on_a_new_route_is_waited_for_but_not_for_ever() -> None:
    published = Published()
    await published.publish()
    assert published.outcome({}).awaits_word
    published.clock.now += 10
    assert published.patience_seconds({}) == CREDENTIALS_WITHIN_SECONDS - 10
    published.clock.now += CREDENTIALS_WITHIN_SECONDS
    assert not published.outcome({}).awaits_word
    assert published.patience_seconds({}) is None


async def test_a_word_ends_the_wait() -> None:
    published = Published()
    await published.publish()
    published.told("Exchanged")
    assert not published.outcome({}).awaits_word


async def test_a_route_without_a_role_is_waited_for_as_well() -> None:
    """Its bucket is being asked for; a pod that has tried says all it knows for now."""
    published = Published(auth=UnsignedAuth())
    await published.publish()
    assert published.outcome({}).credential_ready.reason == "NotNeeded"
    assert published.outcome({}).awaits_word
    for code, awaits in (("NotTried", True), ("NotNeeded", False)):
        published.told(code)
        assert published.outcome({}).awaits_word is awaits


async def test_a_new_leader_knows_of_a_bucket_what_the_one_before_said() -> None:
    published = Published()
    await published.publish()
    published.clock.now -= WARM_UP_SECONDS
    was = {"type": "BucketFound", "status": "False", "reason": "B", "message": "m"}
    before: Status = {"observedGeneration": 3, "conditions": [was]}
    assert published.outcome(before).bucket_found.reason == "B"
    assert published.outcome({**before, "observedGeneration": 2}).bucket_found.reason == "NoAnswer"
    word = CredentialState(status="True", code="Exchanged", bucket=BucketState.FORBIDDEN)
    published.rollout.channel.reported("pod-1", {"team-a/reports": word})
    assert published.outcome(before).bucket_found.reason == "ListForbidden"


async def test_a_route_that_was_ready_stays_so_until_it_is_edited() -> None:
    """A gateway pod that has just come has not asked the STS yet."""
    published = Published()
    await published.publish()
    assert not published.outcome(_ready(generation=3)).awaits_word
    assert published.outcome(_ready(generation=2)).awaits_word


async def test_sidecars_are_not_waited_for() -> None:
    published = Published(mode="Sidecar")
    await published.publish()
    assert not published.outcome({}).awaits_word


async def test_what_is_not_programmed_yet_is_said_after_a_moment() -> None:
    published = Published()
    await published.publish()
    assert published.settling_seconds() == SETTLED_AFTER_SECONDS
    published.clock.now += SETTLED_AFTER_SECONDS
    assert published.settling_seconds() == 0


async def test_a_generation_that_is_not_published_is_not_programmed() -> None:
    """A removal of many routes at once is held, and with it whatever was edited meanwhile."""
    published = Published()
    await published.publish()
    current = published.rollout.channel.current
    assert current is not None
    published.rollout.channel.acknowledged("pod-1", current.version, {})
    assert published.outcome({}).programmed.status == "True"
    outcome = published.outcome({}, generation=4)
    assert (outcome.programmed.reason, outcome.version) == ("Pending", "")
    # What was compiled last may be behind what is published.
    assert published.outcome({}, generation=2).programmed.status == "True"
