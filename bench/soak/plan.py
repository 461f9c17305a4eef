"""What the soak asks for: operations, sizes and mishaps, and what may come of each.

A key says all that the backend must know: `MISHAP/SIZE/SEED/NUMBER`.
"""

import random
from dataclasses import dataclass
from enum import Enum

from bench.soak.bodies import SEEDS

KiB, MiB = 1024, 1024 * 1024
SIZES = (0, 1, 100, 4 * KiB, 64 * KiB + 1, 256 * KiB, MiB + 3, 5 * MiB, 16 * MiB, 64 * MiB)
# Weighed so that each size moves about as many bytes as the next.
_SIZE_WEIGHTS = (4, 8, 20, 30, 20, 15, 12, 6, 3, 1)


class Mishap(Enum):
    """What goes wrong in an exchange, and on which side."""

    NONE = "none"
    BACKEND_RESETS = "resets"  # in the middle of a body
    BACKEND_STALLS = "stalls"  # in the middle of a body, until it is given up
    BACKEND_REFUSES = "refuses"  # an early 403, with the upload unread
    CLIENT_LEAVES = "leaves"  # in the middle of a body
    CLIENT_LIES = "lies"  # signs another SHA-256


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request, or one multipart upload."""

    operation: str
    size: int
    seed: int
    mishap: Mishap
    is_hashed: bool
    number: int

    @property
    def key(self) -> str:
        return f"{self.mishap.value}/{self.size}/{self.seed}/{self.number}"


_OPERATIONS = ("GET", "PUT", "HEAD", "multipart")
_OF_UPLOADS = (Mishap.BACKEND_REFUSES, Mishap.CLIENT_LIES)


def next_job(dice: random.Random, number: int) -> Job:
    operation = dice.choices(_OPERATIONS, (10, 10, 3, 1))[0]
    size = dice.choices(SIZES, _SIZE_WEIGHTS)[0]
    mishap = dice.choices(tuple(Mishap), (80, 6, 1, 3, 8, 2))[0]
    # In the middle of a body there must be a middle, and only an upload can be refused unread.
    has_body = size >= 100 and operation in ("GET", "PUT")
    if not has_body or (mishap in _OF_UPLOADS and operation == "GET"):
        mishap = Mishap.NONE
    if operation == "multipart":
        size = 5 * MiB
    return Job(
        operation=operation,
        size=size,
        seed=dice.randrange(SEEDS),
        mishap=mishap,
        is_hashed=mishap is Mishap.CLIENT_LIES or dice.random() < 0.4,
        number=number,
    )
