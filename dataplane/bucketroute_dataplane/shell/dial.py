"""Connects to the first of several addresses that answers (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence

# RFC 8305 §5: the head start of each address before the next is tried beside it.
HEAD_START_SECONDS = 0.25


async def open_socket(addresses: Sequence[str], port: int) -> socket.socket:
    """A connected, non-blocking socket to one of the addresses, tried in their order.

    An address that is silent costs `HEAD_START_SECONDS` and not the whole deadline, which is the
    caller's: the attempts that lose, and all of them when the caller gives up, are closed.

    Raises: OSError, of the address that failed last, if none answers.
    """
    waiting = list(addresses)
    failure = OSError("there is no address to connect to")
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.pop(0), port)))
            head_start = HEAD_START_SECONDS if waiting else None
            await asyncio.wait(attempts, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for attempt in [each for each in attempts if each.done()]:
                attempts.remove(attempt)
                try:
                    return attempt.result()
                except OSError as exc:
                    failure = exc
        raise failure
    finally:
        await _close(attempts)


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        # asyncio sets it on sockets that it makes, uvloop also on those that it is given.
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connecting, (address, port))
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _close(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()
