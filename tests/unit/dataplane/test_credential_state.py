"""The life of credentials, with times and jitter given."""

from dataclasses import replace

import pytest

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.credential_state import (
    CredentialState,
    Fetch,
    Refused,
    Use,
    back_off_seconds,
    renewal_lead_seconds,
)
from bucketroute_dataplane.core.sts import ExchangeFailure, StsRefusal, StsUnavailable
from bucketroute_snapshot import Secret

NOW = 1_800_000_000.0
MIDDLE = 0.5
DENIED = StsRefusal(code="AccessDenied", message="", retryable=False, negative_cache_seconds=30.0)
THROTTLED = StsRefusal(code="Throttling", message="", retryable=True, negative_cache_seconds=0.0)
DOWN = StsUnavailable(detail="down")


def _credentials(life_seconds: float) -> Credentials:
    return Credentials(
        access_key_id="ASIA", secret_access_key=Secret("s"), expires_at=NOW + life_seconds
    )


def _fresh(life_seconds: float = 3600.0, jitter: float = MIDDLE) -> CredentialState:
    return CredentialState().succeeded(_credentials(life_seconds), NOW, jitter)


def _failing(*failures: ExchangeFailure) -> CredentialState:
    state = CredentialState()
    for failure in failures:
        state = state.failed(failure, NOW, 0.0)
    return state


def test_with_nothing_known_credentials_are_fetched() -> None:
    assert CredentialState().next_step(NOW) == Fetch()


@pytest.mark.rule("3.11.8", "3.11.9")
@pytest.mark.parametrize("left", [3600.0, 61.0, 59.0, 5.1])
def test_credentials_serve_while_more_than_5_seconds_are_left(left: float) -> None:
    assert isinstance(_fresh().next_step(NOW + 3600 - left), Use)


@pytest.mark.rule("3.11.10")
@pytest.mark.parametrize("left", [5.0, 0.0, -60.0])
def test_under_5_seconds_credentials_never_serve(left: float) -> None:
    assert _fresh().next_step(NOW + 3600 - left) == Fetch()
    assert _fresh().servable(NOW + 3600 - left) is None


def test_credentials_that_do_not_expire_serve_for_ever() -> None:
    lasting = replace(_credentials(0.0), expires_at=None)
    assert CredentialState().succeeded(lasting, NOW, MIDDLE).next_step(NOW * 2) == Use(lasting)


@pytest.mark.rule("3.11.15")
@pytest.mark.parametrize(
    ("life_seconds", "jitter", "lead_seconds"),
    [
        (3600.0, 0.5, 300.0),
        (3600.0, 0.0, 270.0),
        (3600.0, 1.0, 330.0),
        (900.0, 0.5, 180.0),
        (900.0, 0.0, 162.0),
        (310.0, 0.0, 60.0),
        (200.0, 0.5, 60.0),
        (40.0, 0.5, 20.0),
    ],
)
def test_the_renewal_lead(life_seconds: float, jitter: float, lead_seconds: float) -> None:
    assert renewal_lead_seconds(life_seconds, jitter) == pytest.approx(lead_seconds)


@pytest.mark.rule("3.11.15")
def test_a_renewal_is_due_one_lead_before_the_end() -> None:
    assert _fresh().background_at() == NOW + 3300


@pytest.mark.rule("3.11.12")
def test_a_failed_renewal_keeps_the_old_value_and_waits() -> None:
    state = _fresh().failed(DOWN, NOW + 3300, 0.0)
    assert isinstance(state.next_step(NOW + 3300), Use)
    assert state.background_at() == NOW + 3301
    assert state.failed(DOWN, NOW + 3301, 0.0).background_at() == NOW + 3303


@pytest.mark.rule("3.11.12", "3.11.16")
def test_a_refused_renewal_is_not_asked_for_again_for_30_seconds() -> None:
    assert _fresh().failed(DENIED, NOW + 3300, 0.0).background_at() == NOW + 3330


@pytest.mark.rule("3.11.10", "3.11.12")
def test_after_failed_renewals_nothing_serves_beyond_the_end() -> None:
    state = _fresh().failed(DENIED, NOW + 3590, 0.0)
    assert state.next_step(NOW + 3596) == Refused(DENIED, 24)
    assert state.next_step(NOW + 3620) == Fetch()


def test_credentials_that_ended_are_let_go_of() -> None:
    assert _fresh().failed(DOWN, NOW + 3600, 0.0).credentials is None


@pytest.mark.rule("3.11.16")
def test_a_refusal_for_good_is_remembered_for_30_seconds() -> None:
    state = _failing(DENIED)
    assert state.next_step(NOW) == Refused(DENIED, 30)
    assert state.next_step(NOW + 29.5) == Refused(DENIED, 1)
    assert state.next_step(NOW + 30) == Fetch()


@pytest.mark.rule("3.11.16")
@pytest.mark.parametrize("failure", [THROTTLED, DOWN])
def test_what_may_pass_backs_off_from_1_to_8_seconds(failure: ExchangeFailure) -> None:
    waits = [_failing(*[failure] * n).retry_at - NOW for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 8, 8]


@pytest.mark.rule("3.11.16")
def test_retry_after_is_longer_than_the_back_off() -> None:
    assert _failing(replace(THROTTLED, negative_cache_seconds=20.0)).retry_at == NOW + 20


@pytest.mark.rule("3.11.16")
def test_a_success_ends_the_back_off() -> None:
    state = _failing(DOWN, DOWN, DOWN).succeeded(_credentials(3600), NOW, MIDDLE)
    assert state.failed(DOWN, NOW + 3300, 0.0).retry_at == NOW + 3301


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 8.0), (0.5, 7.0), (1.0, 6.0)])
def test_jitter_takes_up_to_a_quarter_off_a_back_off(jitter: float, seconds: float) -> None:
    assert back_off_seconds(9, 8.0, jitter) == seconds


def test_the_shortest_back_off_is_a_second() -> None:
    assert back_off_seconds(1, 8.0, 0.99) == 1.0


def test_a_failed_key_that_nobody_asks_for_is_looked_at_ever_more_seldom() -> None:
    waits = [_failing(*[DENIED] * n).background_at() - NOW for n in range(1, 7)]
    assert waits == [30, 60, 120, 240, 300, 300]


def test_a_clock_that_was_set_back_makes_no_wait_longer() -> None:
    state = CredentialState().failed(THROTTLED, NOW, 0.0)
    assert isinstance(state.next_step(NOW), Refused)
    assert state.next_step(NOW - 3600) == Fetch()
