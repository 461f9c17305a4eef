"""Asks the backend of each route that is new or changed for its bucket, before a client does.

A gateway only. The operator hears of it with the credentials; nothing here decides about requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING

from bucketroute_dataplane.core.bucket_check import bucket_state, compose_bucket_check
from bucketroute_dataplane.core.forward import sign
from bucketroute_dataplane.core.messages import Header, UpstreamRequest
from bucketroute_dataplane.core.resolve import BackendTarget, RouteEntry
from bucketroute_dataplane.shell.credential_events import CredentialKey, ExchangeReport, key_of
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_snapshot import Backend, RouteState, WebIdentityAuth
from bucketroute_snapshot.update import BucketState

if TYPE_CHECKING:  # it has these
    from bucketroute_dataplane.shell.services import Services

CHECKS_AT_ONCE = 8
# After each: a gateway that starts with thousands of routes has requests to serve.
PAUSE_SECONDS = 0.1
# So long, too, nothing is said of a route whose credentials have just come.
CHECK_SECONDS = 5.0
# A bucket that is missing may be made; one that was found is not asked for again.
AGAIN_AFTER_SECONDS = 30.0
# A listing of one key, and any error, is far shorter.
MAX_ANSWER_BYTES = 16 * 1024

Ask = Callable[[BackendTarget], Awaitable[BucketState]]


@dataclass(slots=True, eq=False)
class _Check:
    """`begun_at` is None until there are credentials to ask with."""

    target: BackendTarget
    begun_at: float | None = None
    state: BucketState = BucketState.UNKNOWN
    is_answered: bool = False


class BucketChecks:
    """Implements `CredentialObserver`: exchanges have a pace of their own, which no check hurries.

    `ask` raises what a request to a backend may. `on_news` is called when there is an answer that
    is another than before.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        has_credentials: Callable[[Backend], bool],
        clock: Callable[[], float],
        again_after_seconds: float = AGAIN_AFTER_SECONDS,
    ) -> None:
        self.on_news: Callable[[], None] = lambda: None
        self._ask = ask
        self._has_credentials = has_credentials
        self._clock = clock
        self._again_after_seconds = again_after_seconds
        # By the id of the backend, which its target keeps alive. A route that did not change has
        # the same one in the next snapshot.
        self._checks: dict[int, _Check] = {}
        self._waiting: dict[CredentialKey, list[_Check]] = {}
        self._due: asyncio.Queue[_Check] = asyncio.Queue()

    def prepare(self, entries: Iterable[RouteEntry]) -> Generator[None, None, Callable[[], None]]:
        """Makes ready to check these routes, yielding after each; what it returns begins."""
        checks: dict[int, _Check] = {}
        new: list[_Check] = []
        for entry in entries:
            target = entry.target
            if target is not None and entry.route.state is RouteState.ACTIVE:
                check = self._checks.get(id(target.backend))
                if check is None:
                    check = _Check(target)
                    new.append(check)
                checks[id(target.backend)] = check
            yield

        def commit() -> None:
            self._checks = checks
            former, self._waiting = self._waiting, {}
            for check in chain(new, *former.values()):
                if self._is_wanted(check):
                    self._begin_or_wait(check)

        return commit

    def state_of(self, backend: Backend) -> BucketState | None:
        """None while the first answer is about to come."""
        check = self._checks.get(id(backend))
        if check is None or check.begun_at is None:
            return BucketState.UNKNOWN
        if not check.is_answered and self._clock() - check.begun_at < CHECK_SECONDS:
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

    def _begin_or_wait(self, check: _Check) -> None:
        backend = check.target.backend
        if isinstance(backend.auth, WebIdentityAuth) and not self._has_credentials(backend):
            self._waiting.setdefault(key_of(backend, backend.auth), []).append(check)
        else:
            self._begin(check)

    def _begin(self, check: _Check) -> None:
        check.begun_at = self._clock()
        self._due.put_nowait(check)

    def _is_wanted(self, check: _Check) -> bool:
        """Whether its route is there as it was."""
        return self._checks.get(id(check.target.backend)) is check

    async def _work(self) -> None:
        while True:
            check = await self._due.get()
            if self._is_wanted(check):
                self._take(check, await self._answer(check.target))
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self, check: _Check, state: BucketState) -> None:
        is_news = not check.is_answered or state is not check.state
        check.state, check.is_answered = state, True
        if is_news:
            self.on_news()
        if state in (BucketState.NOT_FOUND, BucketState.UNKNOWN):
            loop = asyncio.get_running_loop()
            loop.call_later(self._again_after_seconds, self._due.put_nowait, check)

    async def _answer(self, target: BackendTarget) -> BucketState:
        with suppress(TimeoutError, BackendError):
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._ask(target)
        return BucketState.UNKNOWN


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
