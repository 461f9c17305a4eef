"""BucketRoute: from a raw object to a `RouteObject`. Field names and bounds are the CRD's."""

from __future__ import annotations

from enum import Enum

from bucketroute_operator.core import text_rules as rules
from bucketroute_operator.core.fields import FieldReader
from bucketroute_operator.core.findings import FieldProblem
from bucketroute_operator.core.object_parser import RawObject, parse_metadata, spec_reader
from bucketroute_operator.core.permissions import Action, Permission
from bucketroute_operator.core.resources import (
    AccessRuleSpec,
    BackendRef,
    DesiredState,
    RouteBackend,
    RouteObject,
    RouteSpec,
    Signing,
)
from bucketroute_operator.core.validation import (
    not_consequent,
    route_problems,
    virtual_bucket_problems,
)
from bucketroute_snapshot import (
    AccessKeySubject,
    AnonymousSubject,
    BackendProfile,
    CORSRule,
    Limits,
    NamespaceSubject,
    OIDCSubject,
    ServiceAccountSubject,
    Subject,
    Timeouts,
)

_MAX_INT32_BOUND = 100_000


class _SubjectKind(Enum):
    SERVICE_ACCOUNT = "ServiceAccount"
    NAMESPACE = "Namespace"
    ACCESS_KEY = "AccessKey"
    OIDC = "OIDC"
    ANONYMOUS = "Anonymous"


class _CORSMethod(Enum):
    GET = "GET"
    HEAD = "HEAD"
    PUT = "PUT"
    POST = "POST"
    DELETE = "DELETE"


# Which fields each kind of subject takes; it needs all of them and takes no other.
_SUBJECT_FIELDS = {
    _SubjectKind.SERVICE_ACCOUNT: ("name", "namespace"),
    _SubjectKind.NAMESPACE: ("name",),
    _SubjectKind.ACCESS_KEY: ("name",),
    _SubjectKind.OIDC: ("issuer", "subject"),
    _SubjectKind.ANONYMOUS: (),
}
_FIELDS_OF_SUBJECTS = ("name", "namespace", "issuer", "subject")


def parse_route(raw: RawObject) -> RouteObject:
    """Raises: UnnamedObjectError."""
    metadata = parse_metadata(raw)
    problems: list[FieldProblem] = []
    whole = spec_reader(raw, problems)
    reader = whole.required_object("spec")
    class_name = reader.text("className", rules.CLASS_NAME, default="default")
    bucket = _virtual_bucket(reader, metadata.name, problems)
    draft = _spec(reader, metadata.namespace)
    whole.refuse_unknown_fields()
    problems.extend(not_consequent(route_problems(draft), problems))
    return RouteObject(
        metadata=metadata,
        class_name=class_name,
        bucket=bucket,
        spec=None if problems else draft,
        access=() if _has_problem_in(problems, "spec.access") else draft.access,
        draft=draft,
        access_keys=_access_keys(draft),
        problems=tuple(problems),
        size_bytes=_size(draft),
    )


def _size(draft: RouteSpec) -> int:
    """About what the lists of a route take as JSON; all else is small."""
    access = sum(
        sum(len(repr(subject)) for subject in rule.subjects)
        + sum(map(len, rule.prefixes))
        + 32 * (len(rule.permissions) * 4 + len(rule.actions))
        for rule in draft.access
    )
    return 1024 + access + sum(len(repr(rule)) for rule in draft.cors)


def _access_keys(draft: RouteSpec) -> tuple[str, ...]:
    """Only names that a Secret can have: they are asked for at the API server."""
    names = {
        subject.name: None
        for rule in draft.access
        for subject in rule.subjects
        if isinstance(subject, AccessKeySubject)
    }
    return tuple(name for name in names if rules.OBJECT_NAME.fault_of(name) is None)


def _has_problem_in(problems: list[FieldProblem], field: str) -> bool:
    return any(problem.field.startswith(field) for problem in problems)


def _virtual_bucket(reader: FieldReader, name: str, problems: list[FieldProblem]) -> str:
    """The name that clients use, or empty when it is not one that could be served."""
    before = len(problems)
    if reader.has("bucket"):
        bucket, field = reader.text("bucket", rules.VIRTUAL_BUCKET), "spec.bucket"
    else:
        bucket, field = name, "metadata.name"
        fault = rules.VIRTUAL_BUCKET.fault_of(name)
        if fault is not None:
            message = f"is the virtual bucket's name here and {fault}; or set spec.bucket"
            problems.append(FieldProblem(field=field, message=message))
    if len(problems) == before:
        problems.extend(virtual_bucket_problems(bucket, field))
    return bucket if len(problems) == before else ""


def _spec(reader: FieldReader, namespace: str) -> RouteSpec:
    return RouteSpec(
        backend=_backend(reader.required_object("backend")),
        state=reader.choice("state", DesiredState, default=DesiredState.ACTIVE),
        access=tuple(_rule(rule, namespace) for rule in reader.objects("access", max_items=32)),
        cors=tuple(_cors_rule(rule) for rule in reader.objects("cors", max_items=16)),
        limits=_limits(reader.optional_object("limits", min_properties=1)),
        timeouts=_timeouts(reader.optional_object("timeouts", min_properties=1)),
    )


