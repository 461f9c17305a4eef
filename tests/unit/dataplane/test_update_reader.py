"""An update that comes in pieces: its lines, and its bounds."""

import pytest

from bucketroute_dataplane.shell import update_reader
from bucketroute_dataplane.shell.update_reader import UpdateReader
from bucketroute_snapshot import SnapshotFormatError

TEXT = b"one\n\ntwo three\n"


@pytest.mark.parametrize("size", range(1, len(TEXT) + 1))
def test_lines_are_the_same_whatever_the_pieces(size: int) -> None:
    update = UpdateReader()
    for start in range(0, len(TEXT), size):
        update.feed(TEXT[start : start + size])
    assert update.lines() == [b"one\n", b"\n", b"two three\n"]


def test_half_a_line_is_no_line() -> None:
    update = UpdateReader()
    update.feed(b"one\ntw")
    with pytest.raises(SnapshotFormatError, match="cut short"):
        update.lines()


def test_there_is_an_end_to_it() -> None:
    update = UpdateReader()
    piece = bytes(update_reader.MAX_UPDATE_BYTES // 2)
    update.feed(piece)
    update.feed(piece)
    with pytest.raises(SnapshotFormatError, match="too large"):
        update.feed(b"\n")
