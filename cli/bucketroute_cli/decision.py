"""One request against one snapshot: what the data plane would decide, step by step, and why.

It asks the data plane's own functions; only the reasons are worked out here, after the decision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from bucketroute_dataplane.core.authorize import (
    ANONYMOUS_ACTIONS,
    authorize,
    may_anything,
)
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import Identity, IdentityKind, subject_matches
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.operations import Answer
from bucketroute_dataplane.core.request import S3Request, parse_request
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_operator.core.permissions import ACTIONS_OF
from bucketroute_snapshot import (
    AccessKeySubject,
    AccessRule,
    AnonymousSubject,
    NamespaceSubject,
    OIDCSubject,
    ServiceAccountSubject,
    Subject,
)

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`facts` are what was found on the way, in the data plane's own order. `reasons` say of each
    rule why it does not allow a request that none allows. `entry` is the route, if one was found.
    """

    facts: tuple[Fact, ...]
    refusal: S3Error | None
    reasons: tuple[Fact, ...] = ()
    entry: RouteEntry | None = None

    @property
    def is_allowed(self) -> bool:
        return self.refusal is None


def decide(head: RequestHead, index: RouteIndex, identity: Identity) -> Decision:
    facts: list[Fact] = [("caller", str(identity))]
    entry: RouteEntry | None = None
    reasons: tuple[Fact, ...] = ()
    try:
        request = parse_request(head)
        facts.append(("operation", request.operation.name))
        facts.append(("needs", request.action or "any grant on the route"))
        entry = index.find(request.bucket, identity)
        facts += _route_facts(request, entry)
        rule = _deciding_rule(request, entry, identity)
        if rule is None:
            reasons = tuple(_reasons(request, entry, identity))
            raise s3_error("AccessDenied", "No rule of the route grants it to this caller.")
        facts.append(("decision", f"allowed by spec.access[{rule}]"))
    except S3Error as refusal:
        facts.append(("decision", f"refused, {refusal.code}: {refusal.message}"))
        return Decision(facts=tuple(facts), refusal=refusal, reasons=reasons, entry=entry)
    return Decision(facts=tuple(facts), refusal=None, entry=entry)


def _route_facts(request: S3Request, entry: RouteEntry) -> Iterator[Fact]:
    yield "route", f"BucketRoute {entry.label} ({entry.route.state.value})"
    if entry.target is not None:
        backend = entry.target.backend
        where = f"s3://{backend.bucket}/{backend.prefix}{request.key.decode()}"
        yield "backend", f"{where} at {backend.endpoint}"


def _deciding_rule(request: S3Request, entry: RouteEntry, identity: Identity) -> int | None:
    """The first rule that allows the request alone.

    Raises: S3Error where it is refused for another reason than its rules.
    """
    if not entry.route.access:
        _is_allowed(request, entry, identity)
    for number, rule in enumerate(entry.route.access):
        if _is_allowed(request, _alone(entry, rule), identity):
            return number
    return None


def _alone(entry: RouteEntry, rule: AccessRule) -> RouteEntry:
    return dataclasses.replace(entry, route=dataclasses.replace(entry.route, access=(rule,)))


def _is_allowed(request: S3Request, entry: RouteEntry, identity: Identity) -> bool:
    if request.action is None:
        return may_anything(entry, identity)
    try:
        authorize(request, entry, identity)
    except S3Error as error:
        if error.code == "AccessDenied":
            return False
        raise
    return True


def _reasons(request: S3Request, entry: RouteEntry, identity: Identity) -> Iterator[Fact]:
    if not entry.route.access:
        yield "spec.access", "there are no rules, so nobody may do anything"
    for number, rule in enumerate(entry.route.access):
        yield f"spec.access[{number}]", _reason(request, rule, identity)


def _reason(request: S3Request, rule: AccessRule, identity: Identity) -> str:
    """Why a rule does not allow what it does not allow."""
    if not any(subject_matches(subject, identity) for subject in rule.subjects):
        return f"is for {', '.join(map(_shown, rule.subjects))}"
    operation, action = request.operation, request.action
    wanted = {action, operation.versioned_action} if _is_batch(request) else {action}
    if not wanted & set(rule.actions):
        return f"is for this caller, but grants {_granted(rule.actions)} only"
    if identity.kind is IdentityKind.ANONYMOUS and not wanted & ANONYMOUS_ACTIONS:
        return "grants it, but never to a caller without credentials"
    prefixes = ", ".join(rule.prefixes)
    if operation.answer is Answer.LIST:
        asked = request.query.get(b"prefix", b"").decode("utf-8", "replace")
        return f'grants it, but only for a listing below {prefixes}; the one asked is "{asked}"'
    return f"grants it, but only for keys under {prefixes}"


def _granted(actions: Iterable[str]) -> str:
    """Permissions where all their actions are granted, and what is left over."""
    left, names = set(actions), []
    for permission, of_permission in ACTIONS_OF.items():
        wanted = {action.value for action in of_permission}
        if wanted <= left:
            names.append(permission.value)
            left -= wanted
    return ", ".join([*names, *sorted(left)])


def _shown(subject: Subject) -> str:
    match subject:
        case AnonymousSubject():
            return "anonymous"
        case AccessKeySubject():
            return f"accesskey:{subject.namespace}/{subject.name}"
        case NamespaceSubject():
            return f"system:serviceaccount:{subject.name}:*"
        case ServiceAccountSubject():
            return f"system:serviceaccount:{subject.namespace}:{subject.name}"
        case OIDCSubject():
            return f"oidc:{subject.issuer}#{subject.subject}"
        case _:
            assert_never(subject)


def _is_batch(request: S3Request) -> bool:
    return request.operation.answer is Answer.BATCH_DELETE
