"""From windows to figures: ratios are of the same round, and only of what counts."""

import pytest

from bench.record import Spread
from bench.scenarios import Goal, Measure
from bench.summary import Results, recorded
from bucketroute_testing.bench_runs import RUN, SMALL, window

_TO_NGINX = Goal(scenario=SMALL, peer="nginx", limit=2.5, aim=1.5)
_MEMORY = Goal(scenario=SMALL, peer=None, limit=60, measure=Measure.RSS)


def test_ratios_are_of_the_same_round() -> None:
    """The machine was twice as slow in the second round: the ratio is the same."""
    windows = [window("nginx", 1.0), window("bucketroute", 2.0)]
    windows += [
        window("nginx", 2.0, round_number=1),
        window("bucketroute", 4.0, round_number=1),
    ]
    assert Results(windows).ratios(SMALL, "bucketroute", "nginx") == [2.0, 2.0]


def test_a_round_in_which_one_of_two_does_not_count_has_no_ratio() -> None:
    windows = [window("nginx", 1.0, problems=("1 requests failed",)), window("bucketroute", 2.0)]
    windows += [
        window("nginx", 1.0, round_number=1),
        window("bucketroute", 3.0, round_number=1),
    ]
    results = Results(windows)
    assert results.ratios(SMALL, "bucketroute", "nginx") == [3.0]
    row = results.row(SMALL, "bucketroute")
    assert row is not None
    assert row.cpu_ratio == Spread(median=3.0, lowest=3.0, highest=3.0)


def test_a_row_has_medians_and_the_highest_peak() -> None:
    windows = [
        window("nginx", cost, round_number=number, peak_rss_mib=peak)
        for number, (cost, peak) in enumerate([(3.0, 10), (1.0, 30), (2.0, 20)])
    ]
    row = Results(windows).row(SMALL, "nginx")
    assert row is not None
    assert row.cpu_seconds_per_1000_requests == 2.0
    assert row.peak_rss_bytes == 30 * 1024**2
    assert row.window_count == 3


@pytest.mark.parametrize(
    ("cost", "is_met", "is_aim_met"), [(1.5, True, True), (2.5, True, False), (2.6, False, False)]
)
def test_a_goal_is_met_up_to_its_limit_and_its_aim(
    cost: float, is_met: bool, is_aim_met: bool
) -> None:
    windows = [window("nginx", 1.0), window("bucketroute", cost)]
    record = recorded(RUN, windows, scenarios=[SMALL], goals=[_TO_NGINX])
    (verdict,) = record.verdicts
    assert (verdict.is_met, verdict.is_aim_met) == (is_met, is_aim_met)
    assert record.is_good is is_met


def test_a_goal_of_memory_is_about_the_highest_peak_of_bucketroute() -> None:
    windows = [window("bucketroute", 1.0), window("bucketroute", 1.0, peak_rss_mib=61)]
    (verdict,) = recorded(RUN, windows, scenarios=[SMALL], goals=[_MEMORY]).verdicts
    assert (verdict.measured, verdict.is_met) == (61.0, False)


def test_a_goal_about_a_peer_that_was_not_there_is_left_out() -> None:
    goal = Goal(scenario=SMALL, peer="multistore", limit=0.7)
    windows = [window("nginx", 1.0), window("bucketroute", 1.0)]
    assert recorded(RUN, windows, scenarios=[SMALL], goals=[goal]).verdicts == ()


def test_a_goal_whose_windows_do_not_count_is_missed() -> None:
    windows = [window("nginx", 1.0), window("bucketroute", 1.0, problems=("1 requests failed",))]
    record = recorded(RUN, windows, scenarios=[SMALL], goals=[_TO_NGINX])
    assert [verdict.is_met for verdict in record.verdicts] == [False]
    assert record.problems == ("round 1, bucketroute, GET 4 KiB c16: 1 requests failed",)
    assert not record.is_good
