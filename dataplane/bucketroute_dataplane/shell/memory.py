"""How the process handles memory: what it gives back, and how often it looks for garbage."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt(3): blocks of at least this size are mapped, and unmapped when they are freed. Pieces of
# streamed bodies (up to 256 KiB) stay below: mapping each of them would cost more than copying.
_M_MMAP_THRESHOLD = -3
MMAP_BYTES = 1024 * 1024
# What may be free at the end of the heap before it is given back. The default is less than one such
# piece: where the heap happens to end in pieces, each is then taken from the kernel anew, page by
# page. An event loop that did nothing but read TLS spent two thirds of its time on that. Twice the
# other threshold is what glibc itself would take.
_M_TRIM_THRESHOLD = -1
TRIM_BYTES = 2 * MMAP_BYTES


def return_freed_buffers() -> None:
    """Fixes glibc's mmap threshold, which it would raise to the size of the buffers it sees freed:
    after a burst of uploads their memory would stay on the heap. Elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)


@contextmanager
def no_collections() -> Iterator[None]:
    """While a snapshot is made: tens of thousands of objects would be walked again and again, in
    one piece, and not one of them is garbage. Nor are they walked later: a snapshot lives long and
    has no cycles.

    What is garbage before is collected first (a millisecond, as all the rest is frozen): frozen
    with the snapshot it would never go, and each poll of the operator leaves some.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def collect_rarely() -> None:
    """A request leaves no cycles behind, so most collections would walk live objects in vain."""
    gc.set_threshold(10_000, 20, 50)
