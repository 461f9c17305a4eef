"""What the STS client sends, what it trusts, and every way in which there is no answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.sts import StsAnswer, StsRefusal, StsUnavailable
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.sts_client import (
    EXCHANGE_SECONDS,
    MAX_ANSWER_BYTES,
    StsClient,
    StsUnreachableError,
)
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_dataplane.shell.web_identity import WebIdentityExchanger
from bucketroute_snapshot import CABundle, NetworkScope
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.tls import make_certificate
from bucketroute_testing.transports import settle
from bucketroute_testing.web_identity import (
    SIGNATURE,
    ScriptedSts,
    projected_token,
    refusing,
    streamed,
    web_identity_auth,
)

ENDPOINT = "http://sts.test:9000"
FORM = b"Action=AssumeRoleWithWebIdentity"

Handler = Callable[[httpx.Request], httpx.Response]


def _client(handler: Handler) -> StsClient:
    return StsClient(clock=FakeClock(), transport_factory=lambda *_: httpx.MockTransport(handler))


def _failing(error: Exception) -> Handler:
    def handler(_request: httpx.Request) -> httpx.Response:
        raise error

    return handler


async def _post(client: StsClient) -> StsAnswer:
    return await client.post(ENDPOINT, FORM, ca_bundle=None)


@pytest.mark.rule("3.11.2")
async def test_the_form_is_posted_as_it_is() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(200, b"<a/>", {"retry-after": "3"})

    answer = await _post(_client(handler))
    assert answer == StsAnswer(status=200, body=b"<a/>", retry_after="3")
    request = seen[0]
    assert (request.method, str(request.url), request.content) == ("POST", ENDPOINT, FORM)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == str(len(FORM))
    assert request.extensions["timeout"]["connect"] == 3.0
    assert request.extensions["timeout"]["read"] == 8.0


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return streamed(307, headers={"location": "http://elsewhere.test/"})

    assert (await _post(_client(handler))).status == 307
    assert seen == [ENDPOINT]


async def test_cookies_are_not_sent_back() -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return streamed(200, headers={"set-cookie": "a=b"})

    client = _client(handler)
    await _post(client)
    await _post(client)
    assert seen == [None, None]


async def test_proxies_of_the_environment_are_not_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    assert (await _post(_client(lambda _request: streamed(204)))).status == 204


@pytest.mark.rule("3.11.5")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (httpx.ConnectTimeout("slow"), "connecting to the STS at http://sts.test:9000 timed out"),
        (httpx.ReadTimeout("slow"), "did not answer in time"),
        (httpx.PoolTimeout("full"), "did not answer in time"),
        (httpx.ConnectError("refused"), "ConnectError: refused"),
        (httpx.RemoteProtocolError("odd"), "RemoteProtocolError: odd"),
        (httpx.ReadError("reset"), "ReadError: reset"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_httpx_raises_becomes_one_error(error: Exception, message: str) -> None:
    with pytest.raises(StsUnreachableError, match=message):
        await _post(_client(_failing(error)))


async def test_an_endpoint_that_is_no_url_is_unreachable() -> None:
    client = _client(lambda _request: streamed(200))
    with pytest.raises(StsUnreachableError, match="cannot be asked"):
        await client.post("http://[::1", FORM, ca_bundle=None)


async def test_an_answer_without_an_end_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 8192

    client = _client(lambda _request: httpx.Response(200, content=endless()))
    with pytest.raises(StsUnreachableError, match=f"more than {MAX_ANSWER_BYTES} bytes"):
        await _post(client)


@pytest.mark.rule("3.11.11")
async def test_an_exchange_that_hangs_is_given_up_at_its_deadline() -> None:
    clock = FakeClock()
    sts = ScriptedSts(clock=clock, delay_seconds=3600)
    client = StsClient(clock=clock, transport_factory=sts.transport)
    asking = asyncio.ensure_future(_post(client))
    await clock.advance(EXCHANGE_SECONDS - 0.1)
    assert not asking.done()
    await clock.advance(0.2)
    with pytest.raises(StsUnreachableError, match="did not answer in time"):
        await asking


async def test_a_cancelled_exchange_ends_its_request() -> None:
    ended = asyncio.Event()

    async def handler(_request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        raise AssertionError

    client = StsClient(clock=FakeClock(), transport_factory=lambda *_: httpx.MockTransport(handler))
    asking = asyncio.ensure_future(_post(client))
    await settle(20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ended.is_set()


class _Contexts:
    """Counts the trust stores that transports are made for."""

    def __init__(self) -> None:
        self.seen: list[ssl.SSLContext] = []

    def transport(self, context: ssl.SSLContext, _scope: NetworkScope) -> httpx.AsyncBaseTransport:
        self.seen.append(context)
        return httpx.MockTransport(lambda _request: streamed(200))


@pytest.fixture
def ca_pem(tmp_path: Path) -> str:
    return make_certificate(tmp_path / "tls").ca.read_text()


async def test_each_ca_bundle_has_one_client_of_its_own(ca_pem: str) -> None:
    contexts = _Contexts()
    client = StsClient(clock=SystemClock(), transport_factory=contexts.transport)
    client.update_ca_bundles([CABundle(name="corporate", pem=ca_pem)])
    for _ in range(2):
        await client.post("https://sts.test", FORM, ca_bundle="corporate")
        await client.post("https://sts.test", FORM, ca_bundle=None)
        await client.post("http://sts.test", FORM, ca_bundle="corporate")
    corporate, system, plain = contexts.seen
    assert len(corporate.get_ca_certs()) == 1
    assert plain.get_ca_certs() == []
    for context in contexts.seen:
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert system.cert_store_stats() != corporate.cert_store_stats()
    await client.close()


@pytest.mark.parametrize(
    ("bundles", "message"),
    [
        ([], "CA bundle 'corporate' for the STS at https://sts.test is not configured"),
        ([CABundle(name="corporate", pem="no certificate")], "is not PEM"),
    ],
)
async def test_a_ca_bundle_that_cannot_be_used_is_an_error(
    bundles: list[CABundle], message: str
) -> None:
    client = StsClient(clock=SystemClock(), transport_factory=_Contexts().transport)
    client.update_ca_bundles(bundles)
    with pytest.raises(StsUnreachableError, match=message):
        await client.post("https://sts.test", FORM, ca_bundle="corporate")


@pytest.fixture
def exchange_parts(tmp_path: Path) -> tuple[Path, ScriptedSts, WebIdentityExchanger]:
    clock = FakeClock()
    path = tmp_path / "token"
    path.write_text(projected_token())
    sts = ScriptedSts(clock=clock)
    exchanger = WebIdentityExchanger(
        tokens=TokenFile(path),
        sts=StsClient(clock=clock, transport_factory=sts.transport),
        clock=clock,
    )
    return path, sts, exchanger


@pytest.mark.rule("3.11.2", "3.11.4")
async def test_an_exchange_gives_credentials_and_tells_whose_token_it_was(
    exchange_parts: tuple[Path, ScriptedSts, WebIdentityExchanger],
) -> None:
    _, sts, exchanger = exchange_parts
    exchange = await exchanger.exchange(web_identity_auth())
    assert isinstance(exchange.outcome, Credentials)
    assert exchange.token is not None
    assert exchange.token.value.reveal() == sts.forms[0]["WebIdentityToken"]
    assert SIGNATURE not in repr(exchange)


async def test_a_refusal_and_an_unreachable_sts_are_values(
    exchange_parts: tuple[Path, ScriptedSts, WebIdentityExchanger],
) -> None:
    _, sts, exchanger = exchange_parts
    sts.answer = refusing("AccessDenied", status=403)
    refused = await exchanger.exchange(web_identity_auth())
    assert isinstance(refused.outcome, StsRefusal)
    auth = replace(web_identity_auth(), sts_endpoint="https://sts.test", sts_ca_bundle="absent")
    unreachable = await exchanger.exchange(auth)
    assert isinstance(unreachable.outcome, StsUnavailable)
    assert "absent" in unreachable.outcome.detail


async def test_without_a_token_the_sts_is_not_asked(
    exchange_parts: tuple[Path, ScriptedSts, WebIdentityExchanger],
) -> None:
    path, sts, exchanger = exchange_parts
    path.write_text("not a token")
    exchange = await exchanger.exchange(web_identity_auth())
    assert isinstance(exchange.outcome, StsUnavailable)
    assert (exchange.outcome.code, exchange.token, sts.calls) == ("TokenUnreadable", None, 0)
