"""Renewals: in the background, paced, and never at a caller's expense."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_testing.credential_cache import CacheBench, credential_key
from bucketroute_testing.web_identity import projected_token, refusing

FIRST = "ASIA0000000000000001"
SECOND = "ASIA0000000000000002"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[CacheBench]:
    bench = CacheBench(tmp_path)
    yield bench
    await bench.close()


def _down(_serial: int) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def _served(bench: CacheBench) -> str | None:
    credentials = bench.cache.peek(credential_key())
    return credentials.access_key_id if credentials else None


@pytest.mark.rule("3.11.15", "3.11.8")
async def test_a_renewal_comes_5_minutes_before_the_end_and_no_request_pays(
    bench: CacheBench,
) -> None:
    await bench.get()
    await bench.use_until(3299)
    assert (_served(bench), bench.sts.calls) == (FIRST, 1)
    await bench.clock.advance(1)
    assert (_served(bench), bench.sts.calls) == (SECOND, 2)
    assert len(bench.observer.waits) == 1


@pytest.mark.rule("3.11.9")
async def test_while_a_renewal_runs_callers_keep_the_old_value(bench: CacheBench) -> None:
    await bench.get()
    await bench.use_until(3299)
    bench.sts.delay_seconds = 4
    await bench.clock.advance(2)
    assert bench.sts.calls == 2
    assert _served(bench) == FIRST
    assert (await bench.get()).access_key_id == FIRST
    await bench.clock.advance(4)
    assert (_served(bench), bench.sts.calls) == (SECOND, 2)


@pytest.mark.rule("3.11.12", "3.11.16")
async def test_failed_renewals_keep_the_old_value_and_back_off(bench: CacheBench) -> None:
    await bench.get()
    bench.sts.answer = _down
    await bench.use_until(3300 + 60)
    began = bench.sts.times[0]
    tries = [at - began - 3300 for at in bench.sts.times[1:]]
    assert tries == [0.0, 1.0, 2.75, 6.25, 13.25, 27.25, 55.25]
    assert _served(bench) == FIRST
    bench.sts.answer = None
    await bench.use_until(60)
    assert _served(bench) == "ASIA0000000000000009"


@pytest.mark.rule("3.11.10", "3.11.12")
async def test_when_no_renewal_succeeds_the_value_ends_5_seconds_early(bench: CacheBench) -> None:
    await bench.get()
    bench.sts.answer = _down
    await bench.use_until(3594)
    assert _served(bench) == FIRST
    await bench.clock.advance(1)
    assert _served(bench) is None
    assert isinstance(await bench.error(), BackendUnavailableError)


@pytest.mark.rule("3.11.10")
async def test_a_caller_under_5_seconds_joins_the_renewal_that_runs(bench: CacheBench) -> None:
    bench.sts.lifetime_seconds = 10
    await bench.get()
    await bench.clock.advance(4)
    _served(bench)
    bench.sts.delay_seconds = 2
    await bench.clock.advance(1)
    caller = bench.ask()
    await bench.clock.advance(2)
    assert ((await caller).access_key_id, bench.sts.calls) == (SECOND, 2)


@pytest.mark.rule("3.11.12", "3.11.17")
async def test_a_refused_renewal_is_told_with_what_still_serves(bench: CacheBench) -> None:
    credentials = await bench.get()
    bench.sts.answer = refusing("AccessDenied")
    await bench.use_until(3300)
    report = bench.observer.reports[-1]
    assert report.failure is not None
    assert (report.failure.code, report.expires_at) == ("AccessDenied", credentials.expires_at)
    assert (report.at, report.token_issued_at) == (bench.clock.now(), 1_800_000_000.0)


async def test_the_renewal_reads_the_token_again(bench: CacheBench) -> None:
    await bench.get()
    rotated = projected_token(issued_at=1_800_002_000)
    bench.token_file.write_text(rotated)
    await bench.use_until(3300)
    assert bench.sts.forms[1]["WebIdentityToken"] == rotated


async def test_renewals_are_paced_at_two_a_second(bench: CacheBench) -> None:
    keys = [credential_key(f"role-{n}") for n in range(20)]
    await asyncio.gather(*(bench.cache.get(key) for key in keys))
    await bench.clock.advance(60)
    for key in keys:
        bench.cache.peek(key)
    await bench.clock.advance(3600)
    began = bench.sts.times[20]
    assert [at - began for at in bench.sts.times[20:40]] == [n / 2 for n in range(20)]


async def test_a_cold_key_does_not_wait_behind_renewals(bench: CacheBench) -> None:
    keys = [credential_key(f"role-{n}") for n in range(20)]
    await asyncio.gather(*(bench.cache.get(key) for key in keys))
    await bench.clock.advance(60)
    for key in keys:
        bench.cache.peek(key)
    await bench.clock.advance(3300 - 60)
    renewals = bench.sts.calls - 20
    await bench.get(credential_key("cold"))
    assert renewals < 20
    assert bench.sts.forms[-1]["RoleArn"].endswith("role/cold")


async def test_what_nobody_used_since_its_renewal_is_dropped(bench: CacheBench) -> None:
    await bench.get()
    await bench.use_until(3300)
    await bench.clock.advance(3300)
    assert bench.sts.calls == 2
    assert bench.observer.drops == [credential_key()]
    assert _served(bench) is None


async def test_a_clock_that_jumps_brings_the_renewal_forward(bench: CacheBench) -> None:
    await bench.get()
    await bench.use_until(120)
    bench.clock.jump(3200)
    await bench.clock.advance(60)
    assert (_served(bench), bench.sts.calls) == (SECOND, 2)


async def test_prefetched_keys_are_exchanged_paced_with_nobody_waiting(bench: CacheBench) -> None:
    for n in range(4):
        bench.cache.prefetch(credential_key(f"role-{n}"))
    await bench.clock.advance(1)
    assert bench.sts.calls == 3
    await bench.clock.advance(0.5)
    assert bench.sts.calls == 4
    assert bench.cache.peek(credential_key("role-3")) is not None
    assert bench.observer.waits == []


async def test_a_key_that_serves_is_not_prefetched_again(bench: CacheBench) -> None:
    await bench.get()
    bench.cache.prefetch(credential_key())
    await bench.clock.advance(10)
    assert bench.sts.calls == 1


async def test_a_prefetch_that_failed_is_looked_at_again_until_it_succeeds(
    bench: CacheBench,
) -> None:
    bench.sts.answer = refusing("AccessDenied")
    bench.cache.prefetch(credential_key())
    await bench.clock.advance(95)
    began = bench.sts.times[0]
    assert [at - began for at in bench.sts.times] == [0.0, 30.0, 90.0]
    bench.sts.answer = None
    await bench.clock.advance(120)
    assert _served(bench) is not None


async def test_a_caller_puts_off_the_next_look_in_the_background(bench: CacheBench) -> None:
    bench.sts.answer = refusing("Throttling")
    bench.cache.prefetch(credential_key())
    await bench.clock.advance(5)
    await bench.error()
    await bench.clock.advance(59)
    assert bench.sts.calls == 2
    await bench.clock.advance(1)
    assert bench.sts.calls == 3


async def test_a_look_that_comes_due_while_a_caller_waits_joins_its_exchange(
    bench: CacheBench,
) -> None:
    bench.sts.answer = refusing("Throttling")
    bench.cache.prefetch(credential_key())
    await bench.clock.advance(29)
    bench.sts.answer, bench.sts.delay_seconds = None, 2
    caller = bench.ask()
    await bench.clock.advance(2)
    await caller
    assert bench.sts.calls == 2


@pytest.mark.rule("3.11.7")
async def test_a_renewal_refused_to_a_new_subject_leaves_it_nothing_of_the_old_one(
    bench: CacheBench,
) -> None:
    await bench.get()
    bench.token_file.write_text(projected_token("system:serviceaccount:other:other"))
    bench.sts.answer = refusing("AccessDenied")
    await bench.use_until(3300)
    assert bench.sts.calls == 2
    assert _served(bench) is None


async def test_a_refused_key_that_nobody_wants_is_forgotten(bench: CacheBench) -> None:
    bench.sts.answer = refusing("AccessDenied")
    await bench.error()
    await bench.clock.advance(30)
    assert (bench.sts.calls, bench.observer.drops) == (1, [credential_key()])


async def test_there_is_no_prefetch_at_the_expense_of_another_key(tmp_path: Path) -> None:
    bench = CacheBench(tmp_path, max_entries=1)
    await bench.get()
    bench.cache.prefetch(credential_key("other"))
    await bench.clock.advance(1)
    assert (_served(bench), bench.sts.calls) == (FIRST, 1)
    await bench.close()


async def test_a_key_that_is_not_retained_serves_no_more(bench: CacheBench) -> None:
    await bench.get()
    kept = await bench.get(credential_key("kept"))
    bench.cache.retain({credential_key("kept")})
    assert _served(bench) is None
    assert bench.cache.peek(credential_key("kept")) is kept
    assert bench.observer.drops == [credential_key()]


async def test_a_waiter_of_a_key_that_is_let_go_of_is_served_all_the_same(
    bench: CacheBench,
) -> None:
    bench.sts.delay_seconds = 2
    caller = bench.ask()
    await bench.clock.settle()
    bench.cache.retain(set())
    await bench.clock.advance(2)
    assert (await caller).access_key_id == FIRST
    assert _served(bench) is None


async def test_closing_ends_renewals(bench: CacheBench) -> None:
    await bench.get()
    await bench.cache.close()
    await bench.use_until(3600)
    assert bench.sts.calls == 1
