"""When issuers are asked for their keys, how often, and what is served when they do not answer."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity_token import TrustedIssuer
from bucketroute_dataplane.core.jwk import KeySet, parse_jwks
from bucketroute_dataplane.shell.issuer_keys import (
    FRESH_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
    IssuerKeys,
)
from bucketroute_dataplane.shell.jwks import JwksUnavailableError
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.identity_tokens import (
    AUDIENCE,
    CLUSTER,
    EXTERNAL,
    class_settings,
    ec_key,
    jwk,
    jwks,
    rsa_key,
)

ISSUER = TrustedIssuer(issuer=EXTERNAL, audiences=("s3",), is_cluster=False)
CLUSTER_ISSUER = TrustedIssuer(issuer=CLUSTER, audiences=(AUDIENCE,), is_cluster=True)
FIRST = parse_jwks(jwks(jwk(rsa_key(), "k1")))
ROTATED = parse_jwks(jwks(jwk(ec_key(), "k2"), jwk(rsa_key(), "k1")))


@dataclass
class ScriptedIssuer:
    """Implements `KeyFetcher`: `keys` None is an outage; an answer takes `delay_seconds`."""

    clock: FakeClock
    keys: KeySet | None = field(default_factory=lambda: FIRST)
    delay_seconds: float = 0.0
    calls: int = 0
    is_closed: bool = False

    async def fetch(self, issuer: str) -> KeySet:
        assert issuer == EXTERNAL
        self.calls += 1
        if self.delay_seconds:
            await self.clock.sleep(self.delay_seconds)
        if self.keys is None:
            raise JwksUnavailableError("an outage")
        return self.keys

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.issuer = ScriptedIssuer(self.clock)
        self.keys = IssuerKeys(self.issuer, clock=self.clock)
        self.keys.update(class_settings())

    async def finds(self, key_id: str, issuer: TrustedIssuer = ISSUER) -> bool:
        return await self.keys.find(issuer, key_id) is not None


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_cluster_s_keys_are_at_hand(bench: Bench) -> None:
    assert bench.keys.known(CLUSTER_ISSUER, "k1") is not None
    assert bench.keys.known(CLUSTER_ISSUER, "k2") is None
    assert bench.issuer.calls == 0


@pytest.mark.rule("3.12.23")
async def test_an_external_issuer_is_asked_once_for_a_quarter_of_an_hour(bench: Bench) -> None:
    assert bench.keys.known(ISSUER, "k1") is None
    assert await bench.finds("k1")
    assert bench.keys.known(ISSUER, "k1") is not None
    await bench.clock.advance(FRESH_SECONDS)
    assert await bench.finds("k1")
    assert bench.issuer.calls == 1
    await bench.clock.advance(1)
    assert bench.keys.known(ISSUER, "k1") is None
    assert await bench.finds("k1")
    assert bench.issuer.calls == 2


@pytest.mark.rule("3.12.24")
async def test_a_thousand_callers_at_once_are_one_fetch(bench: Bench) -> None:
    bench.issuer.delay_seconds = 1
    waiting = [asyncio.create_task(bench.finds("k1")) for _ in range(1000)]
    await bench.clock.advance(1)
    assert all(await asyncio.gather(*waiting))
    assert bench.issuer.calls == 1


@pytest.mark.rule("3.12.24")
async def test_a_caller_that_goes_away_leaves_the_fetch_to_the_others(bench: Bench) -> None:
    bench.issuer.delay_seconds = 1
    first, second = (asyncio.create_task(bench.finds("k1")) for _ in range(2))
    await bench.clock.settle()
    first.cancel()
    await bench.clock.advance(1)
    assert await second
    assert first.cancelled()


@pytest.mark.rule("3.12.24")
async def test_an_unknown_key_asks_again_but_not_more_than_twice_a_minute(bench: Bench) -> None:
    assert await bench.finds("k1")
    bench.issuer.keys = ROTATED
    assert not await bench.finds("k2")
    assert bench.issuer.calls == 1
    await bench.clock.advance(RETRY_SECONDS)
    assert await bench.finds("k2")
    assert bench.issuer.calls == 2
    for key_id in ("x", "y", "z"):
        assert not await bench.finds(key_id)
    assert bench.issuer.calls == 2


@pytest.mark.rule("3.12.24")
async def test_stale_keys_are_served_for_a_day_of_outage(bench: Bench) -> None:
    assert await bench.finds("k1")
    bench.issuer.keys = None
    await bench.clock.advance(STALE_SECONDS)
    assert await bench.finds("k1")
    assert bench.issuer.calls == 2
    await bench.clock.advance(1)
    with pytest.raises(S3Error) as caught:
        await bench.finds("k1")
    assert (caught.value.code, caught.value.status) == ("IDPCommunicationError", 400)


@pytest.mark.rule("3.12.23")
async def test_a_failure_is_remembered_for_half_a_minute(bench: Bench) -> None:
    bench.issuer.keys = None
    for _ in range(3):
        with pytest.raises(S3Error, match="IDPCommunicationError"):
            await bench.finds("k1")
    assert bench.issuer.calls == 1
    bench.issuer.keys = FIRST
    await bench.clock.advance(RETRY_SECONDS)
    assert await bench.finds("k1")


async def test_an_issuer_that_leaves_the_class_is_forgotten(bench: Bench) -> None:
    assert await bench.finds("k1")
    bench.keys.update(replace(class_settings(), client_issuers=()))
    assert bench.keys.known(ISSUER, "k1") is None
    assert not await bench.finds("k1")
    bench.keys.update(class_settings())
    assert bench.keys.known(ISSUER, "k1") is None


async def test_a_new_snapshot_keeps_what_was_fetched(bench: Bench) -> None:
    assert await bench.finds("k1")
    bench.keys.update(class_settings())
    assert bench.keys.known(ISSUER, "k1") is not None


@pytest.mark.rule("3.12.24")
async def test_an_unknown_key_of_the_cluster_polls_the_configuration_once(bench: Bench) -> None:
    polls = 0

    async def repoll() -> None:
        nonlocal polls
        polls += 1
        bench.keys.update(class_settings(jwks(jwk(ec_key(), "k2"))))

    bench.keys.repoll = repoll
    assert await bench.finds("k2", CLUSTER_ISSUER)
    assert bench.keys.known(CLUSTER_ISSUER, "k1") is None
    assert not await bench.finds("k1", CLUSTER_ISSUER)
    assert polls == 1
    await bench.clock.advance(RETRY_SECONDS)
    assert not await bench.finds("k1", CLUSTER_ISSUER)
    assert polls == 2


async def test_a_poll_that_hangs_is_given_up(bench: Bench) -> None:
    async def repoll() -> None:
        await bench.clock.sleep(3600)

    bench.keys.repoll = repoll
    waiting = asyncio.create_task(bench.finds("k2", CLUSTER_ISSUER))
    await bench.clock.advance(5)
    assert not await waiting


async def test_without_a_poll_an_unknown_key_is_unknown(bench: Bench) -> None:
    assert not await bench.finds("k2", CLUSTER_ISSUER)


@pytest.mark.parametrize("document", ["no json", None])
async def test_keys_of_the_cluster_that_cannot_be_read_are_none(document: str | None) -> None:
    bench = Bench()
    bench.keys.update(replace(class_settings(), cluster_jwks=document))
    assert bench.keys.known(CLUSTER_ISSUER, "k1") is None


async def test_closing_ends_a_fetch_and_the_connections(bench: Bench) -> None:
    bench.issuer.delay_seconds = 1000
    waiting = asyncio.create_task(bench.finds("k1"))
    await bench.clock.settle()
    await bench.keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.issuer.is_closed
