"""A browser's requests: preflights without credentials, answers with what the route allows."""

from collections.abc import Iterator

import pytest

from bucketroute_testing.clients import RawResponse
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_NAME,
    BUCKET,
    Gateway,
    GatewayOptions,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.manifests import AccessRule, RouteBackend, bucket_route
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, Headers

PAGE = "https://app.example.com"
WEB = "web"
RULE = {
    "allowedOrigins": ["https://*.example.com"],
    "allowedMethods": ["GET", "PUT"],
    "allowedHeaders": ["content-type", "x-amz-*"],
    "exposeHeaders": ["ETag"],
    "maxAgeSeconds": 600,
}


@pytest.fixture(scope="module")
def gateway(
    shared_wire: WireBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    store = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix="web/")
    access = [AccessRule(access_keys=["writer"])]
    route = bucket_route(WEB, store, access, extra={"cors": [RULE]})
    directory = tmp_path_factory.mktemp("cors")
    options = GatewayOptions(manifests=[route])
    with running_gateway(directory, recording_backend(shared_wire), options) as running:
        yield running
    shared_wire.clear_scripts()


def send(gateway: Gateway, method: str, bucket: str, headers: Headers) -> RawResponse:
    with gateway.raw() as raw:
        raw.send_head(method, f"/{bucket}/k", headers)
        return raw.read_response(method)


def preflight(gateway: Gateway, bucket: str, origin: str, method: str) -> RawResponse:
    asked: Headers = (
        ("Host", gateway.endpoint.partition("//")[2]),
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", "content-type, x-amz-date"),
    )
    return send(gateway, "OPTIONS", bucket, asked)


def test_a_preflight_is_answered_without_credentials(
    gateway: Gateway, shared_wire: WireBackend
) -> None:
    shared_wire.forget()
    answer = preflight(gateway, WEB, PAGE, "PUT")
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == PAGE
    assert answer.header("access-control-allow-methods") == "GET, PUT"
    assert answer.header("access-control-allow-headers") == "content-type, x-amz-date"
    assert answer.header("access-control-max-age") == "600"
    assert shared_wire.requests() == ()


@pytest.mark.parametrize(
    ("bucket", "origin", "method"),
    [
        (WEB, "https://evil.test", "GET"),
        (WEB, PAGE, "DELETE"),
        (BUCKET, PAGE, "GET"),
        ("unknown", PAGE, "GET"),
    ],
)
def test_a_preflight_that_no_rule_allows_is_denied(
    gateway: Gateway, bucket: str, origin: str, method: str
) -> None:
    answer = preflight(gateway, bucket, origin, method)
    assert (answer.status, answer.error_code) == (403, "AccessDenied")
    assert answer.header("access-control-allow-origin") is None


@pytest.mark.parametrize("is_stored", [True, False], ids=["found", "missing"])
def test_a_page_may_read_the_answer_and_the_error(
    gateway: Gateway, shared_wire: WireBackend, is_stored: bool
) -> None:
    shared_wire.clear_scripts()
    shared_wire.store.buckets.clear()
    if is_stored:
        shared_wire.store.put(BACKEND_BUCKET, "web/k", b"x")
    signed = gateway.signer.sign("GET", f"{gateway.endpoint}/{WEB}/k").headers
    answer = send(gateway, "GET", WEB, (*signed, ("Origin", PAGE)))
    assert answer.status == (200 if is_stored else 404)
    assert answer.header("access-control-allow-origin") == PAGE
    assert answer.header("access-control-expose-headers") == "ETag"
    assert "Origin" in (answer.header("vary") or "")


def test_a_backends_own_cross_origin_rules_do_not_count(
    gateway: Gateway, shared_wire: WireBackend
) -> None:
    open_to_all: Headers = (("Access-Control-Allow-Origin", "*"),)
    shared_wire.script("GET", "*/k", Answer(headers=open_to_all, body=b"x"))
    for bucket, allowed in ((WEB, PAGE), (BUCKET, None)):
        signed = gateway.signer.sign("GET", f"{gateway.endpoint}/{bucket}/k").headers
        answer = send(gateway, "GET", bucket, (*signed, ("Origin", PAGE)))
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") == allowed
