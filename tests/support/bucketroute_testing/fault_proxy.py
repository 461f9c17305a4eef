"""A proxy before a real API server that fails on demand and remembers every call.

It speaks plain HTTP on loopback, carries the caller's own credentials on, and runs in a thread of
its own. What fails is chosen by the test while it runs; without faults it changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

import aiohttp
import yarl
from aiohttp import web

from bucketroute_testing.api_calls import ApiCall, parse_call
from bucketroute_testing.api_faults import GONE, Faults

_START_SECONDS = 10.0
# aiohttp's documentation, "Graceful Shutdown": TLS transports close a moment after their session.
_TLS_CLOSE_SECONDS = 0.25
# How long a stream must be silent before a fault gives out what it holds back.
_LULL_SECONDS = 0.3
_NOT_CARRIED = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
)
_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call. `status` is what the caller was told; `has_arrived` and `was_carried_out` are what
    the API server says: a call may fail before it gets there, or its answer on the way back.
    `name` is the object's, for what is created, too; `at` is monotonic, in seconds.
    """

    call: ApiCall
    status: int
    has_arrived: bool
    was_carried_out: bool
    name: str
    at: float


class FaultProxy:
    """`with FaultProxy(upstream, ca_file) as proxy:`; `proxy.url` is what a kubeconfig names."""

    def __init__(self, upstream: str, ca_file: str) -> None:
        self.seen: list[Seen] = []
        self.lists: dict[str, bytes] = {}
        self.url = ""
        self.faults = Faults()
        self._upstream = upstream.rstrip("/")
        self._ca_file = ca_file
        self._streams: set[_Stream] = set()
        self.loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._stop = asyncio.Event()
        self._session: aiohttp.ClientSession
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        assert self._is_up.wait(_START_SECONDS), "the proxy did not start"
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)

    @contextmanager
    def failing(self, faults: Faults) -> Iterator[None]:
        """While it lasts. Streams that are open take part from then on, and are whole again after,
        but for what they lost.
        """
        self.faults = faults
        self._on_streams(_Stream.renew)
        try:
            yield
        finally:
            self.faults = Faults()
            self._on_streams(_Stream.renew)

    def drop_watches(self) -> None:
        """Cuts every stream off, as a load balancer does that is restarted."""
        self._on_streams(_Stream.abort)

    def expire_watches(self) -> None:
        """Tells every stream that its resourceVersion is too old: the watcher has to LIST."""
        self._on_streams(_Stream.expire)

    def calls(self, *, since: int = 0, carried_out: bool = True) -> list[ApiCall]:
        """From the `since`-th on (`len(proxy.seen)` is now); else those that were not."""
        return [item.call for item in self.seen[since:] if item.was_carried_out is carried_out]

    def _on_streams(self, act: Callable[[_Stream], None]) -> None:
        def on_all() -> None:
            for stream in list(self._streams):
                act(stream)

        self.loop.call_soon_threadsafe(on_all)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        context = ssl.create_default_context(cafile=self._ca_file)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            self._session = session
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, reuse_address=True)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._is_up.set()
            await self._stop.wait()
            self.drop_watches()
            await runner.cleanup()
        await asyncio.sleep(_TLS_CLOSE_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = parse_call(request.method, request.raw_path)
        faults, body = self.faults, await request.read()
        refusal = next((item for item in faults.refusals if item.takes(call)), None)
        if refusal is not None and not refusal.after:
            self._saw(call, body, refusal.status, has_arrived=False)
            return _refused(refusal.status)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_CARRIED
        }
        async with self._session.request(
            request.method,
            yarl.URL(self._upstream + request.raw_path, encoded=True),
            headers={**headers, "Accept-Encoding": "identity"},
            data=body or None,
        ) as answer:
            if call.is_watch and answer.status == 200:
                self._saw(call, body, answer.status, was_carried_out=True)
                return await self._stream(request, answer)
            content = await answer.read()
        status = answer.status if refusal is None else refusal.status
        self._saw(call, body, status, was_carried_out=answer.ok)
        if refusal is not None:
            return _refused(refusal.status)
        if call.verb == "list" and answer.ok:
            self.lists[request.path] = content
            content = faults.old_lists.get(request.path, content)
        return web.Response(status=status, body=content, headers=_type_of(answer))

    async def _stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_type_of(answer))
        await response.prepare(request)
        stream = _Stream(self, request, response)
        self._streams.add(stream)
        try:
            await stream.carry(answer)
        finally:
            self._streams.remove(stream)
        return response

    def _saw(
        self,
        call: ApiCall,
        body: bytes,
        status: int,
        *,
        has_arrived: bool = True,
        was_carried_out: bool = False,
    ) -> None:
        self.seen.append(
            Seen(
                call=call,
                status=status,
                has_arrived=has_arrived,
                was_carried_out=was_carried_out,
                name=call.name or _name_in(body),
                at=monotonic(),
            )
        )


class _Stream:
    """One watch on its way to the operator."""

    def __init__(
        self, proxy: FaultProxy, request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        self._proxy = proxy
        self._request = request
        self._response = response
        self._is_over = False
        self._fault = proxy.faults.events()
        self._unfinished = b""

    def renew(self) -> None:
        """Other faults are in force: what was held back by the former goes out."""
        held, self._fault = self._fault.rest(), self._proxy.faults.events()
        self._write_soon(held)

    def abort(self) -> None:
        self._is_over = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def expire(self) -> None:
        self._is_over = True
        self._write_soon([GONE])

    async def carry(self, answer: aiohttp.ClientResponse) -> None:
        """To the end of either side, or until it was told to be over."""
        with suppress(ConnectionError, aiohttp.ClientError):
            while not self._is_over:
                try:
                    async with asyncio.timeout(_LULL_SECONDS):
                        chunk = await answer.content.readany()
                except TimeoutError:
                    await self._write(self._fault.rest())
                    continue
                if not chunk:
                    break
                *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
                for line in lines:
                    await self._write(self._fault.feed(line + b"\n"))

    async def _write(self, lines: list[bytes]) -> None:
        if lines and not self._proxy.faults.are_watches_stalled:
            await self._response.write(b"".join(lines))

    def _write_soon(self, lines: list[bytes]) -> None:
        task = self._proxy.loop.create_task(self._write(lines))
        task.add_done_callback(lambda done: done.exception())


def _name_in(body: bytes) -> str:
    return str(json.loads(body).get("metadata", {}).get("name", "")) if body else ""


def _refused(status: int) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "the fault proxy says no",
        "reason": _REASONS[status],
        "code": status,
    }
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/json", headers=headers
    )


def _type_of(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {"Content-Type": answer.headers.get("Content-Type", "application/json")}
