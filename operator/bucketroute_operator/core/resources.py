"""The objects that the compiler reads, as frozen values; the parsers make them from manifests.

An object that could be named but not understood has `spec` None and its `problems` say why, so
that a broken object keeps its name and stops no other. `draft` is the spec all the same, with
stand-ins for what could not be read: findings come of it, and nothing that is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bucketroute_operator.core.findings import FieldProblem, ObjectRef
from bucketroute_operator.core.permissions import Action, Permission
from bucketroute_operator.core.selectors import LabelSelector
from bucketroute_snapshot import (
    AddressingStyle,
    BackendProfile,
    ClientIssuer,
    CORSRule,
    Limits,
    NetworkScope,
    Secret,
    Subject,
    Timeouts,
)

API_VERSION = "bucketroute.io/v1alpha1"
CONTROLLER_NAME = "bucketroute.io/operator"
ACCESS_KEY_SECRET_TYPE = "bucketroute.io/access-key"  # noqa: S105  # a type, not a password
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Identity of an object. `created_at` is RFC 3339; manifests that have none share one."""

    ref: ObjectRef
    uid: str
    generation: int
    created_at: str

    @property
    def namespace(self) -> str:
        return self.ref.namespace

    @property
    def name(self) -> str:
        return self.ref.name


class DesiredState(Enum):
    """What the team wants of its route."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"


class Signing(Enum):
    """How requests to an inline backend are signed."""

    SIGV4 = "SigV4"
    UNSIGNED = "Unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRef:
    """A BucketBackend by name; no namespace means the route's own."""

    name: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteBackend:
    """`spec.backend` of a route: a reference, or an endpoint and identity inline."""

    bucket: str
    prefix: str = ""
    ref: BackendRef | None = None
    endpoint: str | None = None
    region: str | None = None
    role_arn: str | None = None
    signing: Signing | None = None
    profile: BackendProfile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRuleSpec:
    """One item of `spec.access`; its first `shorthand_count` subjects are `serviceAccounts`."""

    subjects: tuple[Subject, ...]
    shorthand_count: int = 0
    permissions: tuple[Permission, ...] = ()
    actions: tuple[Action, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    backend: RouteBackend
    state: DesiredState = DesiredState.ACTIVE
    access: tuple[AccessRuleSpec, ...] = ()
    cors: tuple[CORSRule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteObject:
    """A BucketRoute. `class_name` and `bucket` are known even when the rest is broken.

    `bucket` is empty when its name itself cannot be read, and `access` when that is broken.
    `size_bytes` is about what it takes in a snapshot. The
    Secrets in `access_keys` are named even then: those whom either allows learn that the route is
    out of order.
    """

    metadata: Metadata
    class_name: str
    bucket: str
    spec: RouteSpec | None
    draft: RouteSpec
    access: tuple[AccessRuleSpec, ...] = ()
    access_keys: tuple[str, ...] = ()
    problems: tuple[FieldProblem, ...] = ()
    size_bytes: int = 0


class NamespacesFrom(Enum):
    """Which namespaces may refer to a backend."""

    SAME = "Same"
    SELECTOR = "Selector"
    ALL = "All"


class ClassNamespacesFrom(Enum):
    """Which namespaces may use a class."""

    ALL = "All"
    SELECTOR = "Selector"


class AuthType(Enum):
    WEB_IDENTITY = "WebIdentity"
    STATIC = "Static"
    UNSIGNED = "Unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendAuthSpec:
    """`role_arn` is set exactly for WebIdentity, `secret_name` exactly for Static."""

    type: AuthType
    role_arn: str | None = None
    duration_seconds: int = 3600
    secret_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRoutes:
    """The handshake: who may refer to a backend and what they may reach. No buckets means any."""

    namespaces: NamespacesFrom = NamespacesFrom.SAME
    selector: LabelSelector = field(default_factory=LabelSelector)
    buckets: tuple[str, ...] = ()
    required_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    auth: BackendAuthSpec
    endpoint: str | None = None
    region: str | None = None
    addressing_style: AddressingStyle | None = None
    profile: BackendProfile | None = None
    ca_config_map_name: str | None = None
    allowed_routes: AllowedRoutes = field(default_factory=AllowedRoutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendObject:
    """A BucketBackend."""

    metadata: Metadata
    spec: BackendSpec | None
    draft: BackendSpec
    problems: tuple[FieldProblem, ...] = ()


class DataPlaneMode(Enum):
    SHARED = "Shared"
    SIDECAR = "Sidecar"


class Decision(Enum):
    ALLOW = "Allow"
    DENY = "Deny"


class SessionPolicyMode(Enum):
    ENFORCED = "Enforced"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountRef:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlaneSpec:
    mode: DataPlaneMode
    service_account: ServiceAccountRef | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRules:
    """`network_scope` is Public or Private by the class; only the built-in one says Loopback."""

    allowed: tuple[str, ...] = ("s3.*.amazonaws.com", "*.s3.*.amazonaws.com")
    insecure_http: Decision = Decision.DENY
    network_scope: NetworkScope = NetworkScope.PUBLIC
    inline: Decision = Decision.ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRules:
    """`sts_endpoint_off_aws`, set by the built-in class alone, replaces the other off AWS."""

    audience: str = "sts.amazonaws.com"
    sts_endpoint: str = "https://sts.${region}.amazonaws.com"
    sts_endpoint_off_aws: str | None = None
    allowed_role_arns: tuple[str, ...] = ("arn:*:iam::*:role/bucketroute/${namespace}/*",)
    session_policy: SessionPolicyMode = SessionPolicyMode.ENFORCED


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSpec:
    data_plane: DataPlaneSpec
    controller_name: str = CONTROLLER_NAME
    namespaces: LabelSelector | None = None  # None: every namespace
    bucket_name_pattern: str = "*"
    endpoints: EndpointRules = field(default_factory=EndpointRules)
    identity: IdentityRules = field(default_factory=IdentityRules)
    client_audience: str = "bucketroute"
    client_issuers: tuple[ClientIssuer, ...] = ()
    domains: tuple[str, ...] = ()
    region: str = "us-east-1"
    max_routes_per_namespace: int = 100
    signature_diagnostics: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassObject:
    """A BucketRouteClass."""

    metadata: Metadata
    spec: ClassSpec | None
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceObject:
    metadata: Metadata
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretObject:
    """A Secret with its values decoded; values that are not text are left out."""

    metadata: Metadata
    type: str
    values: Mapping[str, Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapObject:
    metadata: Metadata
    values: Mapping[str, str]
