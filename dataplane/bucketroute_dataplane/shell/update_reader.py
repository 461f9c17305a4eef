"""An update as it comes in, piece by piece."""

from __future__ import annotations

from bucketroute_snapshot import SnapshotFormatError

# 20,000 routes are 13 MB; beyond this something is wrong.
MAX_UPDATE_BYTES = 128 * 1024 * 1024


class UpdateReader:
    """Splits it into lines as it comes, so that no step is long."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._rest = b""
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Raises: SnapshotFormatError if that is too much."""
        self._size += len(piece)
        if self._size > MAX_UPDATE_BYTES:
            raise SnapshotFormatError("the update is too large")
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        self._lines.extend(line + b"\n" for line in lines)

    def lines(self) -> list[bytes]:
        """All of them, each with its newline. Raises: SnapshotFormatError if the last has none."""
        if self._rest:
            raise SnapshotFormatError("the update is cut short")
        return self._lines
