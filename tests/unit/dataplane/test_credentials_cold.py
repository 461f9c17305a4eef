"""Cold keys: one exchange for everybody, bounded waits, bounded room, and nothing shared."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error
from bucketroute_dataplane.shell.credential_events import CredentialKey
from bucketroute_dataplane.shell.credentials import WAIT_SECONDS
from bucketroute_testing.credential_cache import REGION, CacheBench, credential_key
from bucketroute_testing.web_identity import (
    projected_token,
    web_identity_auth,
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CacheBench]:
    bench = CacheBench(tmp_path)
    yield bench
    await bench.close()


def _down(_serial: int) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


async def test_a_cold_key_has_nothing_to_peek_at(bench: CacheBench) -> None:
    assert bench.cache.peek(credential_key()) is None
    assert bench.sts.calls == 0


async def test_after_one_exchange_nobody_waits(bench: CacheBench) -> None:
    credentials = await bench.get()
    assert bench.cache.peek(credential_key()) is credentials
    assert await bench.get() is credentials
    assert bench.sts.calls == 1


@pytest.mark.rule("3.11.14")
async def test_200_cold_callers_cause_one_exchange(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 2
    callers = [bench.ask() for _ in range(200)]
    await bench.clock.advance(2)
    credentials = {id(await caller) for caller in callers}
    assert (len(credentials), bench.sts.calls) == (1, 1)
    assert len(bench.observer.waits) == 200
    assert bench.observer.waits[0] == (credential_key(), 2.0, True)


@pytest.mark.rule("3.11.14")
async def test_a_first_caller_that_goes_away_takes_nobody_along(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 2
    callers = [bench.ask() for _ in range(10)]
    await bench.clock.advance(1)
    callers[0].cancel()
    await bench.clock.advance(1)
    served = await asyncio.gather(*callers[1:])
    assert callers[0].cancelled()
    assert {credentials.access_key_id for credentials in served} == {"ASIA0000000000000001"}
    assert bench.sts.calls == 1


@pytest.mark.rule("3.11.14")
async def test_when_every_caller_goes_away_the_exchange_still_ends_well(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 2
    caller = bench.ask()
    await bench.clock.advance(1)
    caller.cancel()
    await bench.clock.advance(1)
    assert bench.cache.peek(credential_key()) is not None


@pytest.mark.rule("3.11.13")
async def test_a_slow_key_holds_no_other_up(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 4
    slow = bench.ask(credential_key("slow"))
    await bench.clock.settle()
    bench.sts.delay_seconds = 0
    await bench.get(credential_key("fast"))
    assert not slow.done()
    await bench.clock.advance(4)
    assert (await slow).access_key_id == "ASIA0000000000000001"


async def test_cold_keys_are_exchanged_at_once_however_many(bench: CacheBench) -> None:
    keys = [credential_key(f"role-{n}") for n in range(50)]
    await asyncio.gather(*(bench.cache.get(key) for key in keys))
    assert bench.sts.times == [bench.clock.now()] * 50


async def test_a_wait_ends_at_its_deadline_and_the_late_answer_still_serves(
    bench: CacheBench,
) -> None:
    bench.sts.delay_seconds = WAIT_SECONDS + 2
    callers = [bench.ask() for _ in range(20)]
    await bench.clock.advance(WAIT_SECONDS - 0.1)
    assert not any(caller.done() for caller in callers)
    await bench.clock.advance(0.1)
    for caller in callers:
        error = caller.exception()
        assert isinstance(error, BackendUnavailableError)
        assert (error.code, error.status, error.retry_after_seconds) == ("SlowDown", 503, 2)
    assert bench.observer.waits[0][2] is False
    await bench.clock.advance(2)
    assert bench.cache.peek(credential_key()) is not None
    assert bench.sts.calls == 1


@pytest.mark.rule("3.11.11")
async def test_an_exchange_that_hangs_is_given_up_and_asked_again(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 3600
    caller = bench.ask()
    await bench.clock.advance(10)
    assert isinstance(caller.exception(), BackendUnavailableError)
    assert "did not answer in time" in bench.observer.reports[0].failure.detail  # type: ignore[union-attr]  # the exchange failed
    bench.sts.delay_seconds = 0
    await bench.clock.advance(2)
    await bench.get()
    assert bench.sts.calls == 2


async def test_the_token_file_is_read_at_every_exchange(bench: CacheBench) -> None:
    await bench.get(credential_key("first"))
    rotated = projected_token(issued_at=1_800_002_000)
    bench.token_file.write_text(rotated)
    await bench.get(credential_key("second"))
    assert [form["WebIdentityToken"] for form in bench.sts.forms] == [projected_token(), rotated]


async def test_a_token_that_is_not_there_yet_is_503_and_then_it_is_there(bench: CacheBench) -> None:
    bench.token_file.unlink()
    error = await bench.error()
    assert isinstance(error, BackendUnavailableError)
    assert (error.status, error.retry_after_seconds, bench.sts.calls) == (503, 1, 0)
    assert "No such file" in error.detail
    bench.token_file.write_text(projected_token())
    await bench.clock.advance(1)
    await bench.get()


@pytest.mark.rule("3.11.7")
@pytest.mark.parametrize(
    "other",
    [
        CredentialKey(web_identity_auth(role="other"), REGION),
        CredentialKey(web_identity_auth(sts_endpoint="http://other.test"), REGION),
        CredentialKey(web_identity_auth(session_policy="{}"), REGION),
        CredentialKey(web_identity_auth(session_name="other"), REGION),
        CredentialKey(web_identity_auth(), "other"),
    ],
    ids=["role", "endpoint", "policy", "session-name", "region"],
)
async def test_keys_that_differ_in_anything_share_nothing(
    bench: CacheBench, other: CredentialKey
) -> None:
    first = await bench.get()
    assert bench.cache.peek(other) is None
    assert await bench.get(other) is not first


@pytest.mark.rule("3.11.7")
async def test_two_subjects_never_share(bench: CacheBench) -> None:
    await bench.get()
    bench.token_file.write_text(projected_token("system:serviceaccount:other:other"))
    await bench.get(credential_key("other"))
    assert bench.cache.peek(credential_key()) is None
    assert (await bench.get()).access_key_id == "ASIA0000000000000003"


@pytest.mark.rule("3.11.7")
async def test_an_exchange_that_began_before_the_subject_changed_serves_nobody(
    bench: CacheBench,
) -> None:
    bench.sts.delay_seconds = 2
    early = bench.ask()
    await bench.clock.settle()
    bench.sts.delay_seconds = 0
    bench.token_file.write_text(projected_token("system:serviceaccount:other:other"))
    other = await bench.get(credential_key("other"))
    await bench.clock.advance(2)
    assert isinstance(early.exception(), BackendUnavailableError)
    assert bench.cache.peek(credential_key()) is None
    assert bench.cache.peek(credential_key("other")) is other


async def test_closing_ends_every_wait_and_refuses_new_ones(bench: CacheBench) -> None:
    bench.sts.delay_seconds = 2
    caller = bench.ask()
    await bench.clock.settle()
    await bench.cache.close()
    await bench.clock.settle()
    assert isinstance(caller.exception(), BackendUnavailableError)
    with pytest.raises(S3Error, match="SlowDown"):
        await bench.cache.get(credential_key("other"))
    assert bench.sts.calls == 1


async def test_the_key_that_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    bench = CacheBench(tmp_path, max_entries=2)
    for role in ("first", "second"):
        await bench.get(credential_key(role))
        await bench.clock.advance(1)
    bench.cache.peek(credential_key("first"))
    await bench.get(credential_key("third"))
    assert bench.cache.peek(credential_key("first")) is not None
    assert bench.cache.peek(credential_key("second")) is None
    assert bench.observer.drops == [credential_key("second")]
    await bench.close()


async def test_with_no_room_left_a_caller_is_told_to_slow_down(tmp_path: Path) -> None:
    bench = CacheBench(tmp_path, max_entries=1)
    bench.sts.delay_seconds = 2
    caller = bench.ask()
    await bench.clock.settle()
    assert (await bench.error(credential_key("other"))).code == "SlowDown"
    await bench.clock.advance(2)
    await caller
    await bench.close()
