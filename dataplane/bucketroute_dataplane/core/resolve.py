"""Snapshot → look-up tables, and bucket name → route.

A `RouteIndex` is built once a snapshot and never changes; a request keeps the one it began with.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.identity import Identity, access_key_identity
from bucketroute_dataplane.core.names import MAX_KEY_BYTES, BucketNames, encode_key
from bucketroute_snapshot import (
    AddressingStyle,
    Backend,
    ClassSettings,
    NetworkScope,
    Route,
    Secret,
    Snapshot,
    SnapshotSecrets,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a backend's sockets go: one connection pool each."""

    host: str
    port: int
    is_tls: bool
    network_scope: NetworkScope
    ca_bundle: str | None
    connect_seconds: float | None
    # Every request looks one up: hashed once.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.host, self.port, self.is_tls)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTarget:
    """What is precomputed of a backend: the Host header and what stands before the key."""

    backend: Backend
    endpoint: Endpoint
    host: bytes
    base_path: bytes
    names: BucketNames

    def check_key(self, key: bytes) -> None:
        """Raises: S3Error KeyTooLongError where the key is too long behind the route's prefix."""
        prefix_bytes = len(self.names.prefix.encode())
        if prefix_bytes + len(key) > MAX_KEY_BYTES:
            raise s3_error(
                "KeyTooLongError",
                Size=str(len(key)),
                MaxSizeAllowed=str(MAX_KEY_BYTES - prefix_bytes),
            )

    def object_path(self, key: bytes) -> bytes:
        """The percent-encoded path of a client's key, as it is signed and sent."""
        return self.base_path + encode_key(self.names.prefix.encode() + key)

    @property
    def bucket_path(self) -> bytes:
        return self.base_path.rstrip(b"/") or b"/"


class Grant(NamedTuple):
    """A rule that grants an action to a caller, by its index, under these prefixes (None: all)."""

    rule: int
    prefixes: tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A route with its precomputed target; `target` is None for an unresolved route."""

    route: Route
    target: BackendTarget | None
    # What authorize() found for a caller and an action; lives and dies with the route as it is.
    grants: dict[tuple[Identity, str], tuple[Grant, ...]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @property
    def label(self) -> str:
        return f"{self.route.namespace}/{self.route.name}"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A caller's key and whom it stands for."""

    identity: Identity
    secret: Secret


class RouteIndex:
    """O(1) look-ups of buckets and access keys in one snapshot."""

    def __init__(self, snapshot: Snapshot, secrets: SnapshotSecrets) -> None:
        self.settings: ClassSettings = snapshot.settings
        self.entries: list[RouteEntry] = []
        self.domains: tuple[bytes, ...] = tuple(
            domain.encode().lower() for domain in snapshot.settings.domains
        )
        self._local: dict[tuple[str, str], RouteEntry] = {}
        self._exported: dict[str, RouteEntry] = {}
        self.access_keys: Mapping[str, AccessKey] = {
            key.access_key_id: AccessKey(
                access_key_identity(key.namespace, key.name), key.secret_access_key
            )
            for key in secrets.access_keys
        }
        for route in snapshot.routes:
            self._add(_entry(route))

    @classmethod
    def in_steps(
        cls, snapshot: Snapshot, secrets: SnapshotSecrets, former: RouteIndex | None
    ) -> Generator[None, None, Self]:
        """Builds one, and yields after each small step. What `former` has of a route that is still
        the same object is taken over."""
        index = cls(replace(snapshot, routes=()), secrets)
        for route in snapshot.routes:
            known = None if former is None else former._local.get((route.namespace, route.bucket))
            index._add(known if known is not None and known.route is route else _entry(route))
            yield
        return index

    def _add(self, entry: RouteEntry) -> None:
        route = entry.route
        self.entries.append(entry)
        self._local[route.namespace, route.bucket] = entry
        if route.exported:
            self._exported[route.bucket] = entry

    def find(self, bucket: str, identity: Identity) -> RouteEntry:
        """Raises: S3Error NoSuchBucket."""
        entry = self.lookup(bucket, identity)
        if entry is None:
            raise s3_error("NoSuchBucket", BucketName=bucket)
        return entry

    def lookup(self, bucket: str, identity: Identity) -> RouteEntry | None:
        """The caller's own namespace first, so that no foreign route can shadow its own."""
        return self._local.get((identity.namespace or "", bucket)) or self._exported.get(bucket)

    def visible(self, identity: Identity) -> Iterator[RouteEntry]:
        """Every route that this caller could name, whether or not it may use it."""
        for entry in self.entries:
            if self.lookup(entry.route.bucket, identity) is entry:
                yield entry


def _entry(route: Route) -> RouteEntry:
    return RouteEntry(route, _target(route) if route.backend is not None else None)


def _target(route: Route) -> BackendTarget:
    backend = route.backend
    assert backend is not None
    url = urlsplit(backend.endpoint)
    is_tls = url.scheme == "https"
    host = url.netloc.encode()
    path = b"/%s/" % backend.bucket.encode()
    if backend.addressing_style is AddressingStyle.VIRTUAL:
        host, path = backend.bucket.encode() + b"." + host, b"/"
    name = host.decode().rpartition(":")[0] if url.port is not None else host.decode()
    return BackendTarget(
        backend=backend,
        endpoint=Endpoint(
            host=name.strip("[]"),
            port=url.port or (443 if is_tls else 80),
            is_tls=is_tls,
            network_scope=backend.network_scope,
            ca_bundle=backend.ca_bundle,
            connect_seconds=route.timeouts.connect_seconds,
        ),
        host=host,
        base_path=path,
        names=BucketNames(
            virtual_bucket=route.bucket,
            backend_bucket=backend.bucket,
            prefix=backend.prefix,
            backend_host=url.netloc,
        ),
    )
