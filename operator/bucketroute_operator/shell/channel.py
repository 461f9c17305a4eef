"""One class's side of the config channel in memory: what is published, who waits, who said what.

`config_server.py` speaks HTTP; the reconciler publishes here and reads the pods' words.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

from bucketroute_operator.core.delta import Rendering, RouteKey, changed_keys
from bucketroute_operator.core.resources import ServiceAccountRef
from bucketroute_operator.core.rollout import CredentialState, PodState
from bucketroute_operator.core.route_words import PublishedRoute, published_routes
from bucketroute_operator.shell.callers import Caller
from bucketroute_operator.shell.parts import Parts
from bucketroute_operator.shell.publication import Answer, Publication
from bucketroute_snapshot import SnapshotSecrets
from bucketroute_snapshot.update import ConfigVersion

DELTA_VERSIONS = 64
# Above so many pods the answers to one publication are spread out, to spare the network.
JITTERED_ABOVE = 50
JITTER_SECONDS = 0.5
# A pod polls again at once; one that has not for so long has lost the operator, or is gone.
SILENT_AFTER_SECONDS = 15.0
# What a pod said is forgotten once it has been silent for many polls.
FORGOTTEN_AFTER_SECONDS = 600.0


@dataclass(slots=True, kw_only=True)
class _Pod:
    state: PodState = field(default_factory=PodState)
    heard_at: float = 0.0
    poll: asyncio.Event | None = None


class ClassChannel:
    """`on_word` is called whenever a gateway pod has said something new. `routes` are those that
    are published, by `namespace/name`."""

    def __init__(
        self,
        name: str,
        *,
        on_word: Callable[[], None],
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.gateway: ServiceAccountRef | None = None
        self.current: Publication | None = None
        # Else nobody is answered: who the gateway is, is not known before the class is.
        self.is_open = True
        self.sidecar_heard_at: float | None = None
        self._on_word = on_word
        self._clock = clock
        self._jitter = jitter
        self._steps: deque[tuple[ConfigVersion, frozenset[RouteKey]]] = deque(maxlen=DELTA_VERSIONS)
        self._published = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self._is_released = False
        self._pods: dict[str, _Pod] = {}
        self.routes: Mapping[str, PublishedRoute] = {}
        self._began = clock()
        self._heard: tuple[bool, frozenset[str]] = (False, frozenset())
        self._parts = Parts()
        self.required_epoch = 0

    def restore(self, version: ConfigVersion, rendering: Rendering) -> None:
        """Begins with what a former leader published, so that its pods need a delta only. It opens
        once this one has found the class to be valid."""
        self.is_open = False
        self._parts.published(rendering, ())
        self.routes = published_routes({}, (), rendering.snapshot)
        self.current = Publication(
            version=version, rendering=rendering, secrets=None, published_at=self._clock()
        )

    def publish(
        self, version: ConfigVersion, rendering: Rendering, secrets: SnapshotSecrets
    ) -> frozenset[RouteKey]:
        """Answers everybody who waits. Returns the routes that changed."""
        previous = self.current
        changed = changed_keys(None if previous is None else previous.rendering, rendering)
        if previous is not None:
            self._steps.append((previous.version, changed))
        self._parts.published(rendering, changed)
        self.current = Publication(
            version=version, rendering=rendering, secrets=secrets, published_at=self._clock()
        )
        self.routes = published_routes(self.routes, changed, rendering.snapshot)
        self._drop_words({"/".join(key) for key in changed})
        self._published.set()
        self._published = asyncio.Event()
        return changed

    def release(self) -> None:
        """Ends all waiting with nothing, now and later: everybody looks for another replica."""
        self._is_released = True
        for superseded in self._waiting:
            superseded.set()

    def is_gateway(self, caller: Caller) -> bool:
        gateway = self.gateway
        return gateway is not None and (caller.namespace, caller.service_account) == (
            gateway.namespace,
            gateway.name,
        )

    async def newer(
        self, caller: Caller, known: ConfigVersion | None, digest: str, wait_seconds: float
    ) -> Answer | None:
        """What the caller lacks, once there is something; None if nothing came in time."""
        deadline = self._clock() + wait_seconds
        with self._polling(caller) as superseded:
            while not superseded.is_set():
                published = self._published
                answer = await self._answer(caller, known, digest)
                left = deadline - self._clock()
                if answer is not None or left <= 0:
                    return answer
                await self._park(published, superseded, left, self._crowd(caller))
        return None

    def full(self) -> Answer:
        """Everything that is published, for a gateway."""
        assert self.current is not None
        return self.current.full()

    async def _answer(
        self, caller: Caller, known: ConfigVersion | None, digest: str
    ) -> Answer | None:
        """What the caller lacks now, or None. `digest` is that of what it has."""
        current = self.current
        if current is None:
            return None
        is_gateway = self.is_gateway(caller)
        if known is not None and known > current.version:
            self._saw_future(known, is_gateway=is_gateway)
            return None
        if is_gateway:
            # What was restored has no secrets: a pod must not take it for everything.
            if known == current.version or current.secrets is None:
                return None
            return self._for_gateway(current, known)
        return await self._parts.answer(current, caller, "" if known is None else digest)

    def polled(self, caller: Caller, pod_uid: str, known: ConfigVersion | None) -> None:
        """A pod that names a version runs it: as good as an acknowledgement."""
        if not self.is_gateway(caller):
            self.sidecar_heard_at = self._clock()
            return
        pod = self._pod(pod_uid)
        if known is not None and (pod.state.applied is None or known > pod.state.applied):
            pod.state = replace(pod.state, applied=known)
            self._on_word()

    def acknowledged(
        self, pod_uid: str, version: ConfigVersion, rejected_routes: Mapping[str, str]
    ) -> None:
        pod = self._pod(pod_uid)
        if pod.state.applied is None or version >= pod.state.applied:
            pod.state = replace(
                pod.state, applied=version, rejected=None, rejected_routes=rejected_routes
            )
        self._on_word()

    def refused(self, pod_uid: str, version: ConfigVersion) -> None:
        pod = self._pod(pod_uid)
        pod.state = replace(pod.state, rejected=version)
        self._on_word()

    def reported(self, pod_uid: str, credentials: Mapping[str, CredentialState]) -> None:
        """Later words on a route replace earlier ones. Those on a route that is not published, or
        was another when it was tried, do not count."""
        pod = self._pod(pod_uid)
        counting = {name: said for name, said in credentials.items() if self._counts(name, said)}
        pod.state = replace(pod.state, credentials={**pod.state.credentials, **counting})
        self._on_word()

    def _counts(self, route: str, said: CredentialState) -> bool:
        published = self.routes.get(route)
        return published is not None and published.counts(said.about)

    def _drop_words(self, routes: Set[str]) -> None:
        """Of these routes, what was said before they were as they are published now."""
        for pod in self._pods.values():
            said = pod.state.credentials
            gone = {name for name in said.keys() & routes if not self._counts(name, said[name])}
            if gone:
                kept = {name: word for name, word in said.items() if name not in gone}
                pod.state = replace(pod.state, credentials=kept)

    def state_of(self, pod_uid: str) -> PodState | None:
        """None if the pod has not been heard."""
        pod = self._pods.get(pod_uid)
        return None if pod is None else pod.state

    def states(self) -> Iterable[PodState]:
        return [pod.state for pod in self._pods.values()]

    def connected_count(self) -> int:
        return sum(pod.poll is not None for pod in self._pods.values())

    def is_connected(self, pod_uid: str) -> bool:
        """Whether the pod polls, or may be about to: a new leader gives all of them a moment."""
        pod = self._pods.get(pod_uid)
        if pod is not None and pod.poll is not None:
            return True
        heard_at = self._began if pod is None else pod.heard_at
        return self._clock() - heard_at <= SILENT_AFTER_SECONDS

    def note_silence(self) -> None:
        """To be called every second: a pod that falls silent says so by no word."""
        is_new = self._clock() - self._began <= SILENT_AFTER_SECONDS
        heard = is_new, frozenset(filter(self.is_connected, self._pods))
        if heard != self._heard:
            self._heard = heard
            self._on_word()

    def forget_silent_pods(self) -> None:
        oldest = self._clock() - FORGOTTEN_AFTER_SECONDS
        self._pods = {
            uid: pod
            for uid, pod in self._pods.items()
            if pod.poll is not None or pod.heard_at > oldest
        }

    def _pod(self, uid: str) -> _Pod:
        pod = self._pods.setdefault(uid, _Pod())
        pod.heard_at = self._clock()
        return pod

    @contextmanager
    def _polling(self, caller: Caller) -> Iterator[asyncio.Event]:
        """One poll a gateway pod: a newer one ends the older, whose connection is dead by then."""
        superseded = asyncio.Event()
        if self._is_released:
            superseded.set()
        pod = self._pod(caller.pod_uid or "") if self.is_gateway(caller) else None
        if pod is not None:
            if pod.poll is not None:
                pod.poll.set()
            pod.poll = superseded
        self._waiting.add(superseded)
        try:
            yield superseded
        finally:
            self._waiting.remove(superseded)
            if pod is not None and pod.poll is superseded:
                pod.poll = None
                pod.heard_at = self._clock()

    def _crowd(self, caller: Caller) -> int:
        """Of whom it waits among. Gateways do not wait for sidecars, nor does any route."""
        return self.connected_count() if self.is_gateway(caller) else len(self._waiting)

    async def _park(
        self, published: asyncio.Event, superseded: asyncio.Event, seconds: float, crowd: int
    ) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (published, superseded)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if crowd > JITTERED_ABOVE and published.is_set():
            await asyncio.sleep(self._jitter() * JITTER_SECONDS)

    def _saw_future(self, known: ConfigVersion, *, is_gateway: bool) -> None:
        """The pointer was lost (a restore, say) and our epochs began anew: go beyond the pods'."""
        if is_gateway and known.epoch > self.required_epoch:
            self.required_epoch = known.epoch
            self._on_word()

    def _for_gateway(self, current: Publication, known: ConfigVersion | None) -> Answer:
        changed = None if known is None else self._changed_since(known)
        if known is None or changed is None:
            return current.full()
        return current.delta(known, changed)

    def _changed_since(self, known: ConfigVersion) -> set[RouteKey] | None:
        """None if that version is too long ago, or none of ours."""
        changed: set[RouteKey] = set()
        for version, keys in reversed(self._steps):
            changed |= keys
            if version == known:
                return changed
        return None
