"""What the object requests of one client have in common, decided once.

A client sends the same header names under the same credential all day. What depends on nothing
else (whether all is signed that must be, which operation it is, who calls, which route, its rules,
what goes on to the backend) is decided by the ordinary functions for the first request and kept
as a `RequestShape`; of the next one only the values are looked at.

A shape can only say yes. Whatever is in doubt is None or False here and goes the ordinary way,
which has all the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest

from bucketroute_dataplane.core.authenticate import Caller
from bucketroute_dataplane.core.authorize import ForwardPlan, grants_of, is_granted
from bucketroute_dataplane.core.body import MAX_PUT_BYTES
from bucketroute_dataplane.core.headers import is_plainly_forwarded
from bucketroute_dataplane.core.messages import Deadlines, RequestHead
from bucketroute_dataplane.core.names import MAX_KEY_BYTES, encode_key, is_plain_key
from bucketroute_dataplane.core.operations import BodyMode
from bucketroute_dataplane.core.request_template import RequestTemplate
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    MAX_CLOCK_SKEW_SECONDS,
    UNSIGNED_PAYLOAD,
    amz_epoch,
    canonical_path,
    encode_query,
    parse_authorization,
    split_query,
)

ShapeKey = tuple[bytes | None, ...]

# What clients can have remembered: a usual shape takes some 3 KiB with its first route.
MAX_SHAPES = 4096
MAX_ROUTES = 8192  # of all shapes together
MAX_SHAPE_PARTS = 64
MAX_SHAPE_BYTES = 3072

_SIGNATURE_BYTES = 64
_OPERATIONS = frozenset(("GetObject", "HeadObject", "PutObject"))
# SDKs name the operation there for their own logs; it means nothing.
_IDLE_PARAMETERS = frozenset((b"x-id",))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
# Of a request without a body; whatever else is declared is checked the ordinary way.
_NO_PAYLOAD = frozenset((UNSIGNED_PAYLOAD, EMPTY_SHA256))


def shape_key(head: RequestHead) -> ShapeKey | None:
    """What the shape of a header-signed request is known by; None where a header repeats."""
    values = head.by_name
    authorization = values.get(b"authorization")
    if authorization is None or len(values) != len(head.headers):
        return None
    return (
        head.method,
        head.raw_query,
        authorization[:-_SIGNATURE_BYTES],
        values.get(b"x-amz-security-token"),
        values.get(b"host"),
        *values,
    )


class ShapeRoute:
    """A bucket as the callers of one shape may use it."""

    def __init__(self, plan: ForwardPlan, deadlines: Deadlines) -> None:
        request, target = plan.request, plan.target
        assert request.action is not None
        prefix = target.names.prefix.encode()
        limit = plan.entry.route.limits.max_object_size_bytes or MAX_PUT_BYTES
        self.bucket = request.bucket
        self.label = plan.entry.label
        self.target = target
        self.deadlines = deadlines
        self.max_bytes = min(limit, MAX_PUT_BYTES)
        self.path = target.base_path + encode_key(prefix)
        self.template = RequestTemplate(plan)
        grants = grants_of(plan.entry, plan.identity, request.action)
        # None: some rule allows every key. No prefixes at all is something else, and allows none.
        self._grants = None if any(grant.prefixes is None for grant in grants) else grants
        self._max_key_bytes = MAX_KEY_BYTES - len(prefix)

    def admits(self, key: bytes) -> bool:
        """Whether the caller may use this key, as it stands in the path."""
        if len(key) > self._max_key_bytes or not is_plain_key(key):
            return False
        return self._grants is None or is_granted(self._grants, key)


class RequestShape:
    """A request that was let through, less its path and the values of its headers."""

    def __init__(self, plan: ForwardPlan, caller: Caller, names: tuple[bytes, ...]) -> None:
        request, signature = plan.request, caller.signature
        assert signature is not None
        head = request.head
        query = encode_query(split_query(head.raw_query)) if head.raw_query else b""
        lines = b"".join([_escaped(name) + b":%s\n" for name in names])
        fixed = (head.method, _escaped(query), lines, _escaped(b";".join(names)))
        self._canonical = b"%s\n%%s\n%s\n%s\n%s\n%%s" % fixed
        self._signed_names = names
        self._scope = signature.scope
        self._day = signature.timestamp[:8]
        self._key = signature.signing_key
        self._expires_at = caller.session.expires_at if caller.session is not None else None
        self.identity = caller.identity
        self.caller_name = str(caller.identity)
        self.name = request.operation.name
        self.method = request.operation.method.decode()
        self.is_upload = request.operation.body is BodyMode.STREAMED
        self.routes: dict[bytes, ShapeRoute] = {}

    def is_proved(self, path: bytes, values: Mapping[bytes, bytes], epoch: float) -> bool:
        """Whether the signature of a request of this shape is right for this path, and fresh.

        `epoch` is the present, in epoch seconds.
        """
        timestamp = values[b"x-amz-date"]
        moment = amz_epoch(timestamp)
        if moment is None or abs(epoch - moment) > MAX_CLOCK_SKEW_SECONDS:
            return False
        if not timestamp.startswith(self._day):
            return False
        if self._expires_at is not None and epoch >= self._expires_at:
            return False
        payload_hash = values[b"x-amz-content-sha256"]
        signed = [b" ".join(values[name].split()) for name in self._signed_names]
        canonical = self._canonical % (path, *signed, payload_hash)
        digest = sha256(canonical).hexdigest().encode()
        expected = self._key.sign(
            b"AWS4-HMAC-SHA256\n%s\n%s\n%s" % (timestamp, self._scope, digest)
        )
        return compare_digest(expected, values[b"authorization"][-_SIGNATURE_BYTES:])

    def has_no_payload(self, values: Mapping[bytes, bytes]) -> bool:
        return values[b"x-amz-content-sha256"] in _NO_PAYLOAD


class Shapes:
    """The shapes of one snapshot. The oldest makes room."""

    def __init__(self, *, max_shapes: int = MAX_SHAPES, max_routes: int = MAX_ROUTES) -> None:
        # None: requests like this one go the ordinary way, and need not be looked at again.
        self._shapes: dict[ShapeKey, RequestShape | None] = {}
        self._max_shapes, self._max_routes = max_shapes, max_routes
        self._route_count = 0

    def find(self, head: RequestHead) -> RequestShape | None:
        key = shape_key(head)
        return self._shapes.get(key) if key is not None else None

    def learn(self, plan: ForwardPlan, caller: Caller, deadlines: Deadlines) -> None:
        """Remembers a request that was proved, authorised and is on its way."""
        request, head = plan.request, plan.request.head
        bucket = request.bucket.encode()
        if (
            not self._max_shapes
            or caller.signature is None
            or request.operation.name not in _OPERATIONS
            or not request.query.keys() <= _IDLE_PARAMETERS
            or head.raw_path != b"/%s/%s" % (bucket, request.key)
            or plan.entry.route.cors
        ):
            return
        key = shape_key(head)
        if key is None or not _is_small(key):
            return
        shape = self._shapes.get(key)
        if key in self._shapes and (shape is None or bucket in shape.routes):
            return
        while len(self._shapes) >= self._max_shapes or self._route_count >= self._max_routes:
            self._forget_oldest()
        if key not in self._shapes:
            self._shapes[key] = _shape_of(plan, caller)
        shape = self._shapes[key]
        if shape is not None:
            shape.routes[bucket] = ShapeRoute(plan, deadlines)
            self._route_count += 1

    def _forget_oldest(self) -> None:
        shape = self._shapes.pop(next(iter(self._shapes)))
        self._route_count -= len(shape.routes) if shape is not None else 0


def _is_small(key: ShapeKey) -> bool:
    size = sum([len(part or b"") for part in key])
    return len(key) <= MAX_SHAPE_PARTS and size <= MAX_SHAPE_BYTES


def _shape_of(plan: ForwardPlan, caller: Caller) -> RequestShape | None:
    """The shape of a request that the ordinary way let through; None where it can't have one."""
    head, operation = plan.request.head, plan.request.operation
    claim = parse_authorization(
        head.method, head.raw_path, raw_query=head.raw_query, headers=head.headers
    )
    if claim is None or not claim.signed_headers or b"x-amz-date" not in claim.signed_headers:
        return None
    values = head.by_name
    is_verbatim = (
        values[b"authorization"][-_SIGNATURE_BYTES:] == claim.signature
        and values[b"x-amz-date"] == claim.timestamp
        and values.get(b"x-amz-content-sha256") == claim.payload_hash
        and canonical_path(head.raw_path) == head.raw_path
    )
    framing = values.keys() & _FRAMING
    has_its_framing = framing == (
        {b"content-length"} if operation.body is BodyMode.STREAMED else set()
    )
    is_plain = all(is_plainly_forwarded(operation, name) for name in values)
    if not (is_verbatim and has_its_framing and is_plain):
        return None
    return RequestShape(plan, caller, claim.signed_headers)


def _escaped(text: bytes) -> bytes:
    """Text as it stands in a `%` format."""
    return text.replace(b"%", b"%%")
