"""What the process gives back to the system, and what it keeps."""

import subprocess
import sys

_PIECES = """
import resource
from bucketroute_dataplane.shell.memory import return_freed_buffers
return_freed_buffers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(1000):
    bytearray(256 * 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_pieces_of_a_body_are_not_taken_from_the_kernel_one_by_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PIECES], check=True, timeout=30, capture_output=True, text=True
    )
    faults = int(done.stdout)
    assert faults < 10_000, "each piece of 64 pages was mapped anew"
