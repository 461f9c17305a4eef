"""Sends an exchange to an STS over HTTP. Knows nothing of what the answer means.

One httpx client a trust store and scope of addresses: plain HTTP, the system's roots, and each CA
bundle have their own connections. No proxy, no redirect, no cookie, bounded in time and size.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import httpx

from bucketroute_dataplane.core.sts import StsAnswer
from bucketroute_dataplane.shell.checked_transport import CONNECT_SECONDS
from bucketroute_dataplane.shell.clock import Clock, within
from bucketroute_snapshot import CABundle, NetworkScope

# An STS answers in well under a second. What takes longer than the 5 s that callers wait may still
# serve the next ones, so the whole exchange gets twice that.
READ_SECONDS = 8.0
EXCHANGE_SECONDS = 10.0
# Answers are about 2 KiB; a session token may be some KiB more.
MAX_ANSWER_BYTES = 64 * 1024

_HEADERS = {
    "accept": "application/xml, text/xml",
    # A coded answer would have to be inflated, and bounded twice.
    "accept-encoding": "identity",
    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
    "user-agent": "bucketroute",
}
# A burst of cold keys may queue for connections until the whole exchange's time is up.
_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=EXCHANGE_SECONDS)

# The transport of one trust store and one scope: a `CheckedTransport`, or a test's own.
TransportFactory = Callable[[ssl.SSLContext, NetworkScope], httpx.AsyncBaseTransport]


class StsUnreachableError(Exception):
    """There is no answer. The message says why and holds nothing that was sent."""


class StsClient:
    """POSTs forms to STS endpoints.

    `network_scope` is the class's: where an STS may be. In it a backend's own endpoint may stand
    for the STS, so it is no more trusted than the backend's.
    """

    def __init__(self, *, clock: Clock, transport_factory: TransportFactory) -> None:
        self.network_scope = NetworkScope.PUBLIC
        self._clock = clock
        self._transport_factory = transport_factory
        self._pems: Mapping[str, str] = {}
        self._clients: dict[tuple[bool, str | None, NetworkScope], httpx.AsyncClient] = {}
        self._contexts: dict[tuple[bool, str | None], asyncio.Future[ssl.SSLContext]] = {}

    def update_ca_bundles(self, bundles: Iterable[CABundle]) -> None:
        """Use these bundles, by name, from the next exchange on."""
        self._pems = {bundle.name: bundle.pem for bundle in bundles}

    async def post(self, endpoint: str, form: bytes, *, ca_bundle: str | None) -> StsAnswer:
        """Raises: StsUnreachableError."""
        with sts_errors(endpoint):
            return await within(
                self._clock, EXCHANGE_SECONDS, self._post(endpoint, form, ca_bundle)
            )

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def _post(self, endpoint: str, form: bytes, ca_bundle: str | None) -> StsAnswer:
        client = await self._client(endpoint, ca_bundle)
        # Built here and not by the client, whose cookie jar would be merged in.
        request = httpx.Request(
            "POST",
            endpoint,
            headers=_HEADERS,
            content=form,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )
        response = await client.send(request, stream=True, auth=None)
        try:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise StsUnreachableError(
                        f"the STS at {endpoint} answered more than {MAX_ANSWER_BYTES} bytes"
                    )
        finally:
            await response.aclose()
        return StsAnswer(
            status=response.status_code,
            body=bytes(body),
            retry_after=response.headers.get("retry-after"),
        )

    async def _client(self, endpoint: str, ca_bundle: str | None) -> httpx.AsyncClient:
        is_tls = httpx.URL(endpoint).scheme == "https"
        pem, scope = self._pem(endpoint, ca_bundle) if is_tls else None, self.network_scope
        client = self._clients.get((is_tls, pem, scope))
        if client is not None:
            return client
        # One context for all that come at once: to read the system's roots takes 20 ms of CPU.
        making = self._contexts.get((is_tls, pem))
        if making is None:
            making = self._contexts[is_tls, pem] = asyncio.ensure_future(_trust(is_tls, pem))
            making.add_done_callback(lambda _: self._contexts.pop((is_tls, pem), None))
        context = await asyncio.shield(making)
        return self._clients.setdefault((is_tls, pem, scope), self._new_client(context, scope))

    def _pem(self, endpoint: str, ca_bundle: str | None) -> str | None:
        if ca_bundle is None:
            return None
        pem = self._pems.get(ca_bundle)
        if pem is None:
            raise StsUnreachableError(
                f"the CA bundle {ca_bundle!r} for the STS at {endpoint} is not configured"
            )
        return pem

    def _new_client(self, context: ssl.SSLContext, scope: NetworkScope) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport_factory(context, scope),
            trust_env=False,
            follow_redirects=False,
        )


async def _trust(is_tls: bool, pem: str | None) -> ssl.SSLContext:
    """The roots that a connection is checked against: a PEM bundle, or with None the system's."""
    if not is_tls:
        # Never used for a handshake; with no roots it would trust nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # In a thread: to read the system's roots takes tens of milliseconds.
    return await asyncio.to_thread(ssl.create_default_context, cadata=pem)


@contextmanager
def sts_errors(endpoint: str) -> Iterator[None]:
    """Map what httpx, ssl and the deadline raise to one error, the most specific first."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise StsUnreachableError(f"connecting to the STS at {endpoint} timed out") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise StsUnreachableError(f"the STS at {endpoint} did not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise StsUnreachableError(
            f"the STS at {endpoint} cannot be asked: {type(error).__name__}: {error}"
        ) from error
    except ssl.SSLError as error:
        raise StsUnreachableError(
            f"the CA bundle for the STS at {endpoint} is not PEM: {error.reason}"
        ) from error
