"""What the tests of client programs share: the files that they move, and the fronts they are shown
to.
"""

import os
from pathlib import Path

import pytest

from bucketroute_testing.corpus import payload
from bucketroute_testing.wire_types import MiB

FILES = {"empty": 0, "one": 1, "below": 5 * MiB - 1, "nested/+ ü": 5 * MiB + 1, "big": 20 * MiB}

_LONG_AGO = 1_700_000_000

# MinIO checks what moto does not; moto stands in where there is no MinIO.
CLIENT_FRONTS = pytest.mark.parametrize(
    ("backend", "front"),
    [
        pytest.param("minio", "http", marks=pytest.mark.minio),
        pytest.param("minio", "https", marks=pytest.mark.minio),
        pytest.param("moto", "http", marks=pytest.mark.moto),
    ],
    indirect=True,
)


def write_files(folder: Path) -> Path:
    """Files of many sizes, one of them in a folder and with a name that has to be encoded."""
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload(size))
        # Older than any copy: stores keep whole seconds, and `sync` compares the two.
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
