"""What only a garbage collection would free: cycles that our own objects leave behind."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_of_ours() -> Iterator[Counter[str]]:
    """Counts, by class, the data plane's objects that the block leaves in cycles; filled at its
    end."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(
            type(item).__qualname__
            for item in gc.garbage
            if type(item).__module__.startswith("bucketroute_dataplane")
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
