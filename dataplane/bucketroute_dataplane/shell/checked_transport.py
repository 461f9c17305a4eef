"""httpx over connections whose addresses are checked: to an STS, to an issuer of tokens.

httpx has no say in where a name leads, its httpcore has: a network backend that resolves, checks,
and connects to the checked address. Connections are kept by the name, and TLS and the Host header
have the name, so none that was made for one name ever serves another on the same address. No proxy,
no HTTP/2, no redirect (that is the client's part).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import httpcore
import httpx

from bucketroute_dataplane.shell.addresses import ForbiddenAddressError, Resolver
from bucketroute_snapshot import NetworkScope

# Of all hosts of a trust store together; one that hangs must not be able to take them all.
MAX_CONNECTIONS = 256
# A backend's front may close an idle connection after 5 s.
KEEP_ALIVE_SECONDS = 5.0
CONNECT_SECONDS = 3.0

_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


class CheckedTransport(httpx.AsyncBaseTransport):
    """One pool of connections: one trust store, one scope of addresses."""

    def __init__(self, context: ssl.SSLContext, scope: NetworkScope, *, resolver: Resolver) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=_CheckedNetwork(scope, resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _httpx_errors():
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the first address that answers, each with its share of the time."""

    def __init__(self, scope: NetworkScope, resolver: Resolver) -> None:
        self._scope = scope
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore names it so
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises: ConnectError if no address is allowed or answers; ConnectTimeout."""
        end = monotonic() + (timeout or CONNECT_SECONDS)
        addresses = await self._addresses(host, port, seconds=end - monotonic())
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for index, address in enumerate(addresses):
            share = max(0.0, end - monotonic()) / (len(addresses) - index)
            try:
                return await self._network.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    async def _addresses(self, host: str, port: int, *, seconds: float) -> list[str]:
        try:
            async with asyncio.timeout(seconds):
                return await self._resolver.resolve(host, port, self._scope)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from exc
        except ForbiddenAddressError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        except OSError as exc:
            raise httpcore.ConnectError(f"{host} does not resolve") from exc

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """httpx's error of the same name; what httpcore raises, httpx's callers do not know."""
    try:
        yield
    except tuple(_ERRORS) as exc:
        raise _ERRORS[type(exc)](str(exc)) from exc
