"""The README's figures and chart are those of the run that is published beside them."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chart import SOURCE_KEY, source_of
from bench.published import CHART, README, RECORD, publish, with_figures
from bench.record import RecordError, read, written
from bench.report import MISSING, short_table
from bench.scenarios import FULL
from bench.summary import recorded
from bucketroute_testing.bench_runs import RUN, full_record, window

_PNG = b"\x89PNG\r\n\x1a\n"
MAX_CHART_BYTES = 60_000


def _chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG. Source: PNG specification, section 5.3."""
    assert image.startswith(_PNG)
    at = len(_PNG)
    while at < len(image):
        size, kind = struct.unpack_from(">I4s", image, at)
        yield kind, image[at + 8 : at + 8 + size]
        at += 12 + size


def test_the_readme_shows_the_published_run() -> None:
    text = README.read_text()
    assert text == with_figures(text, read(RECORD)), "make bench-publish writes it anew"
    assert str(CHART.relative_to(README.parent)) in text


def test_the_chart_was_drawn_from_the_published_run() -> None:
    texts = [content for kind, content in _chunks(CHART.read_bytes()) if kind == b"tEXt"]
    assert texts == [f"{SOURCE_KEY}\0{source_of(RECORD)}".encode("latin-1")]


def test_the_chart_is_small_enough_for_every_clone() -> None:
    assert CHART.stat().st_size < MAX_CHART_BYTES


def test_the_chart_is_told_in_words_too() -> None:
    text = with_figures("<!-- benchmark -->\n<!-- end of benchmark -->", full_record())
    (alt,) = re.findall(r"!\[(.*?)\]\(bench/published/full\.png\)", text)
    assert alt == (
        "Bar chart. CPU time of BucketRoute as a multiple of nginx's. "
        "4 KiB, a request: 2.00 to 2.00; 1 MiB and 64 MiB, a GiB: 2.00 to 2.00; "
        "TLS on the client's side: 2.00 to 2.00; TLS on the backend's side: 2.00 to 2.00."
    )


def test_figures_of_the_table_stand_side_by_side() -> None:
    table = short_table(full_record(), ("nginx", "bucketroute"))
    assert "| CPU time | nginx | BucketRoute |" in table
    assert "| GET / PUT 4 KiB, 16 connections: µs a request | 1100 / 1100 | 2200 / 2200 |" in table


def test_a_figure_that_was_not_measured_is_not_made_up() -> None:
    table = short_table(full_record(without=("PUT 4 KiB c16",)), ("nginx", "bucketroute"))
    assert f"16 connections: µs a request | {MISSING} | 2200 / 2200 |" in table


def test_a_run_with_failed_checks_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    failed = window("nginx", 1.0, problems=("1 requests failed",))
    path.write_text(written(recorded(RUN, [failed], scenarios=FULL, goals=())))
    with pytest.raises(RecordError, match="checks failed"):
        publish(path)


def test_a_part_of_a_run_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "quick.json"
    path.write_text(written(full_record(without=("PUT 64 MiB c16",))))
    with pytest.raises(RecordError, match="no PUT 64 MiB c16 of nginx"):
        publish(path)
