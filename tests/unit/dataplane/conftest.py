"""Which event loops the data plane's unit tests run on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

# The two differ in when they write and whom they tell of it, which is what these are about.
_ON_BOTH = frozenset(
    ("test_backend_tls.py", "test_bulk.py", "test_event_loop_contract.py", "test_relay_moves.py")
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """asyncio's own; with uvloop, which serves in production, where sockets are moved."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in _ON_BOTH:
        factories["uvloop"] = uvloop.new_event_loop
    return factories
