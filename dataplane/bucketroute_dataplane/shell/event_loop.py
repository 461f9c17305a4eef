"""Which event loop a process that serves requests runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """None is asyncio's own."""
    try:
        import uvloop
    except ImportError:  # not made for every platform; asyncio's own loop serves as well
        return None
    return uvloop.new_event_loop
