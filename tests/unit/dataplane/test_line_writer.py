"""A log that nobody reads: nothing waits for it, nothing grows, and what was lost is counted."""

import os
import threading

import pytest

from bucketroute_dataplane.shell.line_writer import MAX_WAITING_BYTES, LineWriter

LINE = "x" * 1023 + "\n"
# More than is kept, and than a pipe holds (at most 1 MiB, pipe(7)).
MANY = (MAX_WAITING_BYTES + 2 * 1024 * 1024) // len(LINE)


class Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.received = b""
        self._thread = threading.Thread(target=self._read)

    def begin_reading(self) -> None:
        self._thread.start()

    def end(self) -> list[bytes]:
        """The lines, once the writer is done."""
        os.close(self.writing)
        self._thread.join()
        os.close(self.reading)
        return self.received.splitlines(keepends=True)

    def _read(self) -> None:
        while piece := os.read(self.reading, 65536):
            self.received += piece


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def test_lines_arrive_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writing)
    pipe.begin_reading()
    writer.write("one\ntwo\n")
    writer.write("dré\n")
    writer.close()
    assert pipe.end() == [b"one\n", b"two\n", "dré\n".encode()]
    assert writer.dropped_lines == 0


def test_a_reader_that_has_stopped_stops_nobody_and_the_loss_is_counted(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writing)
    for _ in range(MANY):
        writer.write(LINE)
    assert 0 < writer.dropped_lines < MANY
    pipe.begin_reading()
    writer.close()
    lines = pipe.end()
    assert set(lines) == {LINE.encode()}
    assert len(lines) + writer.dropped_lines == MANY


def test_a_reader_that_is_gone_is_no_error(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writing)
    os.close(pipe.reading)
    writer.write("one\ntwo\n")
    writer.close()
    os.close(pipe.writing)
    assert writer.dropped_lines == 2


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    writer = LineWriter(pipe.writing)
    for _ in range(2048):
        writer.write(LINE)
    pipe.begin_reading()
    writer.close()
    assert len(pipe.end()) == 2048
    assert writer.dropped_lines == 0


def test_text_that_is_no_unicode_is_written_all_the_same(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writing)
    pipe.begin_reading()
    writer.write("a\udcffb\n")
    writer.close()
    assert pipe.end() == [b"a\\udcffb\n"]
