"""What is kept of a run can be read again, and nothing else is taken for it."""

import json
from pathlib import Path

import pytest

from bench.record import RecordError, read, written
from bench.report import markdown
from bench.scenarios import FULL_GOALS
from bucketroute_testing.bench_runs import full_record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = full_record(goals=FULL_GOALS)
    path = tmp_path / "full.json"
    path.write_text(written(record))
    assert read(path) == record


def test_a_record_has_a_line_for_each_row() -> None:
    record = full_record()
    lines = [line for line in written(record).splitlines() if line.startswith('  {"scenario"')]
    assert len(lines) == len(record.rows)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a-list"),
        pytest.param('{"format": 2}', id="another-format"),
        pytest.param('{"format": 1}', id="nothing-in-it"),
        pytest.param(
            json.dumps({"format": 1, "run": {}, "rows": [], "verdicts": [], "problems": []}),
            id="no-machine",
        ),
    ],
)
def test_another_file_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"other\.json"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none.json")


def test_markdown_tells_the_machine_each_row_and_each_goal() -> None:
    record = full_record(goals=FULL_GOALS)
    text = markdown(record)
    assert text.startswith(
        "2026-11-26 01:45 UTC; 2 x AMD EPYC, Linux 6.18, TCP cubic, Python 3.11.7; request "
    )
    assert "| GET 4 KiB c16 | envoy | 500 |" in text
    assert "| 3.00 (3.00 to 3.00) | 50 |" in text
    assert "| envoy | GET 4 KiB c16 | CPU | 1.00 | 0.65 | 0.67 | met |" in text
    assert "| nginx | GET 64 MiB c1 | CPU | 0.85 | 0.65 | 2.00 | **missed** |" in text
    assert text.count("\n| ") == len(record.rows) + len(record.verdicts) + 2
