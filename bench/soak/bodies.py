"""Bodies of any size that both sides can make and check without holding them.

A body is a block of random bytes, repeated; the block's length is prime, so that a lost, repeated
or swapped buffer never goes unnoticed.
"""

import hashlib
import random
from collections.abc import Iterator
from functools import lru_cache

PERIOD_BYTES = 1_048_573
SEEDS = 8
PIECE_BYTES = 256 * 1024


@lru_cache(maxsize=SEEDS)
def _block(seed: int) -> bytes:
    return random.Random(seed).randbytes(PERIOD_BYTES) * 2


def slice_of(seed: int, offset: int, length: int) -> bytes:
    """`length` is at most PERIOD_BYTES."""
    start = offset % PERIOD_BYTES
    return _block(seed)[start : start + length]


def pieces(seed: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, PIECE_BYTES):
        yield slice_of(seed, offset, min(PIECE_BYTES, size - offset))


@lru_cache(maxsize=256)
def sha256_of(seed: int, size: int) -> str:
    digest = hashlib.sha256()
    for piece in pieces(seed, size):
        digest.update(piece)
    return digest.hexdigest()


class BodyCheck:
    """Compares what arrives, in pieces of at most PERIOD_BYTES, with what was to come."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.length = 0
        self.is_right = True

    def add(self, piece: bytes) -> None:
        expected = slice_of(self._seed, self.length, len(piece))
        self.is_right = self.is_right and piece == expected
        self.length += len(piece)
