"""May this caller do this? The only way to a ForwardPlan, and so to a signed backend request.

Default is deny. Permissions are looked up in the snapshot that the request began with; a session
or a key proves identity and carries no permission.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import Identity, IdentityKind, subject_matches
from bucketroute_dataplane.core.operations import Answer
from bucketroute_dataplane.core.request import S3Request
from bucketroute_dataplane.core.resolve import BackendTarget, Grant, RouteEntry
from bucketroute_snapshot import RouteState

# What anybody may be granted without proving who they are.
ANONYMOUS_ACTIONS = frozenset(("s3:GetObject", "s3:ListBucket"))

# Callers times actions of one route; past it they are looked up anew.
MAX_REMEMBERED_GRANTS = 4096

# Source: AWS "PutObject", "CopyObject", "CreateMultipartUpload": tags that come along are an action
# of their own.
_TAGGING = frozenset(("PutObject", "CopyObject", "CreateMultipartUpload"))

_set = object.__setattr__
_PLACEHOLDER = re.compile(r"\$\{(?:namespace|serviceAccount|subject)\}")
_UNSAFE_VALUE = re.compile(r"[/${}\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class CopySourcePlan:
    """The authorised source of a copy: where it is, and its key as the client names it."""

    target: BackendTarget
    key: bytes
    version_id: bytes | None


class ForwardPlan:
    """An authorised request. Made by `authorize()` alone and never changed; `sign` takes nothing
    else.
    """

    __slots__ = ("copy_source", "entry", "identity", "request", "target")

    request: S3Request
    entry: RouteEntry
    target: BackendTarget
    identity: Identity
    copy_source: CopySourcePlan | None

    def __init__(self) -> None:
        raise TypeError("a ForwardPlan comes from authorize() only")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a ForwardPlan never changes")


def authorize(
    request: S3Request,
    entry: RouteEntry,
    identity: Identity,
    *,
    copy_source: CopySourcePlan | None = None,
) -> ForwardPlan:
    """The plan for a request that its caller may make.

    Raises: S3Error AccessDenied; ServiceUnavailable where the route is suspended or unresolved;
    KeyTooLongError where the route's prefix and the key are too long together.
    """
    action = request.action
    assert action is not None, "answered locally"
    if entry.route.state is RouteState.UNRESOLVED:
        # Its rules may be what could not be read, so they cannot be what refuses.
        raise _not_active(entry)
    if not _is_allowed(request, entry, identity, action):
        raise s3_error("AccessDenied")
    if identity.kind is IdentityKind.ANONYMOUS:
        _refuse_response_overrides(request)
    target = available_target(entry)
    target.check_key(request.key)
    plan = object.__new__(ForwardPlan)
    _set(plan, "request", request)
    _set(plan, "entry", entry)
    _set(plan, "target", target)
    _set(plan, "identity", identity)
    _set(plan, "copy_source", copy_source)
    return plan


def _refuse_response_overrides(request: S3Request) -> None:
    """Whoever can read an object could show it to others as a page of this host.

    Source: AWS "GetObject": a request that sets response headers must be signed.
    """
    if any(name.startswith(b"response-") for name in request.query):
        raise s3_error("InvalidRequest", "Request specific response headers need a signed request.")


def authorize_copy_source(
    entry: RouteEntry, identity: Identity, key: bytes, version_id: bytes | None
) -> CopySourcePlan:
    """Raises: S3Error AccessDenied where the caller may not read the source of a copy."""
    action = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    if identity.kind is IdentityKind.ANONYMOUS or not may(entry, identity, action, key):
        raise s3_error("AccessDenied")
    return CopySourcePlan(available_target(entry), key, version_id)


def available_target(entry: RouteEntry) -> BackendTarget:
    """Raises: S3Error ServiceUnavailable where the route is not active."""
    if entry.target is None or entry.route.state is not RouteState.ACTIVE:
        raise _not_active(entry)
    return entry.target


def _not_active(entry: RouteEntry) -> S3Error:
    return s3_error("ServiceUnavailable", f"The route is {entry.route.state.value.lower()}.")


def may(entry: RouteEntry, identity: Identity, action: str, key: bytes) -> bool:
    """Whether any rule grants the action on that key."""
    return deciding_rule(entry, identity, action, key) is not None


def deciding_rule(entry: RouteEntry, identity: Identity, action: str, key: bytes) -> int | None:
    """The index of the first rule that grants the action on that key."""
    return next((g.rule for g in grants_of(entry, identity, action) if _covers(g, key)), None)


def is_granted(grants: tuple[Grant, ...], key: bytes) -> bool:
    """Whether any of the grants covers the key."""
    return any(_covers(grant, key) for grant in grants)


def may_list(entry: RouteEntry, identity: Identity, action: str, prefix: bytes) -> bool:
    """Whether the caller may list what starts with `prefix`.

    A rule prefix `P` without a slash allows only prefixes that start with `P/`: a listing of `P`
    itself would show `P-private/`.
    """
    for grant in grants_of(entry, identity, action):
        if grant.prefixes is None:
            return True
        for allowed in grant.prefixes:
            folder = allowed if not allowed or allowed.endswith(b"/") else allowed + b"/"
            if prefix.startswith(folder):
                return True
    return False


def may_anything(entry: RouteEntry, identity: Identity) -> bool:
    """Whether any rule of the route means this caller at all."""
    return any(
        subject_matches(subject, identity)
        for rule in entry.route.access
        for subject in rule.subjects
    )


def may_somewhere(entry: RouteEntry, identity: Identity, action: str) -> bool:
    """Whether any rule grants the action on any key (the coarse check of a batch)."""
    return bool(grants_of(entry, identity, action))


def prefix_matches(prefix: bytes, key: bytes) -> bool:
    """Empty or ending in `/`: starts-with. Otherwise `data` means `data` and `data/…` only."""
    if not prefix or prefix.endswith(b"/"):
        return key.startswith(prefix)
    return key == prefix or key.startswith(prefix + b"/")


def _is_allowed(request: S3Request, entry: RouteEntry, identity: Identity, action: str) -> bool:
    operation = request.operation
    if operation.answer is Answer.LIST:
        return may_list(entry, identity, action, request.query.get(b"prefix", b""))
    if operation.answer is Answer.BATCH_DELETE:
        versioned = operation.versioned_action
        assert versioned is not None
        return any(may_somewhere(entry, identity, name) for name in (action, versioned))
    if operation.name in _TAGGING and b"x-amz-tagging" in request.head.by_name:
        return all(may(entry, identity, a, request.key) for a in (action, "s3:PutObjectTagging"))
    return may(entry, identity, action, request.key)


def grants_of(entry: RouteEntry, identity: Identity, action: str) -> tuple[Grant, ...]:
    """The rules that grant the action to this caller, whatever the key; remembered."""
    known = entry.grants.get((identity, action))
    if known is not None:
        return known
    if len(entry.grants) >= MAX_REMEMBERED_GRANTS:
        entry.grants.clear()
    grants = entry.grants[identity, action] = tuple(_find_grants(entry, identity, action))
    return grants


def _covers(grant: Grant, key: bytes) -> bool:
    return grant.prefixes is None or any(prefix_matches(p, key) for p in grant.prefixes)


def _find_grants(entry: RouteEntry, identity: Identity, action: str) -> Iterator[Grant]:
    if identity.kind is IdentityKind.ANONYMOUS and action not in ANONYMOUS_ACTIONS:
        return
    for index, rule in enumerate(entry.route.access):
        if action in rule.actions and any(subject_matches(s, identity) for s in rule.subjects):
            yield Grant(index, tuple(_expanded(rule.prefixes, identity)) if rule.prefixes else None)


def _expanded(prefixes: tuple[str, ...], identity: Identity) -> Iterable[bytes]:
    """Prefixes with their placeholders replaced once; one that cannot be replaced is left out."""
    for prefix in prefixes:
        if "${" not in prefix:
            yield prefix.encode()
            continue
        values = identity.placeholders()
        used = [values[name] for name in _PLACEHOLDER.findall(prefix)]
        if all(value and not _UNSAFE_VALUE.search(value) for value in used):
            expanded = _PLACEHOLDER.sub(partial(_value_of, values), prefix)
            if "${" not in expanded:  # a placeholder that this version does not know
                yield expanded.encode()


def _value_of(values: dict[str, str | None], match: re.Match[str]) -> str:
    return values[match[0]] or ""
