"""Connections to backends: one pool an endpoint, dialled with a deadline and an address check."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial

from bucketroute_dataplane.core.resolve import Endpoint
from bucketroute_dataplane.shell.addresses import ForbiddenAddressError, Resolver
from bucketroute_dataplane.shell.backend_tls import BackendContext
from bucketroute_dataplane.shell.bulk import BulkMover
from bucketroute_dataplane.shell.dial import open_socket
from bucketroute_dataplane.shell.upstream import UpstreamConnection
from bucketroute_dataplane.shell.upstream_ports import BackendError
from bucketroute_dataplane.shell.watchdog import Watchdog

# S3 closes an idle connection after some 5 to 20 s; a request that meets the close would fail.
KEEP_ALIVE_SECONDS = 4.0
CONNECT_SECONDS = 5.0
MAX_IDLE_PER_ENDPOINT = 128


class UpstreamPools:
    """Kept-alive connections by endpoint, most recently used first."""

    def __init__(
        self,
        watchdog: Watchdog,
        resolver: Resolver | None = None,
        bulk: BulkMover | None = None,
    ) -> None:
        self.deadline: float | None = None
        self._watchdog = watchdog
        self._resolver = resolver or Resolver()
        self._bulk = bulk or BulkMover()
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Endpoint, list[UpstreamConnection]] = {}
        self._contexts: dict[str | None, BackendContext] = {}
        self._ca_bundles: Mapping[str, str] = {}
        self.deadline = self._loop.time() + KEEP_ALIVE_SECONDS
        watchdog.add(self)

    @property
    def moved_bytes(self) -> int:
        """What the kernel has moved of bodies, in either direction."""
        return self._bulk.moved_bytes

    def set_ca_bundles(self, ca_bundles: Mapping[str, str]) -> None:
        """The named PEM bundles of the current snapshot. Connections that were made under another
        content of their bundle serve no further request."""
        known = self._ca_bundles
        changed = {
            name for name in {*known, *ca_bundles} if known.get(name) != ca_bundles.get(name)
        }
        self._ca_bundles = dict(ca_bundles)
        for name in changed:
            self._contexts.pop(name, None)
        for endpoint, idle in self._idle.items():
            if endpoint.ca_bundle in changed:
                for connection in idle:
                    connection.abort()
                idle.clear()

    def take(self, endpoint: Endpoint) -> UpstreamConnection | None:
        """An idle connection, or None: then `dial`."""
        idle = self._idle.get(endpoint)
        oldest = self._loop.time() - KEEP_ALIVE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.is_usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def dial(self, endpoint: Endpoint) -> UpstreamConnection:
        """A new connection.

        Raises: BackendError if no address is allowed or answers within the deadline.
        """
        seconds = endpoint.connect_seconds or CONNECT_SECONDS
        try:
            context = self._context(endpoint.ca_bundle) if endpoint.is_tls else None
            async with asyncio.timeout(seconds):
                connection = await self._connect(endpoint, context)
        except TimeoutError as exc:
            raise BackendError("connecting took too long", is_timeout=True) from exc
        except ForbiddenAddressError as exc:
            raise BackendError(str(exc)) from exc
        except (OSError, ssl.SSLError, UnicodeError) as exc:  # the last: of a name that is none
            raise BackendError(f"cannot connect: {type(exc).__name__}: {exc}") from exc
        if context is not None and connection.transport is not None:
            context.dialled(endpoint.host, connection.transport)
        return connection

    async def _connect(
        self, endpoint: Endpoint, context: BackendContext | None
    ) -> UpstreamConnection:
        host, port = endpoint.host, endpoint.port
        addresses = await self._resolver.resolve(host, port, endpoint.network_scope)
        put_back = partial(self._put_back, endpoint, context)
        made = partial(UpstreamConnection, self._watchdog, put_back, self._bulk)
        # What was checked is what is connected; the certificate still has to be the name's.
        name = host if context is not None else None
        if len(addresses) == 1:
            # For half the CPU of a socket that is connected before.
            _, connection = await self._loop.create_connection(
                made, addresses[0], port, ssl=context, server_hostname=name
            )
            return connection
        connected = await open_socket(addresses, port)
        try:
            _, connection = await self._loop.create_connection(
                made, sock=connected, ssl=context, server_hostname=name
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _context(self, ca_bundle: str | None) -> BackendContext:
        context = self._contexts.get(ca_bundle)
        if context is None:
            pem = self._ca_bundles.get(ca_bundle) if ca_bundle is not None else None
            if ca_bundle is not None and pem is None:
                raise OSError(f"the CA bundle {ca_bundle} is not in the snapshot")
            context = BackendContext(pem, clock=self._loop.time)
            self._contexts[ca_bundle] = context
        return context

    def _put_back(
        self, endpoint: Endpoint, context: BackendContext | None, connection: UpstreamConnection
    ) -> None:
        idle = self._idle.setdefault(endpoint, [])
        is_trusted = context is None or context is self._contexts.get(endpoint.ca_bundle)
        if not connection.is_usable:
            if connection in idle:
                idle.remove(connection)
        elif is_trusted and len(idle) < MAX_IDLE_PER_ENDPOINT:
            idle.append(connection)
            if context is not None and connection.transport is not None:
                context.answered(endpoint.host, connection.transport)
        else:
            connection.abort()

    def on_deadline(self) -> None:
        """Closes what has been idle for too long."""
        now = self._loop.time()
        self.deadline = now + KEEP_ALIVE_SECONDS
        for endpoint, idle in list(self._idle.items()):
            for connection in [c for c in idle if c.idle_since <= now - KEEP_ALIVE_SECONDS]:
                idle.remove(connection)
                connection.abort()
            if not idle:
                del self._idle[endpoint]

    def close(self) -> None:
        """Closes every idle connection (those in an exchange end with it)."""
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
        self._bulk.close()
        self._watchdog.discard(self)