def _backend(reader: FieldReader) -> RouteBackend:
    ref = reader.optional_object("ref")
    signing = reader.choice("signing", Signing) if reader.has("signing") else None
    profile = reader.choice("profile", BackendProfile) if reader.has("profile") else None
    return RouteBackend(
        bucket=reader.text("bucket", rules.BACKEND_BUCKET),
        prefix=reader.text("prefix", rules.PREFIX, default=""),
        ref=None if ref is None else _backend_ref(ref),
        endpoint=reader.optional_text("endpoint", rules.ENDPOINT),
        region=reader.optional_text("region", rules.REGION),
        role_arn=reader.optional_text("roleARN", rules.ROLE_ARN),
        signing=signing,
        profile=profile,
    )


def _backend_ref(reader: FieldReader) -> BackendRef:
    return BackendRef(
        name=reader.text("name", rules.OBJECT_NAME),
        namespace=reader.optional_text("namespace", rules.NAMESPACE),
    )


def _rule(reader: FieldReader, namespace: str) -> AccessRuleSpec:
    names = reader.texts("serviceAccounts", rules.SERVICE_ACCOUNT, min_items=1, max_items=32)
    subjects = reader.objects("subjects", min_items=1, max_items=32)
    return AccessRuleSpec(
        subjects=(
            *(ServiceAccountSubject(namespace=namespace, name=name) for name in names),
            *(_subject(subject, namespace) for subject in subjects),
        ),
        shorthand_count=len(names),
        permissions=reader.choices("permissions", Permission, max_items=8),
        actions=reader.choices("actions", Action, max_items=32),
        prefixes=reader.texts("prefixes", rules.RULE_PREFIX, max_items=16),
    )


def _subject(reader: FieldReader, namespace: str) -> Subject:
    kind = reader.choice_or_none("kind", _SubjectKind)
    if kind is None:
        return _unclear_subject(reader, namespace)
    taken = _SUBJECT_FIELDS[kind]
    for name in _FIELDS_OF_SUBJECTS:
        if name not in taken and reader.has(name):
            reader.problem(name, f"is not for kind {kind.value}")
    match kind:
        case _SubjectKind.SERVICE_ACCOUNT:
            return ServiceAccountSubject(
                namespace=reader.text("namespace", rules.NAMESPACE),
                name=reader.text("name", rules.SERVICE_ACCOUNT),
            )
        case _SubjectKind.NAMESPACE:
            return NamespaceSubject(name=reader.text("name", rules.NAMESPACE))
        case _SubjectKind.ACCESS_KEY:
            name = reader.text("name", rules.OBJECT_NAME)
            return AccessKeySubject(namespace=namespace, name=name)
        case _SubjectKind.OIDC:
            return OIDCSubject(
                issuer=reader.text("issuer", rules.ISSUER),
                subject=reader.text("subject", rules.OIDC_SUBJECT),
            )
        case _SubjectKind.ANONYMOUS:
            return AnonymousSubject()


def _unclear_subject(reader: FieldReader, namespace: str) -> Subject:
    """Its kind cannot be read, so nothing is said of its other fields.

    It stands for an access key, since only of those something must be looked up: the holder then
    learns that the route is out of order, and not that the key is unknown.
    """
    for name in _FIELDS_OF_SUBJECTS:
        reader.has(name)
    name = reader.optional_text("name", rules.SERVICE_ACCOUNT) or ""
    return AccessKeySubject(namespace=namespace, name=name)


def _cors_rule(reader: FieldReader) -> CORSRule:
    origins = reader.texts("allowedOrigins", rules.CORS_ORIGIN, min_items=1, max_items=32)
    if not reader.has("allowedOrigins"):
        reader.problem("allowedOrigins", "is required")
    methods = reader.choices("allowedMethods", _CORSMethod, max_items=5)
    if not reader.has("allowedMethods"):
        reader.problem("allowedMethods", "is required")
    return CORSRule(
        allowed_origins=origins,
        allowed_methods=tuple(method.value for method in methods),
        allowed_headers=reader.texts("allowedHeaders", rules.CORS_HEADER, max_items=32),
        expose_headers=reader.texts("exposeHeaders", rules.CORS_EXPOSED_HEADER, max_items=32),
        max_age_seconds=reader.optional_integer("maxAgeSeconds", minimum=0, maximum=86_400),
    )


def _limits(reader: FieldReader | None) -> Limits:
    if reader is None:
        return Limits()
    size = reader.optional_text("maxObjectSize", rules.QUANTITY)
    is_readable = size is not None and rules.QUANTITY.fault_of(size) is None
    return Limits(
        max_concurrent_requests=reader.optional_integer(
            "maxConcurrentRequests", minimum=1, maximum=_MAX_INT32_BOUND
        ),
        max_object_size_bytes=rules.size_bytes(size) if size is not None and is_readable else None,
        requests_per_second=reader.optional_integer(
            "requestsPerSecond", minimum=1, maximum=_MAX_INT32_BOUND
        ),
    )


def _timeouts(reader: FieldReader | None) -> Timeouts:
    if reader is None:
        return Timeouts()
    return Timeouts(
        connect_seconds=_duration(reader, "connect"), idle_seconds=_duration(reader, "idle")
    )


def _duration(reader: FieldReader, name: str) -> float | None:
    text = reader.optional_text(name, rules.DURATION)
    if text is None or rules.DURATION.fault_of(text) is not None:
        return None
    seconds = rules.duration_seconds(text)
    if seconds <= 0:
        reader.problem(name, "must be longer than zero")
    return seconds
