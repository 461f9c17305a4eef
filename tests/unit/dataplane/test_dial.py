"""Several addresses of one name: the first that answers, within one deadline (RFC 8305)."""

import asyncio
import gc
import socket
import time
import warnings
from contextlib import closing

import pytest

from bucketroute_dataplane.shell.dial import HEAD_START_SECONDS, open_socket
from bucketroute_testing.names import silent_address

SILENT, REFUSING, ANSWERING = "127.0.0.1", "127.0.0.3", "127.0.0.2"


@pytest.fixture
def port() -> int:
    with socket.create_server((ANSWERING, 0)) as probe:
        found: int = probe.getsockname()[1]
    return found


async def test_an_address_that_refuses_is_passed_over_at_once(port: int) -> None:
    began = time.monotonic()
    with (
        socket.create_server((ANSWERING, port)),
        closing(await open_socket([REFUSING, ANSWERING], port)) as connected,
    ):
        assert connected.getpeername() == (ANSWERING, port)
        assert connected.getblocking() is False
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert time.monotonic() - began < HEAD_START_SECONDS


async def test_an_address_that_is_silent_costs_its_head_start_only(port: int) -> None:
    began = time.monotonic()
    with silent_address(SILENT, port), socket.create_server((ANSWERING, port)):
        async with asyncio.timeout(30):
            connected = await open_socket([SILENT, ANSWERING], port)
        with closing(connected):
            assert connected.getpeername() == (ANSWERING, port)
    assert time.monotonic() - began >= HEAD_START_SECONDS


async def test_the_last_failure_is_told_when_no_address_answers(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await open_socket([REFUSING, ANSWERING], port)
    with pytest.raises(OSError, match="no address"):
        await open_socket([], port)


async def test_attempts_that_lose_or_are_given_up_leave_no_socket(port: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silent_address(SILENT, port), socket.create_server((ANSWERING, port)):
            (await open_socket([SILENT, ANSWERING], port)).close()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await open_socket([SILENT], port)
            gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
