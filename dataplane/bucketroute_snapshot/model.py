"""What a data plane must know to serve one BucketRouteClass: frozen, comparable, no behaviour.

A `Snapshot` is everything but secrets; `SnapshotSecrets` travels beside it and outside its digest.
Field names here are the JSON names in camelCase (see codec.py). schema.py says how to add one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from bucketroute_snapshot.schema import since
from bucketroute_snapshot.secret import Secret


class AddressingStyle(Enum):
    """Where the backend bucket stands: in the path, or in front of the host name."""

    PATH = "Path"
    VIRTUAL = "Virtual"


class BackendProfile(Enum):
    """The checksum and chunk dialect that a backend speaks."""

    AWS = "AWS"
    MINIO = "MinIO"
    CEPH = "Ceph"
    R2 = "R2"
    GCS = "GCS"
    GENERIC = "Generic"


class NetworkScope(Enum):
    """The widest kind of address that a backend's name may resolve to (checked at connect time).

    Each includes the ones before it. Link-local and metadata addresses are never allowed.
    """

    PUBLIC = "Public"
    PRIVATE = "Private"
    LOOPBACK = "Loopback"


class RouteState(Enum):
    """Whether a route is served. All but ACTIVE keep the name and answer 503."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    UNRESOLVED = "Unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentityAuth:
    """Credentials from AssumeRoleWithWebIdentity with the data plane's projected token.

    `sts_endpoint` is an absolute URL. `session_policy` is an inline IAM policy (JSON text, at most
    2,048 characters) that narrows the role to the route, or None where the class turned it off.
    """

    kind: ClassVar[str] = "WebIdentity"
    role_arn: str
    sts_endpoint: str
    session_name: str
    audience: str
    duration_seconds: int = 3600
    session_policy: str | None = None
    sts_ca_bundle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAuth:
    """A long-lived key pair in a Secret; the values are in `SnapshotSecrets.static`."""

    kind: ClassVar[str] = "Static"
    namespace: str
    secret_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedAuth:
    """Requests go out without a signature (public buckets)."""

    kind: ClassVar[str] = "Unsigned"


BackendAuth = WebIdentityAuth | StaticAuth | UnsignedAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a route's objects are.

    `endpoint` is `http(s)://host[:port]` with no path. `prefix` is empty or ends in `/`.
    `ca_bundle` names an entry of `ClassSettings.ca_bundles`; None means the system's roots.
    """

    endpoint: str
    bucket: str
    region: str
    auth: BackendAuth
    prefix: str = ""
    addressing_style: AddressingStyle = AddressingStyle.PATH
    profile: BackendProfile = BackendProfile.GENERIC
    network_scope: NetworkScope = NetworkScope.PUBLIC
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountSubject:
    """One service account, or with name `*` every one of the namespace."""

    kind: ClassVar[str] = "ServiceAccount"
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSubject:
    """Every service account of a namespace."""

    kind: ClassVar[str] = "Namespace"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeySubject:
    """The holder of the access key in a Secret of type bucketroute.io/access-key."""

    kind: ClassVar[str] = "AccessKey"
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OIDCSubject:
    """A subject (glob: `*` matches any run) of an external issuer listed in the class."""

    kind: ClassVar[str] = "OIDC"
    issuer: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnonymousSubject:
    """Anybody, with no credential."""

    kind: ClassVar[str] = "Anonymous"


Subject = (
    ServiceAccountSubject | NamespaceSubject | AccessKeySubject | OIDCSubject | AnonymousSubject
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Any of `subjects` may do all of `actions` (`s3:GetObject` …) under any of `prefixes`.

    No prefixes means every key. Prefixes may hold `${namespace}`, `${serviceAccount}` and
    `${subject}`, expanded once with the caller's values.
    """

    subjects: tuple[Subject, ...]
    actions: tuple[str, ...]
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CORSRule:
    """One rule of S3's CORS shape; `*` in origins and headers matches any run."""

    allowed_origins: tuple[str, ...]
    allowed_methods: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one route in one data-plane process; None means no bound."""

    max_concurrent_requests: int | None = None
    max_object_size_bytes: int | None = None
    requests_per_second: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines towards the backend; None means the data plane's default."""

    connect_seconds: float | None = None
    idle_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One virtual bucket.

    `bucket` is the name that clients use. A route that is not `exported` lost the class-wide name
    to another and serves callers of its own namespace only. `backend` is None exactly when the
    state is UNRESOLVED. `created_at` is RFC 3339 (ListBuckets shows it).
    """

    namespace: str
    name: str
    bucket: str
    uid: str
    generation: int
    created_at: str
    state: RouteState
    exported: bool
    backend: Backend | None
    access: tuple[AccessRule, ...] = ()
    cors: tuple[CORSRule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIssuer:
    """An external OIDC issuer whose tokens callers may log in with."""

    issuer: str
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CABundle:
    """PEM certificates under a name that backends refer to."""

    name: str
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSettings:
    """The class-wide part of a snapshot.

    `domains` are the suffixes of virtual-hosted-style requests. `cluster_issuer` and `cluster_jwks`
    (a JWK Set as JSON text) let the data plane check service-account tokens without the API server.
    `signature_diagnostics` has the answer to a wrong signature say what differs, for debugging.
    """

    name: str
    region: str
    client_audience: str = "bucketroute"
    domains: tuple[str, ...] = ()
    client_issuers: tuple[ClientIssuer, ...] = ()
    cluster_issuer: str | None = None
    cluster_jwks: str | None = None
    ca_bundles: tuple[CABundle, ...] = ()
    signature_diagnostics: bool = field(default=False, metadata=since(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one class's data plane serves; routes are sorted by (namespace, name)."""

    settings: ClassSettings
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSecret:
    """Backend credentials of one Secret."""

    namespace: str
    name: str
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeySecret:
    """A caller's access key, from one Secret of type bucketroute.io/access-key."""

    namespace: str
    name: str
    access_key_id: str
    secret_access_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSecrets:
    """Secret values that a snapshot's routes refer to.

    `sealing_keys` are base64 of 32 bytes each, newest first: they seal list tokens and sessions.
    """

    static: tuple[StaticSecret, ...] = ()
    access_keys: tuple[AccessKeySecret, ...] = ()
    sealing_keys: tuple[Secret, ...] = ()
