"""CORS rules: which origins, methods and headers, and what the browser is told."""

from __future__ import annotations

import pytest

from bucketroute_dataplane.core.cors import preflight_headers, response_cors_headers
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_snapshot import CORSRule

RULE = CORSRule(
    allowed_origins=("https://*.example.com", "http://localhost:3000"),
    allowed_methods=("GET", "PUT"),
    allowed_headers=("x-amz-*", "content-type"),
    expose_headers=("ETag",),
    max_age_seconds=600,
)


def preflight(origin: str, method: str = "PUT", headers: str = "") -> RequestHead:
    fields = [
        (b"origin", origin.encode()),
        (b"access-control-request-method", method.encode()),
    ]
    if headers:
        fields.append((b"access-control-request-headers", headers.encode()))
    return RequestHead(b"OPTIONS", b"/photos/k", b"", fields)


def test_a_preflight_of_an_allowed_origin_is_told_what_it_may_do() -> None:
    headers = preflight_headers([RULE], preflight("https://app.example.com", headers="X-Amz-Date"))
    assert headers is not None
    told = dict(headers)
    assert told[b"access-control-allow-origin"] == b"https://app.example.com"
    assert told[b"access-control-allow-methods"] == b"GET, PUT"
    assert told[b"access-control-allow-headers"] == b"x-amz-date"
    assert told[b"access-control-max-age"] == b"600"
    assert told[b"vary"].startswith(b"Origin")


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://example.org", "PUT", ""),
        ("https://example.com.evil.org", "PUT", ""),
        ("https://app.example.com", "DELETE", ""),
        ("https://app.example.com", "PUT", "content-type, x-secret"),
        ("", "PUT", ""),
    ],
    ids=["origin", "suffix", "method", "header", "no-origin"],
)
def test_a_preflight_that_no_rule_allows_is_refused(origin: str, method: str, headers: str) -> None:
    assert preflight_headers([RULE], preflight(origin, method, headers)) is None


def test_a_star_origin_is_answered_with_a_star_and_without_credentials() -> None:
    rule = CORSRule(allowed_origins=("*",), allowed_methods=("GET",))
    told = dict(preflight_headers([rule], preflight("https://x.test", "GET")) or [])
    assert told[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-credentials" not in told


def test_a_request_with_an_allowed_origin_carries_the_exposed_headers() -> None:
    head = RequestHead(b"GET", b"/photos/k", b"", [(b"origin", b"http://localhost:3000")])
    told = dict(response_cors_headers([RULE], head))
    assert told[b"access-control-expose-headers"] == b"ETag"


def test_a_request_without_an_origin_is_answered_as_ever() -> None:
    assert response_cors_headers([RULE], RequestHead(b"GET", b"/photos/k", b"", [])) == []
