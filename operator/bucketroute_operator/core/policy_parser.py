"""BucketBackend and BucketRouteClass: from raw objects to typed values, as the CRDs define them."""

from __future__ import annotations

from enum import Enum

from bucketroute_operator.core import text_rules as rules
from bucketroute_operator.core.fields import FieldReader
from bucketroute_operator.core.findings import FieldProblem
from bucketroute_operator.core.object_parser import RawObject, parse_metadata, spec_reader
from bucketroute_operator.core.resources import (
    CONTROLLER_NAME,
    AllowedRoutes,
    AuthType,
    BackendAuthSpec,
    BackendObject,
    BackendSpec,
    ClassNamespacesFrom,
    ClassObject,
    ClassSpec,
    DataPlaneMode,
    DataPlaneSpec,
    Decision,
    EndpointRules,
    IdentityRules,
    NamespacesFrom,
    ServiceAccountRef,
    SessionPolicyMode,
)
from bucketroute_operator.core.selectors import LabelRequirement, LabelSelector, SelectorOperator
from bucketroute_operator.core.validation import backend_problems, not_consequent
from bucketroute_snapshot import (
    AddressingStyle,
    BackendProfile,
    ClientIssuer,
    NetworkScope,
)


class _Switch(Enum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


def parse_backend(raw: RawObject) -> BackendObject:
    """Raises: UnnamedObjectError."""
    metadata = parse_metadata(raw)
    problems: list[FieldProblem] = []
    whole = spec_reader(raw, problems)
    reader = whole.required_object("spec")
    draft = _backend_spec(reader)
    whole.refuse_unknown_fields()
    problems.extend(not_consequent(backend_problems(draft), problems))
    return BackendObject(
        metadata=metadata,
        spec=None if problems else draft,
        draft=draft,
        problems=tuple(problems),
    )


def parse_class(raw: RawObject) -> ClassObject:
    """Raises: UnnamedObjectError."""
    metadata = parse_metadata(raw)
    problems: list[FieldProblem] = []
    whole = spec_reader(raw, problems)
    reader = whole.required_object("spec")
    spec = _class_spec(reader)
    whole.refuse_unknown_fields()
    return ClassObject(metadata=metadata, spec=None if problems else spec, problems=tuple(problems))


def _backend_spec(reader: FieldReader) -> BackendSpec:
    style = reader.has("addressingStyle")
    profile = reader.has("profile")
    tls = reader.nested("tls")
    return BackendSpec(
        auth=_auth(reader.required_object("auth")),
        endpoint=reader.optional_text("endpoint", rules.ENDPOINT),
        region=reader.optional_text("region", rules.REGION),
        addressing_style=reader.choice("addressingStyle", AddressingStyle) if style else None,
        profile=reader.choice("profile", BackendProfile) if profile else None,
        ca_config_map_name=tls.optional_text("caConfigMapName", rules.OBJECT_NAME),
        allowed_routes=_allowed_routes(reader.nested("allowedRoutes")),
    )


def _auth(reader: FieldReader) -> BackendAuthSpec:
    kind = reader.choice_or_none("type", AuthType)
    settings = {AuthType.WEB_IDENTITY: "webIdentity", AuthType.STATIC: "staticCredentials"}
    for owner, name in settings.items():
        if reader.has(name) and kind not in (owner, None):
            reader.problem(name, f"is not for type {kind.value}")
    match kind:
        case AuthType.WEB_IDENTITY:
            web_identity = reader.required_object("webIdentity")
            duration = web_identity.optional_integer("durationSeconds", minimum=900, maximum=43_200)
            role_arn = web_identity.text("roleARN", rules.ROLE_ARN)
            return BackendAuthSpec(type=kind, role_arn=role_arn, duration_seconds=duration or 3600)
        case AuthType.STATIC:
            static = reader.required_object("staticCredentials")
            return BackendAuthSpec(
                type=kind, secret_name=static.text("secretName", rules.OBJECT_NAME)
            )
        case AuthType.UNSIGNED | None:
            return BackendAuthSpec(type=AuthType.UNSIGNED)


def _allowed_routes(reader: FieldReader) -> AllowedRoutes:
    namespaces = reader.optional_object("namespaces")
    origin: NamespacesFrom | None = NamespacesFrom.SAME
    selector = LabelSelector()
    if namespaces is not None:
        if namespaces.has("from"):
            origin = namespaces.choice_or_none("from", NamespacesFrom)
        is_needed = None if origin is None else origin is NamespacesFrom.SELECTOR
        selector = _selector_for(namespaces, is_needed=is_needed)
    prefix = reader.optional_text("requiredPrefix", rules.REQUIRED_PREFIX)
    return AllowedRoutes(
        namespaces=origin or NamespacesFrom.SAME,
        selector=selector,
        buckets=reader.texts("buckets", rules.BUCKET_GLOB, max_items=64),
        required_prefix=prefix or "",
    )


def _selector_for(reader: FieldReader, *, is_needed: bool | None) -> LabelSelector:
    """`is_needed` is None where `from` cannot be read, and so cannot tell."""
    if reader.has("selector") is not is_needed and is_needed is not None:
        reader.problem("selector", "is needed for, and only for, from: Selector")
    selector = reader.nested("selector")
    labels = selector.text_map(
        "matchLabels", max_items=16, key_rule=rules.LABEL_KEY, value_rule=rules.LABEL_VALUE
    )
    return LabelSelector(
        requirements=(
            *(
                LabelRequirement(key=key, operator=SelectorOperator.IN, values=(value,))
                for key, value in sorted(labels.items())
            ),
            *map(_requirement, selector.objects("matchExpressions", max_items=16)),
        )
    )


def _requirement(reader: FieldReader) -> LabelRequirement:
    operator = reader.choice_or_none("operator", SelectorOperator)
    values = reader.texts("values", rules.LABEL_VALUE, max_items=64)
    takes_values = operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
    if operator is not None and bool(values) is not takes_values:
        reader.problem("values", "is needed for, and only for, In and NotIn")
    return LabelRequirement(
        key=reader.text("key", rules.LABEL_KEY),
        operator=operator or SelectorOperator.DOES_NOT_EXIST,
        values=values,
    )


def _class_spec(reader: FieldReader) -> ClassSpec:
    limits = reader.nested("limits")
    quota = limits.optional_integer("maxRoutesPerNamespace", minimum=1, maximum=2**31 - 1)
    issuers = reader.objects("clientIssuers", max_items=16)
    return ClassSpec(
        data_plane=_data_plane(reader.required_object("dataPlane")),
        controller_name=reader.text("controllerName", rules.AUDIENCE, default=CONTROLLER_NAME),
        namespaces=_class_namespaces(reader.optional_object("allowedNamespaces")),
        bucket_name_pattern=reader.text("bucketNamePattern", rules.NAME_PATTERN, default="*"),
        endpoints=_endpoint_rules(reader.nested("endpoints")),
        identity=_identity_rules(reader.nested("identity")),
        client_audience=reader.text("clientAudience", rules.AUDIENCE, default="bucketroute"),
        client_issuers=tuple(map(_client_issuer, issuers)),
        domains=reader.texts("domains", rules.DOMAIN, max_items=16),
        region=reader.text("region", rules.REGION, default="us-east-1"),
        max_routes_per_namespace=100 if quota is None else quota,
        signature_diagnostics=reader.choice(
            "signatureDiagnostics", _Switch, default=_Switch.DISABLED
        )
        is _Switch.ENABLED,
    )


def _data_plane(reader: FieldReader) -> DataPlaneSpec:
    mode = reader.choice_or_none("mode", DataPlaneMode)
    account = reader.optional_object("serviceAccountRef")
    if mode is DataPlaneMode.SHARED and account is None:
        reader.problem("serviceAccountRef", "is required for mode Shared")
    return DataPlaneSpec(
        mode=mode or DataPlaneMode.SHARED,
        service_account=None if account is None else _service_account_ref(account),
        endpoint=reader.optional_text("endpoint", rules.CLIENT_ENDPOINT),
    )


def _service_account_ref(reader: FieldReader) -> ServiceAccountRef:
    return ServiceAccountRef(
        namespace=reader.text("namespace", rules.NAMESPACE),
        name=reader.text("name", rules.OBJECT_NAME),
    )


def _class_namespaces(reader: FieldReader | None) -> LabelSelector | None:
    if reader is None:
        return None
    origin = reader.choice_or_none("from", ClassNamespacesFrom)
    is_needed = None if origin is None else origin is ClassNamespacesFrom.SELECTOR
    selector = _selector_for(reader, is_needed=is_needed)
    return selector if is_needed else None


def _endpoint_rules(reader: FieldReader) -> EndpointRules:
    standard = EndpointRules()
    allowed = reader.texts("allowed", rules.HOST_GLOB, max_items=64)
    private = reader.choice("privateNetworks", Decision, default=Decision.DENY)
    return EndpointRules(
        allowed=allowed if reader.has("allowed") else standard.allowed,
        insecure_http=reader.choice("insecureHTTP", Decision, default=Decision.DENY),
        network_scope=(NetworkScope.PRIVATE if private is Decision.ALLOW else NetworkScope.PUBLIC),
        inline=reader.choice("inline", Decision, default=Decision.ALLOW),
    )


def _identity_rules(reader: FieldReader) -> IdentityRules:
    standard = IdentityRules()
    roles = reader.texts("allowedRoleARNs", rules.ROLE_GLOB, max_items=64)
    return IdentityRules(
        audience=reader.text("audience", rules.AUDIENCE, default=standard.audience),
        sts_endpoint=reader.text("stsEndpoint", rules.STS_ENDPOINT, default=standard.sts_endpoint),
        allowed_role_arns=roles if reader.has("allowedRoleARNs") else standard.allowed_role_arns,
        session_policy=reader.choice(
            "sessionPolicy", SessionPolicyMode, default=SessionPolicyMode.ENFORCED
        ),
    )


def _client_issuer(reader: FieldReader) -> ClientIssuer:
    audiences = reader.texts("audiences", rules.AUDIENCE, min_items=1, max_items=16)
    if not reader.has("audiences"):
        reader.problem("audiences", "is required")
    return ClientIssuer(issuer=reader.text("issuer", rules.ISSUER), audiences=audiences)
