"""What makes a window count: nothing fast and wrong may."""

from typing import Any

import pytest

from bench.scenarios import MiB, Scenario
from bench.targets import Signer, Target
from bench.windows import problems_of
from bucketroute_testing.bench_runs import SMALL, counts, load

_UPLOAD = Scenario(method="PUT", size_bytes=MiB, concurrency=4)
_SLOW = Scenario(method="GET", size_bytes=32 * MiB, concurrency=64, read_bytes_per_second=8 * MiB)


def _target(signer: Signer = Signer.BACKEND) -> Target:
    return Target(name="proxy", argv=(), port=1, signer=signer, checks_signatures=False)


def test_a_window_in_which_nothing_was_wrong_counts() -> None:
    assert problems_of(_target(), SMALL, load(), counts()) == []
    assert problems_of(_target(), _UPLOAD, load(), counts()) == []


@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        pytest.param({"unsigned_requests": 2}, "2 backend requests were not signed", id="unsigned"),
        pytest.param(
            {"signed_by_other_key": 3},
            "3 backend requests bore another key's signature",
            id="another-key",
        ),
        pytest.param({"chunked_uploads": 1}, "1 uploads reached the backend chunked", id="chunked"),
        pytest.param(
            {"wrong_bodies": 1}, "1 uploads reached the backend with a wrong body", id="wrong-body"
        ),
        pytest.param({"short_bodies": 1}, "1 uploads reached the backend cut short", id="short"),
        pytest.param({"uploads": 990}, "10 answers came without the backend", id="cached"),
    ],
)
def test_what_the_backend_saw_can_throw_a_window_away(
    backend: dict[str, int], problem: str
) -> None:
    assert problems_of(_target(), _UPLOAD, load(), counts(**backend)) == [problem]


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        pytest.param({"failed": 1}, "1 requests failed ()", id="failed"),
        pytest.param({"wrong_bodies": 4}, "4 pieces of answers were wrong", id="wrong-answer"),
        pytest.param(
            {"completed": 0},
            "1 window without one complete request (use longer --seconds)",
            id="nothing-complete",
        ),
    ],
)
def test_what_the_generator_saw_can_throw_a_window_away(seen: dict[str, Any], problem: str) -> None:
    assert problems_of(_target(), SMALL, load(**seen), counts()) == [problem]


def test_a_proxy_that_does_not_sign_may_pass_the_clients_signature_on() -> None:
    passed_on = counts(signed_by_backend_key=0, signed_by_other_key=1000)
    assert problems_of(_target(Signer.CLIENT), SMALL, load(), passed_on) == []


def test_a_proxy_that_is_measured_without_its_signer_must_not_sign() -> None:
    unsigned = counts(signed_by_backend_key=0, unsigned_requests=1000)
    assert problems_of(_target(Signer.NOBODY), SMALL, load(), unsigned) == []
    assert problems_of(_target(Signer.NOBODY), SMALL, load(), counts()) == [
        "1000 backend requests were signed, which they should not be"
    ]


def test_readers_that_were_not_slow_throw_a_window_away() -> None:
    assert problems_of(_target(), _SLOW, load(p50_us=4_000_000), counts()) == []
    assert problems_of(_target(), _SLOW, load(p50_us=3_900_000), counts()) == [
        "1 window whose readers were faster than they should have been"
    ]
