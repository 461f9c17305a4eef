"""`bucketroute-dataplane` as a program: its exec probes, and what it says of wrong settings."""

import os
import subprocess
import sys

from bucketroute_testing.pods import PROGRAM
from bucketroute_testing.processes import free_port


def test_a_probe_fails_where_nothing_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    probe = [PROGRAM, "live", address]
    done = subprocess.run(probe, check=False, timeout=10, capture_output=True, text=True)
    assert done.returncode == 1
    assert address in done.stderr


def test_probes_import_no_more_than_sockets() -> None:
    program = (
        "import sys; sys.argv = ['x', 'live', '127.0.0.1:1']\n"
        "from bucketroute_dataplane.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(m for m in sys.modules if '.' in m or m == 'asyncio'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=10, capture_output=True, text=True
    )
    names = done.stdout.split()
    assert "asyncio" not in names
    assert [name for name in names if name.startswith("bucketroute")] == [
        "bucketroute_dataplane.__main__"
    ]


def test_wrong_settings_are_told_at_once() -> None:
    done = subprocess.run(
        [PROGRAM, "--listen", "x"],
        env={"PATH": os.environ["PATH"]},
        check=False,
        timeout=10,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--listen is 'x'" in done.stderr
    assert "--config-url" in done.stderr
