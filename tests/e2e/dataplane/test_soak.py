"""A short form of `make soak`: accidents on both sides leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECONDS = 20


def test_twenty_seconds_of_accidents_leave_nothing_behind() -> None:
    command = [sys.executable, "-m", "bench.soak", "--minutes", f"{SECONDS / 60:.3f}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none: 200" in done.stdout
