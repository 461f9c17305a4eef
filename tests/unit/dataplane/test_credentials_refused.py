"""Exchanges that fail: what callers get, for how long, and what is logged."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_testing.credential_cache import CacheBench, credential_key
from bucketroute_testing.web_identity import (
    SIGNATURE,
    refusing,
    secret_of,
    streamed,
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CacheBench]:
    bench = CacheBench(tmp_path)
    yield bench
    await bench.close()


def _down(_serial: int) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


@pytest.mark.rule("3.11.5")
async def test_when_the_sts_is_down_every_waiter_has_its_503_and_it_mends_itself(
    bench: CacheBench,
) -> None:
    bench.sts.answer = _down
    callers = [bench.ask() for _ in range(200)]
    await bench.clock.settle()
    for caller in callers:
        error = caller.exception()
        assert isinstance(error, BackendUnavailableError)
        assert (error.code, error.retry_after_seconds) == ("ServiceUnavailable", 1)
    assert bench.sts.calls == 1
    bench.sts.answer = None
    await bench.clock.advance(1)
    assert (await bench.get()).access_key_id == "ASIA0000000000000002"


@pytest.mark.rule("3.11.16")
async def test_while_it_backs_off_the_sts_is_left_alone(bench: CacheBench) -> None:
    bench.sts.answer = _down
    asked = []
    for _ in range(60):
        before = bench.sts.calls
        await bench.error()
        if bench.sts.calls > before:
            asked.append(bench.clock.now() - 1_800_000_000)
        await bench.clock.advance(0.5)
    # 1, 1.75, 3.5, 7, 7 … s apart (the jitter takes an eighth off), seen at half seconds.
    assert asked == [0.0, 1.0, 3.0, 6.5, 13.5, 20.5, 27.5]


@pytest.mark.rule("3.11.16", "3.11.5")
@pytest.mark.parametrize(
    ("code", "client_code"),
    [
        ("AccessDenied", "AccessDenied"),
        ("InvalidIdentityToken", "BackendAuthenticationFailed"),
        ("ExpiredTokenException", "BackendAuthenticationFailed"),
    ],
)
async def test_a_refusal_is_remembered_for_30_seconds(
    bench: CacheBench, code: str, client_code: str
) -> None:
    bench.sts.answer = refusing(code)
    assert (await bench.error()).code == client_code
    bench.sts.answer = None
    await bench.clock.advance(29.9)
    assert (await bench.error()).code == client_code
    assert bench.sts.calls == 1
    await bench.clock.advance(0.1)
    await bench.get()
    assert bench.sts.calls == 2


@pytest.mark.rule("3.11.16")
async def test_throttling_is_503_and_retry_after_is_passed_on(bench: CacheBench) -> None:
    bench.sts.answer = refusing("Throttling", retry_after="6")
    error = await bench.error()
    assert (error.code, error.status, error.retry_after_seconds) == ("SlowDown", 503, 6)
    bench.sts.answer = None
    await bench.clock.advance(5.9)
    assert (await bench.error()).retry_after_seconds == 1
    await bench.clock.advance(0.1)
    await bench.get()


@pytest.mark.rule("3.11.16")
async def test_a_minio_that_has_not_loaded_its_identity_provider_is_asked_again_soon(
    bench: CacheBench,
) -> None:
    bench.sts.answer = refusing("InvalidParameterValue")
    assert (await bench.error()).status == 502
    bench.sts.answer = None
    await bench.clock.advance(1)
    await bench.get()


@pytest.mark.rule("3.11.4")
async def test_an_answer_that_is_no_credentials_is_never_kept(bench: CacheBench) -> None:
    bench.sts.answer = lambda _serial: streamed(200, b"<html>Sign in</html>")
    assert (await bench.error()).status == 503
    assert bench.cache.peek(credential_key()) is None


@pytest.mark.rule("3.11.17", "3.11.5")
async def test_no_secret_is_ever_logged(
    bench: CacheBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await bench.get()
    bench.sts.answer = refusing("AccessDenied")
    await bench.error(credential_key("other"))
    assert "code=AccessDenied" in caplog.text
    assert "told by the STS" in caplog.text
    for secret in (SIGNATURE, secret_of(1), "session-token-1"):
        assert secret not in caplog.text


async def test_a_bug_in_an_exchange_is_an_error_for_its_callers_and_not_a_wait(
    bench: CacheBench, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_serial: int) -> httpx.Response:
        raise LookupError("a bug")

    bench.sts.answer = broken
    error = await bench.error()
    assert (error.code, error.status) == ("ServiceUnavailable", 503)
    assert "LookupError: a bug" in caplog.text
