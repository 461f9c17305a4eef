"""Backend → what its requests are signed with, whichever of the three kinds it uses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import assert_never

from bucketroute_dataplane.core.backend_credentials import UNSIGNED, Credentials, Unsigned
from bucketroute_dataplane.core.errors import BackendUnavailableError, s3_error
from bucketroute_dataplane.shell.bucket_checks import BucketChecks
from bucketroute_dataplane.shell.credential_events import CredentialKey, key_of
from bucketroute_dataplane.shell.credential_health import (
    NOT_NEEDED,
    NOT_TRIED,
    SECRET_MISSING,
    CredentialHealth,
    KeyHealth,
)
from bucketroute_dataplane.shell.credentials import CredentialCache
from bucketroute_snapshot import (
    Backend,
    Route,
    RouteState,
    SnapshotSecrets,
    StaticAuth,
    UnsignedAuth,
    WebIdentityAuth,
)
from bucketroute_snapshot.update import BucketState

# How long the operator takes to hand out secrets after a data plane has come up without it.
SECRET_RETRY_AFTER_SECONDS = 5
NO_SECRETS_MESSAGE = (
    "The backend of this bucket takes the keys of a Secret, which no sidecar is given."
    " Use the gateway for it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHealth:
    """One entry of the report to the operator: `namespace/name`, and which of that name, as it was
    when; True/False/Unknown of its credentials, and why; what is known of its backend's bucket."""

    route: str
    uid: str
    generation: int
    state: str
    code: str
    at: float | None
    bucket: str = BucketState.UNKNOWN.value


class BackendCredentials:
    """The one place that requests ask for credentials.

    `health` must be an observer of `cache`; `buckets` is None where nobody asks for them. Nothing
    here ever stands for "not yet": a backend is unsigned only where its auth says so. A sidecar is
    never sent any Secret.
    """

    def __init__(
        self,
        *,
        cache: CredentialCache,
        health: CredentialHealth,
        buckets: BucketChecks | None = None,
        is_sidecar: bool = False,
    ) -> None:
        self._cache = cache
        self._health = health
        self._buckets = buckets
        self._is_sidecar = is_sidecar
        self._static: Mapping[tuple[str, str], Credentials] = {}
        self._routes: Sequence[Route] = ()
        self._versions: Set[tuple[str, int, RouteState]] = frozenset()
        self._used: Set[CredentialKey] = frozenset()
        # By the id of each backend in `_routes`, which keeps it alive: so an id in here is no
        # other object's. A request that began with an older snapshot makes its key itself.
        self._keys: Mapping[int, CredentialKey] = {}

    def peek(self, backend: Backend) -> Credentials | Unsigned | None:
        """What can be used without a wait; None means that `get` must be awaited."""
        auth = backend.auth
        match auth:
            case WebIdentityAuth():
                return self._cache.peek(self._keys.get(id(backend)) or key_of(backend, auth))
            case StaticAuth():
                return self._static.get((auth.namespace, auth.secret_name))
            case UnsignedAuth():
                return UNSIGNED
            case _:
                assert_never(auth)

    async def get(self, backend: Backend) -> Credentials | Unsigned:
        """What can be used, after an exchange where it takes one.

        Raises: S3Error as `CredentialCache.get`; BackendUnavailableError ServiceUnavailable if the
        Secret of static credentials is not here yet, S3Error if it never comes.
        """
        known = self.peek(backend)
        if known is not None:
            return known
        auth = backend.auth
        if isinstance(auth, WebIdentityAuth):
            return await self._cache.get(key_of(backend, auth))
        assert isinstance(auth, StaticAuth)
        if self._is_sidecar:
            raise s3_error("ServiceUnavailable", NO_SECRETS_MESSAGE)
        raise BackendUnavailableError(
            "ServiceUnavailable",
            f"the Secret {auth.namespace}/{auth.secret_name} is not known",
            retry_after_seconds=SECRET_RETRY_AFTER_SECONDS,
        )

    def update_secrets(self, secrets: SnapshotSecrets) -> None:
        """Use these static credentials from now on, and no others."""
        self._static = {
            (secret.namespace, secret.name): Credentials(
                access_key_id=secret.access_key_id,
                secret_access_key=secret.secret_access_key,
                session_token=secret.session_token,
            )
            for secret in secrets.static
        }

    def prepare_routes(
        self, routes: Sequence[Route], *, prefetch: bool
    ) -> Generator[None, None, Callable[[], Iterable[None]]]:
        """Makes ready to serve these routes, yielding after each small step.

        What it returns takes them up: credentials that none of them uses are forgotten. With
        `prefetch` each route that is new or changed, or has a new role, is exchanged for once, in
        the background, so that its health is known before its first request; the steps of that
        come back.
        """
        keys: dict[int, CredentialKey] = {}
        used, versions, changed = set(), set(), []
        for route in routes:
            backend, version = route.backend, (route.uid, route.generation, route.state)
            versions.add(version)
            if backend is not None and isinstance(backend.auth, WebIdentityAuth):
                known = self._keys.get(id(backend))
                keys[id(backend)] = key = known or key_of(backend, backend.auth)
                used.add(key)
                # What a route refers to may change without the route.
                if prefetch and (version not in self._versions or key not in self._used):
                    changed.append(route)
            yield

        def commit() -> Iterable[None]:
            self._routes, self._keys = routes, keys
            self._versions, self._used = versions, used
            self._cache.retain(used)
            self._health.retain(used)
            return map(self._prefetch, changed)

        return commit

    def health(self) -> Iterator[RouteHealth]:
        """How things stand for every route that has a backend, in the order of the routes. One
        whose bucket is being asked for counts as not tried, so that all is told of it at once."""
        for route in self._routes:
            if route.backend is None:
                continue
            bucket: BucketState | None = BucketState.UNKNOWN
            if self._buckets is not None:
                bucket = self._buckets.state_of(route.uid)
            health = NOT_TRIED if bucket is None else self._backend_health(route.backend)
            yield RouteHealth(
                route=f"{route.namespace}/{route.name}",
                uid=route.uid,
                generation=route.generation,
                state=health.state.value,
                code=health.code,
                at=health.at,
                bucket=(bucket or BucketState.UNKNOWN).value,
            )

    async def close(self) -> None:
        """End the cache's tasks."""
        await self._cache.close()

    def _prefetch(self, route: Route) -> None:
        key = self._keys.get(id(route.backend))
        if route.state is RouteState.ACTIVE and key is not None:
            self._cache.prefetch(key)

    def _backend_health(self, backend: Backend) -> KeyHealth:
        if isinstance(backend.auth, WebIdentityAuth):
            return self._health.of(self._keys.get(id(backend)) or key_of(backend, backend.auth))
        return NOT_NEEDED if self.peek(backend) is not None else SECRET_MISSING
