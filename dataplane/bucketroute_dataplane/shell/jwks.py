"""Asks an external OIDC issuer for its keys: discovery, then its JWK Set.

https only, to addresses that the class allows, no proxy, no redirect, no cookie, bounded in time
and size. Knows no cache.
Source: OpenID Connect Discovery 1.0 §4.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bucketroute_dataplane.core.jwk import JWKSFormatError, KeySet, parse_jwks
from bucketroute_dataplane.shell.clock import Clock, within
from bucketroute_dataplane.shell.sts_client import TransportFactory
from bucketroute_snapshot import NetworkScope

FETCH_SECONDS = 5.0
MAX_DOCUMENT_BYTES = 1024 * 1024

_DISCOVERY_PATH = "/.well-known/openid-configuration"
_HEADERS = {
    "accept": "application/json, application/jwk-set+json",
    # A coded answer would have to be inflated, and bounded twice.
    "accept-encoding": "identity",
    "user-agent": "bucketroute",
}


class JwksUnavailableError(Exception):
    """The keys cannot be had now; the message says why."""


class JwksClient:
    """Fetches key sets over one httpx client a scope of addresses, made when it is needed.

    `network_scope` is the class's. An admin lists the issuer, but where its keys are is what its
    discovery document says.
    """

    def __init__(self, *, clock: Clock, transport_factory: TransportFactory) -> None:
        self.network_scope = NetworkScope.PUBLIC
        self._clock = clock
        self._transport_factory = transport_factory
        self._clients: dict[NetworkScope, httpx.AsyncClient] = {}

    async def fetch(self, issuer: str) -> KeySet:
        """Raises: JwksUnavailableError."""
        with _errors(issuer):
            return await within(self._clock, FETCH_SECONDS, self._fetch(issuer))

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def _fetch(self, issuer: str) -> KeySet:
        # The path is put behind the issuer's own, which may end in `/` (§4.1).
        document = json.loads(await self._get(issuer.removesuffix("/") + _DISCOVERY_PATH))
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise JwksUnavailableError(f"the discovery document of {issuer} names another issuer")
        return parse_jwks(await self._get(str(document.get("jwks_uri"))))

    async def _get(self, url: str) -> bytes:
        if httpx.URL(url).scheme != "https":
            raise JwksUnavailableError(f"{url} is not https")
        client = await self._http()
        async with client.stream("GET", url, headers=_HEADERS) as response:
            if response.status_code != httpx.codes.OK:
                raise JwksUnavailableError(f"{url} answered {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise JwksUnavailableError(f"{url} answered more than {MAX_DOCUMENT_BYTES} B")
        client.cookies.clear()
        return bytes(body)

    async def _http(self) -> httpx.AsyncClient:
        scope = self.network_scope
        if scope not in self._clients:
            # In a thread: to read the system's roots takes tens of milliseconds.
            context = await asyncio.to_thread(ssl.create_default_context)
            client = httpx.AsyncClient(
                transport=self._transport_factory(context, scope),
                trust_env=False,
                follow_redirects=False,
                timeout=FETCH_SECONDS,
            )
            # Another fetch may have been faster; an unused client holds no connection.
            self._clients.setdefault(scope, client)
        return self._clients[scope]


@contextmanager
def _errors(issuer: str) -> Iterator[None]:
    """Map what httpx, json and the deadline raise to one error."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        raise JwksUnavailableError(f"{issuer} did not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise JwksUnavailableError(
            f"{issuer} cannot be asked: {type(error).__name__}: {error}"
        ) from error
    except JWKSFormatError as error:
        raise JwksUnavailableError(f"the keys of {issuer}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise JwksUnavailableError(f"the discovery document of {issuer} is not JSON") from error
