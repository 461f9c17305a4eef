"""TLS to backends: certificates are checked, and a server is offered the session of last time.

A resumed handshake costs a quarter to a half less CPU, and with TLS 1.2 a round trip less
(docs/decisions/0014). It proves that the server is the one whose certificate was checked: so a
session is kept by that name, for the context whose authorities vouched for it, and not for long.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from typing import NamedTuple

# After that a certificate is looked at again: it may have run out.
SESSION_SECONDS = 3600.0
# A session holds the server's certificates, some 5 KB. With the virtual-hosted style each bucket is
# a name of its own.
MAX_SESSIONS = 256


class _Kept(NamedTuple):
    """`session` is None where the server gave none that it would take up again."""

    session: ssl.SSLSession | None
    until: float


class BackendContext(ssl.SSLContext):
    """As `ssl.create_default_context` makes it, for HTTP/1.1, trusting `pem` or the system.

    asyncio and uvloop have no parameter for a session; both call `wrap_bio` for each connection.
    """

    def __new__(cls, pem: str | None, *, clock: Callable[[], float]) -> BackendContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, pem: str | None, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        if sys.version_info >= (3, 13):
            self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        if pem is None:
            self.load_default_certs()
        else:
            self.load_verify_locations(cadata=pem)
        self.set_alpn_protocols(["http/1.1"])

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        kept = self._kept.get(str(server_hostname))
        if kept is not None and kept.until > self._clock():
            session = kept.session
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def dialled(self, name: str, transport: asyncio.BaseTransport) -> None:
        """Forgets a session that the server did not take up."""
        if not _tls(transport).session_reused:
            self._kept.pop(name, None)

    def answered(self, name: str, transport: asyncio.BaseTransport) -> None:
        """Keeps the session of a connection that has had an answer, where none is kept: with TLS
        1.3 the server sends it after the handshake. To take it out costs 0.1 ms.
        """
        kept, now = self._kept.get(name), self._clock()
        if kept is not None and kept.until > now:
            return
        self._kept.pop(name, None)
        if _tls(transport).session_reused:
            return  # each handshake's session has its time, and hands it on to none
        if len(self._kept) >= MAX_SESSIONS:
            del self._kept[next(iter(self._kept))]
        session = _tls(transport).session
        is_resumable = session is not None and session.has_ticket
        self._kept[name] = _Kept(session if is_resumable else None, now + SESSION_SECONDS)


def _tls(transport: asyncio.BaseTransport) -> ssl.SSLObject:
    found: ssl.SSLObject = transport.get_extra_info("ssl_object")
    return found
