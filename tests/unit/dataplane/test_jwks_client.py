"""What an issuer is asked, and every way in which its answer is not taken."""

import asyncio
import json
from collections.abc import Callable, Mapping

import httpx
import pytest

from bucketroute_dataplane.core.jwk import KeySet
from bucketroute_dataplane.shell.jwks import (
    FETCH_SECONDS,
    MAX_DOCUMENT_BYTES,
    JwksClient,
    JwksUnavailableError,
)
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.identity_tokens import EXTERNAL, jwk, jwks, rsa_key
from bucketroute_testing.web_identity import streamed

DISCOVERY = f"{EXTERNAL}/.well-known/openid-configuration"
KEYS = f"{EXTERNAL}/keys"
DOCUMENT = {"issuer": EXTERNAL, "jwks_uri": KEYS}
Pages = Mapping[str, Callable[[], httpx.Response]]


def _json(value: object, status: int = 200) -> Callable[[], httpx.Response]:
    return lambda: streamed(status, json.dumps(value).encode())


def _keys() -> httpx.Response:
    return streamed(200, jwks(jwk(rsa_key())).encode())


def _client(pages: Pages, seen: list[httpx.Request] | None = None) -> JwksClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return pages[str(request.url)]()

    return JwksClient(clock=FakeClock(), transport_factory=lambda *_: httpx.MockTransport(handle))


async def _fetch(pages: Pages, issuer: str = EXTERNAL) -> KeySet:
    client = _client(pages)
    try:
        return await client.fetch(issuer)
    finally:
        await client.close()


async def test_discovery_leads_to_the_keys() -> None:
    seen: list[httpx.Request] = []
    client = _client({DISCOVERY: _json(DOCUMENT), KEYS: _keys}, seen)
    assert set(await client.fetch(EXTERNAL)) == {"k1"}
    assert [(request.method, str(request.url)) for request in seen] == [
        ("GET", DISCOVERY),
        ("GET", KEYS),
    ]
    assert not any("cookie" in request.headers for request in seen)
    await client.close()


async def test_an_issuer_may_end_in_a_slash() -> None:
    issuer = EXTERNAL + "/"
    pages = {DISCOVERY: _json({"issuer": issuer, "jwks_uri": KEYS}), KEYS: _keys}
    assert set(await _fetch(pages, issuer)) == {"k1"}


@pytest.mark.rule("3.12.23", "3.12.24")
@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({DISCOVERY: _json({**DOCUMENT, "issuer": "https://other"})}, "another issuer"),
        ({DISCOVERY: _json([])}, "another issuer"),
        ({DISCOVERY: _json({**DOCUMENT, "jwks_uri": "http://id.example.com/keys"})}, "not https"),
        ({DISCOVERY: _json({"issuer": EXTERNAL})}, "not https"),
        ({DISCOVERY: _json(DOCUMENT, 404)}, "404"),
        ({DISCOVERY: _json(DOCUMENT, 302)}, "302"),
        ({DISCOVERY: lambda: streamed(200, b"<html>")}, "not JSON"),
        ({DISCOVERY: lambda: streamed(200, b"[" * 200_000)}, "not JSON"),
        ({DISCOVERY: _json(DOCUMENT), KEYS: _json({})}, "JWK Set"),
        (
            {
                DISCOVERY: _json(DOCUMENT),
                KEYS: lambda: streamed(200, b" " * (MAX_DOCUMENT_BYTES + 1)),
            },
            "more than",
        ),
    ],
)
async def test_an_answer_that_is_not_good_is_not_taken(pages: Pages, reason: str) -> None:
    with pytest.raises(JwksUnavailableError, match=reason):
        await _fetch(pages)


@pytest.mark.rule("3.12.23")
@pytest.mark.parametrize("issuer", ["http://id.example.com", "id.example.com", "https://a:b"])
async def test_only_https_is_asked(issuer: str) -> None:
    with pytest.raises(JwksUnavailableError):
        await _fetch({}, issuer)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("refused"), "ConnectError"),
        (httpx.ReadTimeout("slow"), "in time"),
        (httpx.RemoteProtocolError("garbage"), "RemoteProtocolError"),
    ],
)
async def test_an_issuer_that_cannot_be_asked_says_why(error: Exception, reason: str) -> None:
    def fail() -> httpx.Response:
        raise error

    with pytest.raises(JwksUnavailableError, match=reason):
        await _fetch({DISCOVERY: fail})


@pytest.mark.rule("3.12.24")
async def test_the_whole_fetch_is_bounded_in_time() -> None:
    clock, is_asked = FakeClock(), asyncio.Event()

    async def hang(_request: httpx.Request) -> httpx.Response:
        is_asked.set()
        await clock.sleep(3600)
        raise AssertionError("cancelled before")

    client = JwksClient(clock=clock, transport_factory=lambda *_: httpx.MockTransport(hang))
    waiting = asyncio.create_task(client.fetch(EXTERNAL))
    # The trust store is read in a thread, which no fake clock waits for.
    await is_asked.wait()
    await clock.advance(FETCH_SECONDS)
    with pytest.raises(JwksUnavailableError, match="in time"):
        await waiting
    await client.close()
