"""Asks the backend of each route that is new or changed for its bucket, before a client does.

A gateway only. The operator hears of it with the credentials; nothing here decides about requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, count
from typing import TYPE_CHECKING

from bucketroute_dataplane.core.bucket_check import bucket_state, compose_bucket_check
from bucketroute_dataplane.core.forward import sign
from bucketroute_dataplane.core.messages import Header, UpstreamRequest
from bucketroute_dataplane.core.resolve import BackendTarget, RouteEntry
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport, key_of
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_snapshot import Backend, Route, RouteState, WebIdentityAuth
from bucketroute_snapshot.update import BucketState

if TYPE_CHECKING:  # it has these
    from bucketroute_dataplane.shell.services import Services

CHECKS_AT_ONCE = 8
# After each: a gateway that starts with thousands of routes has requests to serve.
PAUSE_SECONDS = 0.1
# So long, too, nothing is said of a route whose credentials have just come.
CHECK_SECONDS = 5.0
# A bucket that is missing may be made. A backend that gives no answer is asked ever less often.
AGAIN_AFTER_SECONDS = 30.0
AGAIN_AT_LAST_SECONDS = 480.0
# A listing of one key, and any error, is far shorter.
MAX_ANSWER_BYTES = 16 * 1024

Ask = Callable[[BackendTarget], Awaitable[BucketState]]

log = logging.getLogger("bucketroute.dataplane")


@dataclass(slots=True, eq=False)
class _Check:
    """`key` is None where no role is assumed; `begun_at`, until there are credentials."""

    route: Route
    target: BackendTarget
    key: CredentialKey | None
    pause_seconds: float
    begun_at: float | None = None
    state: BucketState = BucketState.UNKNOWN
    is_answered: bool = False


class BucketChecks:
    """Implements `CredentialObserver`: exchanges have a pace of their own, which no check hurries.

    `ask` raises what a request to a backend may. `on_news` is called when there is something else
    to say of a route than before.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        has_credentials: Callable[[Backend], bool],
        prefetch: Callable[[CredentialKey], None],
        clock: Callable[[], float],
        again_after_seconds: float = AGAIN_AFTER_SECONDS,
    ) -> None:
        self.on_news: Callable[[], None] = lambda: None
        self._ask = ask
        self._has_credentials = has_credentials
        self._prefetch = prefetch
        self._clock = clock
        self._again_after_seconds = again_after_seconds
        self._checks: dict[str, _Check] = {}  # by the UID of the route
        self._waiting: dict[CredentialKey, set[_Check]] = {}
        # Those that have never been answered come first.
        self._due: asyncio.PriorityQueue[tuple[bool, int, _Check]] = asyncio.PriorityQueue()
        self._serials = count()

    def prepare(
        self, entries: Iterable[RouteEntry]
    ) -> Generator[None, None, Callable[[], Iterable[None]]]:
        """Makes ready to check these routes, yielding after each. What it returns takes them up,
        and its steps begin the checks. A route whose backend is the same is not checked anew."""
        checks: dict[str, _Check] = {}
        new: list[_Check] = []
        for entry in entries:
            target, route = entry.target, entry.route
            if target is not None and route.state is RouteState.ACTIVE:
                check = known = self._checks.get(route.uid)
                if check is None or not _is_same(check.target.backend, target.backend):
                    check = self._new_check(route, target, known)
                    new.append(check)
                check.route = route
                checks[route.uid] = check
            yield
        gone = []
        for known in self._checks.values():
            if checks.get(known.route.uid) is not known:
                gone.append(known)
            yield

        def commit() -> Iterable[None]:
            self._checks = checks
            return chain(map(self._forget, gone), map(self._begin_or_wait, new))

        return commit

    def state_of(self, uid: str) -> BucketState | None:
        """None while the first answer is about to come."""
        check = self._checks.get(uid)
        if check is None:
            return BucketState.UNKNOWN
        begun_at = None if check.is_answered else check.begun_at
        if begun_at is not None and self._clock() - begun_at < CHECK_SECONDS:
            return None
        return check.state

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CHECKS_AT_ONCE):
                group.create_task(self._work())

    def exchanged(self, report: ExchangeReport) -> None:
        if report.expires_at is not None:
            for check in self._waiting.pop(report.key, ()):
                self._begin(check)

    def waited(self, key: CredentialKey, *, seconds: float, served: bool) -> None:
        """Of no concern."""

    def dropped(self, key: CredentialKey) -> None:
        """Of no concern: what was answered stays true."""

    def _new_check(self, route: Route, target: BackendTarget, known: _Check | None) -> _Check:
        """What was known goes on to hold if it was not the route that was edited: a change of its
        class or BucketBackend may concern thousands."""
        backend, key = target.backend, None
        if isinstance(backend.auth, WebIdentityAuth):
            key = key_of(backend, backend.auth)
        check = _Check(route, target, key, self._again_after_seconds)
        if known is not None and known.route.generation == route.generation:
            check.state, check.is_answered = known.state, known.is_answered
        if key is None or self._has_credentials(backend):
            check.begun_at = self._clock()
        return check

    def _begin_or_wait(self, check: _Check) -> None:
        if check.key is None or self._has_credentials(check.target.backend):
            self._begin(check)
        else:
            self._waiting.setdefault(check.key, set()).add(check)
            self._prefetch(check.key)

    def _begin(self, check: _Check) -> None:
        check.begun_at = self._clock()
        self._enqueue(check)
        loop = asyncio.get_running_loop()
        loop.call_later(CHECK_SECONDS + PAUSE_SECONDS, self._lose_patience, check)

    def _enqueue(self, check: _Check) -> None:
        self._due.put_nowait((check.is_answered, next(self._serials), check))

    def _lose_patience(self, check: _Check) -> None:
        """From now on it is said that there is no answer yet."""
        if not check.is_answered and self._is_wanted(check):
            self.on_news()

    def _forget(self, check: _Check) -> None:
        if check.key is not None and (waiting := self._waiting.get(check.key)):
            waiting.discard(check)
            if not waiting:
                del self._waiting[check.key]

    def _is_wanted(self, check: _Check) -> bool:
        """Whether its route is there as it was."""
        return self._checks.get(check.route.uid) is check

    async def _work(self) -> None:
        while True:
            _, _, check = await self._due.get()
            if self._is_wanted(check):
                self._take(check, await self._answer(check.target))
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, check: _Check, state: BucketState) -> None:
        # Who gives no answer once takes nothing back of what was seen.
        seen = check.state if state is BucketState.UNKNOWN else state
        is_news = not check.is_answered or seen is not check.state
        check.state, check.is_answered = seen, True
        if is_news:
            self.on_news()
        pause_seconds = self._again_after_seconds
        if state is BucketState.UNKNOWN:
            pause_seconds = check.pause_seconds
            check.pause_seconds = min(2 * pause_seconds, AGAIN_AT_LAST_SECONDS)
        if state in (BucketState.NOT_FOUND, BucketState.UNKNOWN):
            asyncio.get_running_loop().call_later(pause_seconds, self._enqueue, check)

    async def _answer(self, target: BackendTarget) -> BucketState:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._ask(target)
        except (TimeoutError, BackendError):
            return BucketState.UNKNOWN
        except Exception:
            # Whatever is wrong with one backend, the others' buckets are still to be looked for.
            log.exception("a bucket could not be looked for")
            return BucketState.UNKNOWN


