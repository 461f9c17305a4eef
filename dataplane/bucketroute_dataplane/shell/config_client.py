"""The data plane's requests to the operator: TLS, token, and which replica to ask.

The operator's Service is headless: its name gives every replica's address, the one that leads
answers and the others say 421. The CA and the token are read anew for each request, because both
are rotated under a running process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bucketroute_dataplane.shell.update_reader import UpdateReader
from bucketroute_snapshot import SCHEMA_VERSION, SnapshotFormatError
from bucketroute_snapshot.update import CONFIG_PATH, POD_HEADER, SCHEMA_HEADER, ConfigVersion

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
_WRONG_REPLICA = 421
_MAX_REFUSAL_BYTES = 4096
_MAX_REASON_LENGTH = 200


class ChannelError(Exception):
    """The operator could not be reached, or refused. Says what happened, never what was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAddress:
    """Where the operator is and how it is told from anything else.

    `url` is `https://host[:port]`. `ca_file`, or `ca_pem` in a sidecar, holds what to trust.
    """

    url: str
    token_file: Path
    ca_file: Path | None = None
    ca_pem: str | None = None
    class_name: str = "default"
    pod_uid: str = ""


class ConfigClient:
    """One connection at a time to the replica that leads."""

    def __init__(self, address: OperatorAddress) -> None:
        self._address = address
        parts = urlsplit(address.url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._leader: str | None = None
        self._http: httpx.AsyncClient | None = None
        self._trusted: str | None = None

    async def poll(
        self,
        known: ConfigVersion | None,
        digest: str,
        wait_seconds: int,
        *,
        fresh: bool = False,
    ) -> list[bytes] | None:
        """The lines of what is newer than `known`; None if nothing was within `wait_seconds`.

        `fresh` asks the operator to look at the cluster's token keys first. Raises: ChannelError.
        """
        query = {"wait": str(wait_seconds)} | ({"fresh": "1"} if fresh else {})
        if known is not None:
            query |= {"known": str(known), "digest": digest}
        read_seconds = wait_seconds + ANSWER_SECONDS
        async with self._answer("GET", CONFIG_PATH, query, read_seconds) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            if response.status_code != httpx.codes.OK:
                raise await _refusal(response)
            return await _lines(response)

    async def post(self, path: str, body: Mapping[str, object]) -> None:
        """Raises: ChannelError."""
        async with self._answer("POST", path, {}, ANSWER_SECONDS, body) as response:
            if not response.is_success:
                raise await _refusal(response)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        read_seconds: float,
        body: Mapping[str, object] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer of the replica that leads, its body not read yet."""
        http, headers = await self._client(), await self._headers()
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=read_seconds)
        failure = "no replica of the operator leads"
        handshakes = _Handshakes()
        for ip in await self._addresses():
            host = f"[{ip}]" if ":" in ip else ip
            request = http.build_request(
                method,
                f"https://{host}:{self._port}{path}",
                params={**query, "class": self._address.class_name},
                headers=headers,
                json=body,
                timeout=timeout,
                extensions={"sni_hostname": self._host, "trace": handshakes.trace},
            )
            try:
                response = await http.send(request, stream=True)
            except (httpx.HTTPError, RuntimeError) as exc:
                # RuntimeError: whoever saw first that the authorities have changed closed it.
                failure = f"{ip}: {type(exc).__name__}"
                continue
            except asyncio.CancelledError:
                await handshakes.close()
                raise
            try:
                if response.status_code != _WRONG_REPLICA:
                    self._leader = ip
                    yield response
                    return
            except httpx.HTTPError as exc:
                raise ChannelError(f"{ip}: {type(exc).__name__}") from exc
            finally:
                await response.aclose()
        self._leader = None
        raise ChannelError(failure)

    async def _addresses(self) -> list[str]:
        """The one that led last comes first."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as exc:
            raise ChannelError(f"{self._host} has no address") from exc
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        return sorted(addresses, key=lambda address: address != self._leader)

    async def _headers(self) -> dict[str, str]:
        try:
            token = await asyncio.to_thread(self._address.token_file.read_text)
        except OSError as exc:
            raise ChannelError(f"the token cannot be read: {type(exc).__name__}") from exc
        return {
            "Authorization": f"Bearer {token.strip()}",
            "Host": self._host,
            "Accept-Encoding": "gzip",
            SCHEMA_HEADER: str(SCHEMA_VERSION),
            POD_HEADER: self._address.pod_uid,
        }

    async def _client(self) -> httpx.AsyncClient:
        """A new one whenever the authorities to trust have changed."""
        try:
            trusted = await asyncio.to_thread(self._read_authorities)
            # Nothing is awaited between the look and the swap: polls and reports come at once.
            if self._http is None or trusted != self._trusted:
                context = ssl.create_default_context(cadata=trusted)
                former, self._trusted = self._http, trusted
                # No proxy from the environment: the token would go there.
                self._http = httpx.AsyncClient(verify=context, trust_env=False)
                if former is not None:
                    await former.aclose()
        except (OSError, ValueError) as exc:
            raise ChannelError(f"the CA cannot be read: {type(exc).__name__}") from exc
        return self._http

    def _read_authorities(self) -> str:
        if self._address.ca_file is not None:
            return self._address.ca_file.read_text()
        return self._address.ca_pem or ""


class _Handshakes:
    """Closes what httpcore 1.0 leaves open when it is cancelled in a TLS handshake.

    It closes the connection on errors only. Without this,
    test_a_poll_that_is_cancelled_in_its_handshake_leaves_no_socket fails.
    """

    def __init__(self) -> None:
        self._streams: list[Any] = []

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """The `trace` extension of httpcore."""
        if name == "connection.connect_tcp.complete":
            self._streams.append(info["return_value"])
        elif name == "connection.start_tls.complete":
            self._streams.clear()

    async def close(self) -> None:
        for stream in self._streams:
            await stream.aclose()


async def _refusal(response: httpx.Response) -> ChannelError:
    """With the operator's reason where it gives one: of the token, say, or the class."""
    content = b""
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_REFUSAL_BYTES:
            break
    try:
        message = json.loads(content)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = None
    reason = f": {message[:_MAX_REASON_LENGTH]}" if isinstance(message, str) else ""
    return ChannelError(f"the operator answers {response.status_code}{reason}")


async def _lines(response: httpx.Response) -> list[bytes]:
    update = UpdateReader()
    try:
        async for chunk in response.aiter_bytes():
            update.feed(chunk)
        return update.lines()
    except SnapshotFormatError as exc:
        raise ChannelError(str(exc)) from exc
