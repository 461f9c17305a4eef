"""Asks an external OIDC issuer for its keys: discovery, then its JWK Set.

https only, no proxy, no redirect, no cookie, bounded in time and size. Knows no cache.
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
from bucketroute_dataplane.shell.sts_client import TransportFactory, http_transport

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
    """Fetches key sets over one httpx client, which is made at the first fetch."""

    def __init__(
        self, *, clock: Clock, transport_factory: TransportFactory = http_transport
    ) -> None:
        self._clock = clock
        self._transport_factory = transport_factory
        self._client: httpx.AsyncClient | None = None

    async def fetch(self, issuer: str) -> KeySet:
        """Raises: JwksUnavailableError."""
        with _errors(issuer):
            return await within(self._clock, FETCH_SECONDS, self._fetch(issuer))

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
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
        if self._client is None:
            # In a thread: to read the system's roots takes tens of milliseconds.
            context = await asyncio.to_thread(ssl.create_default_context)
            if self._client is None:
                self._client = httpx.AsyncClient(
                    transport=self._transport_factory(context),
                    trust_env=False,
                    follow_redirects=False,
                    timeout=FETCH_SECONDS,
                )
        return self._client


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
