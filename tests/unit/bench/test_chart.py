"""What the chart shows. That it can be drawn is seen by `make bench`: no test needs matplotlib."""

from pathlib import Path

import pytest

from bench.chart import Chart, chart_of, source_of
from bench.record import RecordError, Spread
from bench.summary import recorded
from bucketroute_testing.bench_runs import RUN, SMALL, full_record, window


def _labels(chart: Chart) -> dict[str, list[str]]:
    return {panel.title: [group.label for group in panel.groups] for panel in chart.panels}


def test_small_and_large_objects_and_tls_have_a_panel_each() -> None:
    labels = _labels(chart_of(full_record()))
    assert labels["4 KiB: a request"] == [
        "GET 4 KiB, 1 connection",
        "PUT 4 KiB, 1 connection",
        "GET 4 KiB, 16 connections",
        "PUT 4 KiB, 16 connections",
    ]
    assert labels["1 MiB and 64 MiB: a GiB"][0] == "GET 1 MiB, 8 connections"
    assert labels["1 MiB and 64 MiB: a GiB"][-1] == "PUT 64 MiB, 4 connections, SHA-256"
    assert len(labels["TLS on the client's side"]) == 4
    assert len(labels["TLS on the backend's side"]) == 4


def test_bars_are_ratios_to_nginx_with_the_range_of_the_rounds() -> None:
    windows = [
        window(target, cost, round_number=number)
        for number, costs in enumerate([(1.0, 2.0), (1.0, 3.0), (1.0, 2.2)])
        for target, cost in zip(("nginx", "bucketroute"), costs, strict=True)
    ]
    chart = chart_of(recorded(RUN, windows, scenarios=[SMALL], goals=()))
    (panel,) = chart.panels
    (group,) = panel.groups
    assert chart.targets == ("bucketroute",)
    assert group.ratios == (Spread(median=2.2, lowest=2.0, highest=3.0),)
    assert chart.highest == 3.0


def test_what_was_not_measured_beside_nginx_is_not_drawn() -> None:
    labels = _labels(chart_of(full_record(without=("GET 4 KiB c1",))))
    assert "GET 4 KiB, 1 connection" not in labels["4 KiB: a request"]


def test_a_run_without_nginx_has_no_chart() -> None:
    record = recorded(RUN, [window("bucketroute", 1.0)], scenarios=[SMALL], goals=())
    with pytest.raises(RecordError, match="beside nginx"):
        chart_of(record)


def test_the_caption_tells_date_and_machine() -> None:
    caption = chart_of(full_record()).caption
    assert caption.startswith(
        "2026-11-26 01:45 UTC; 2 x AMD EPYC, Linux 6.18, TCP cubic, Python 3.11.7"
    )


def test_a_chart_names_the_content_that_it_was_drawn_from(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text("1")
    second.write_text("2")
    assert source_of(first).startswith("first.json sha256:")
    assert source_of(first).split(":")[1] != source_of(second).split(":")[1]
