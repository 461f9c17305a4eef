"""Cross-origin requests from browsers, by the rules of the route.

Source: AWS "Using cross-origin resource sharing (CORS)"; the WHATWG Fetch standard §3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bucketroute_dataplane.core.messages import Header, RequestHead
from bucketroute_snapshot import CORSRule

_VARY: Header = (
    b"vary",
    b"Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
)


def preflight_headers(rules: Iterable[CORSRule], head: RequestHead) -> list[Header] | None:
    """What a preflight (OPTIONS) is answered with; None where no rule allows the request."""
    origin = _text(head, b"origin")
    method = _text(head, b"access-control-request-method")
    asked = _text(head, b"access-control-request-headers")
    names = [name.strip().lower() for name in asked.split(",") if name.strip()]
    for rule in rules:
        if _allows(rule, origin, method) and all(_allows_header(rule, name) for name in names):
            headers = _headers(rule, origin)
            headers.append((b"access-control-allow-methods", _joined(rule.allowed_methods)))
            if names:
                headers.append((b"access-control-allow-headers", _joined(names)))
            if rule.max_age_seconds is not None:
                headers.append((b"access-control-max-age", b"%d" % rule.max_age_seconds))
            return headers
    return None


def response_cors_headers(rules: Sequence[CORSRule], head: RequestHead) -> list[Header]:
    """What is added to the response of a request that a page of another origin makes."""
    if not rules or head.get(b"origin") is None:
        return []
    origin, method = _text(head, b"origin"), head.method.decode("latin-1")
    for rule in rules:
        if _allows(rule, origin, method):
            return _headers(rule, origin)
    return []


def _headers(rule: CORSRule, origin: str) -> list[Header]:
    headers = [_VARY]
    if "*" in rule.allowed_origins:
        headers.append((b"access-control-allow-origin", b"*"))
    else:
        headers.append((b"access-control-allow-origin", origin.encode()))
        headers.append((b"access-control-allow-credentials", b"true"))
    if rule.expose_headers:
        headers.append((b"access-control-expose-headers", _joined(rule.expose_headers)))
    return headers


def _allows(rule: CORSRule, origin: str, method: str) -> bool:
    is_method = method in rule.allowed_methods
    return is_method and any(_matches(pattern, origin) for pattern in rule.allowed_origins)


def _allows_header(rule: CORSRule, name: str) -> bool:
    return any(_matches(pattern.lower(), name) for pattern in rule.allowed_headers)


def _matches(pattern: str, text: str) -> bool:
    """S3 allows one `*` in a pattern, for any run of characters."""
    start, star, end = pattern.partition("*")
    if not star:
        return pattern == text
    fits = len(text) >= len(start) + len(end)
    return fits and text.startswith(start) and text.endswith(end)


def _joined(names: Iterable[str]) -> bytes:
    return ", ".join(names).encode()


def _text(head: RequestHead, name: bytes) -> str:
    return (head.get(name) or b"").decode("latin-1")
