"""What the exit status of every command means."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 1
# The command could not do its work: wrong arguments, a file that is missing, no cluster.
EXIT_USAGE: Final = 2