def _is_same(one: Backend, other: Backend) -> bool:
    return one is other or one == other


async def ask_for_bucket(services: Services, target: BackendTarget) -> BucketState:
    """Raises: BackendError."""
    credentials = services.credentials.peek(target.backend)
    if credentials is None:
        return BucketState.UNKNOWN
    request = sign(
        target,
        compose_bucket_check(target),
        credentials=credentials,
        amz_date=services.amz_date(),
        keys=services.outbound_keys,
    )
    kept = services.pools.take(target.endpoint)
    try:
        answer = await _exchange(kept or await services.pools.dial(target.endpoint), request)
    except BackendError as exc:
        if not exc.is_stale:
            raise
        answer = await _exchange(await services.pools.dial(target.endpoint), request)
    return bucket_state(answer.status, bytes(answer.body), target)


async def _exchange(connection: UpstreamConnection, request: UpstreamRequest) -> _Answer:
    answer = _Answer()
    connection.start(
        request, b"", answer, first_byte_seconds=CHECK_SECONDS, idle_seconds=CHECK_SECONDS
    )
    try:
        await answer.ended
    except asyncio.CancelledError:
        if answer.ended.cancelled():  # else the connection may serve somebody else already
            connection.abort()
        raise
    return answer


class _Answer:
    """Implements ResponseSink: keeps a short answer."""

    def __init__(self) -> None:
        self.status: int = HTTPStatus.BAD_GATEWAY
        self.body = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None:
        self.status = status

    def on_response_body(self, data: bytes) -> None:
        self.body += data[: MAX_ANSWER_BYTES - len(self.body)]

    def on_response_end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def on_backend_error(self, error: BackendError) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)

    def on_backend_writable(self) -> None:
        """Nothing waits to be written."""
