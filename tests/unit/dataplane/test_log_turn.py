"""Two processes that write to one pipe: no line of one is torn by the other."""

import os
import subprocess
import sys

import pytest

from bucketroute_dataplane.shell.log_turn import new_turn_file

LINES = 4000
LENGTH = 1000
# 100 kB a batch: more than a pipe takes in one piece.
PROGRAM = f"""
import sys
from bucketroute_dataplane.shell.line_writer import LineWriter
from bucketroute_dataplane.shell.log_turn import LogTurn

name, output, turn = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
writer = LineWriter(output, turn=LogTurn(turn))
for number in range({LINES // 100}):
    writer.write((name * {LENGTH} + "\\n") * 100)
    if number == 0:
        print("begun", flush=True)
writer.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a pod has several workers on Linux only")
def test_batches_of_two_processes_stay_whole() -> None:
    reading, writing = os.pipe()
    turn = new_turn_file()
    try:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, name, str(writing), str(turn)],
                stdout=subprocess.PIPE,
                pass_fds=(writing, turn),
            )
            for name in "ab"
        ]
    finally:
        os.close(writing)
        os.close(turn)
    for child in children:  # neither can be done: nobody reads yet
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"begun\n"
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [child.wait(30) for child in children] == [0, 0]
    assert len(lines) == 2 * LINES
    assert set(lines) == {b"a" * LENGTH, b"b" * LENGTH}
