"""The rules that tie fields together or that no pattern can say; the CRDs have them in CEL.

An API server checks them too, but `bucketroute serve` has none, and stored objects may be older
than a rule. Each rule is a function from parsed values to problems.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from bucketroute_operator.core.endpoints import EndpointError, parse_endpoint
from bucketroute_operator.core.findings import FieldProblem, may_follow_from
from bucketroute_operator.core.permissions import ANONYMOUS_ACTIONS, ANONYMOUS_PERMISSIONS
from bucketroute_operator.core.resources import (
    AccessRuleSpec,
    BackendSpec,
    RouteBackend,
    RouteSpec,
    Signing,
)
from bucketroute_snapshot import AddressingStyle, AnonymousSubject


def not_consequent(
    problems: Iterator[FieldProblem], known: Sequence[FieldProblem]
) -> list[FieldProblem]:
    """Those that are not mere consequences of what is known to be wrong: one slip, one problem."""
    return [problem for problem in problems if not may_follow_from(problem.field, known)]


def virtual_bucket_problems(bucket: str, field: str) -> Iterator[FieldProblem]:
    """Source: AWS "General purpose bucket naming rules"."""
    if any(pair in bucket for pair in ("..", ".-", "-.")):
        yield FieldProblem(field=field, message="must not contain '..', '.-' or '-.'")
    if _is_ip_address(bucket):
        yield FieldProblem(field=field, message="must not be formatted as an IP address")
    if bucket.startswith("xn--") or bucket.endswith("-s3alias"):
        yield FieldProblem(field=field, message="uses a prefix or suffix that S3 reserves")


def route_problems(spec: RouteSpec) -> Iterator[FieldProblem]:
    yield from _prefix_problems(spec.backend.prefix)
    yield from route_backend_problems(spec.backend)
    if spec.backend.endpoint is not None:
        yield from _endpoint_problems(spec.backend.endpoint, "spec.backend.endpoint")
    for index, rule in enumerate(spec.access):
        yield from _rule_problems(rule, f"spec.access[{index}]")


def backend_problems(spec: BackendSpec) -> Iterator[FieldProblem]:
    if spec.endpoint is None and spec.region is None:
        yield FieldProblem(field="spec", message="must set endpoint or region")
    if spec.endpoint is None:
        return
    yield from _endpoint_problems(spec.endpoint, "spec.endpoint")
    if spec.addressing_style is AddressingStyle.VIRTUAL and _names_an_address(spec.endpoint):
        message = "must not be Virtual: nothing can stand in front of an IP address"
        yield FieldProblem(field="spec.addressingStyle", message=message)


def route_backend_problems(backend: RouteBackend) -> Iterator[FieldProblem]:
    """Either a reference alone, or an endpoint or region with exactly one way to sign."""
    field = "spec.backend"
    inline = (backend.endpoint, backend.region, backend.role_arn, backend.signing, backend.profile)
    if backend.ref is not None:
        if any(value is not None for value in inline):
            message = "must not set endpoint, region, roleARN, signing or profile beside ref"
            yield FieldProblem(field=field, message=message)
        return
    unsigned = backend.signing is Signing.UNSIGNED
    if backend.role_arn is None and not unsigned:
        message = "must set ref, or roleARN, or signing: Unsigned for a public bucket"
        yield FieldProblem(field=field, message=message)
    if backend.role_arn is not None and unsigned:
        yield FieldProblem(field=field, message="must not set roleARN with signing: Unsigned")
    if backend.endpoint is None and backend.region is None:
        yield FieldProblem(field=field, message="must set ref, endpoint or region")


def _prefix_problems(prefix: str) -> Iterator[FieldProblem]:
    field = "spec.backend.prefix"
    if not prefix:
        return
    if prefix.startswith("/") or not prefix.endswith("/"):
        yield FieldProblem(field=field, message="must end with '/' and must not start with '/'")
    segments = prefix.removesuffix("/").split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        yield FieldProblem(field=field, message="must not contain empty, '.' or '..' segments")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in prefix):
        yield FieldProblem(field=field, message="must not contain control characters")


def _endpoint_problems(endpoint: str, field: str) -> Iterator[FieldProblem]:
    try:
        parse_endpoint(endpoint)
    except EndpointError as exc:
        yield FieldProblem(field=field, message=str(exc))


def _names_an_address(endpoint: str) -> bool:
    try:
        return parse_endpoint(endpoint).address is not None
    except EndpointError:
        return False


def _rule_problems(rule: AccessRuleSpec, field: str) -> Iterator[FieldProblem]:
    if not rule.subjects:
        yield FieldProblem(field=field, message="must have serviceAccounts or subjects")
    if not rule.permissions and not rule.actions:
        yield FieldProblem(field=field, message="must have permissions or actions")
    is_anonymous = any(isinstance(subject, AnonymousSubject) for subject in rule.subjects)
    is_harmless = ANONYMOUS_PERMISSIONS.issuperset(rule.permissions) and (
        ANONYMOUS_ACTIONS.issuperset(rule.actions)
    )
    if is_anonymous and not is_harmless:
        message = "must give Anonymous nothing but Read, List, s3:GetObject and s3:ListBucket"
        yield FieldProblem(field=field, message=message)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
