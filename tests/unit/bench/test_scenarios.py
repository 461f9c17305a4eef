"""What is measured: every scenario has a name of its own, and every goal is about one of them."""

import pytest

from bench.options import MATRICES, Matrix
from bench.scenarios import FULL, KiB, MiB, Scenario, Tls

_SIZES = (4 * KiB, 1 * MiB, 64 * MiB)
_SLOW = [scenario for scenario in FULL if scenario.read_bytes_per_second]


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
def test_every_goal_is_about_a_scenario_that_is_measured(matrix: Matrix) -> None:
    assert {goal.scenario for goal in matrix.goals} <= set(matrix.scenarios)


def test_names_tell_scenarios_apart() -> None:
    assert len({scenario.name for scenario in FULL}) == len(FULL)


def test_the_full_run_has_every_size_and_method_at_every_concurrency() -> None:
    for size in _SIZES:
        for method in ("GET", "PUT"):
            for concurrency in (1, 4, 16):
                grid = Scenario(method=method, size_bytes=size, concurrency=concurrency)
                assert grid in FULL


@pytest.mark.parametrize("side", [Tls.CLIENT, Tls.BACKEND])
def test_the_full_run_has_small_and_large_objects_with_tls_on_either_side(side: Tls) -> None:
    found = {(s.method, s.size_bytes) for s in FULL if s.tls is side}
    assert found == {(method, size) for method in ("GET", "PUT") for size in (4 * KiB, 64 * MiB)}


def test_the_slow_reader_is_the_client_of_a_get_and_the_backend_of_a_put() -> None:
    assert [scenario.name for scenario in _SLOW] == [
        "GET 32 MiB c64, slow client",
        "PUT 32 MiB c64, slow backend",
    ]


@pytest.mark.parametrize("scenario", _SLOW, ids=lambda s: s.name)
def test_a_window_of_slow_readers_is_longer_than_what_they_read(scenario: Scenario) -> None:
    assert scenario.shortest_seconds == 4.0
    assert scenario.window_seconds(1.8) == 6.0


def test_a_window_of_others_is_as_long_as_was_asked() -> None:
    scenario = Scenario(method="GET", size_bytes=4 * KiB, concurrency=1)
    assert scenario.window_seconds(1.8) == 1.8
