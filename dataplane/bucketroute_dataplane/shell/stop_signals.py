"""The signals that end a process of the pod."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on_stop_signals(act: Callable[[], object]) -> None:
    """What SIGTERM and SIGINT do, from now on and in place of what they did."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, act)
