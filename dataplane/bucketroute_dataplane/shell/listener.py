"""What every listener of the data plane is made of."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class QuietServer(uvicorn.Server):
    """Signals are the program's own matter, not the listener's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening_socket(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """Bound, and to be listened on. Of those that are shared, the kernel deals connections out to
    all that listen (SO_REUSEPORT, socket(7)); one that is only bound keeps the port for them.

    Raises: OSError if the port is somebody else's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.setblocking(False)
    listening.bind((host, port))
    return listening
