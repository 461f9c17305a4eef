"""The API server, as far as the benchmark needs it: apply, create, delete, and one watch.

Not by kubectl, whose start would be a tenth of a second of every figure.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import yaml

from bench.processes import BenchmarkError

Json = dict[str, Any]
ROUTES = "/apis/bucketroute.io/v1alpha1/bucketroutes"
AT_ONCE = 40
_SECONDS = 30.0


class Api:
    """`connected()` makes one. All raise BenchmarkError with the API server's message."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.server = str(http.base_url)
        self._http = http
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def get(self, path: str) -> Json:
        return await self._json("GET", path)

    async def create(self, path: str, body: Json) -> Json:
        return await self._json("POST", path, body)

    async def apply(self, path: str, body: Json) -> Json:
        """Server-side, as `kubectl apply --server-side --force-conflicts`."""
        return await self._json(
            "PATCH",
            f"{path}?fieldManager=bench&force=true",
            body,
            content_type="application/apply-patch+yaml",
        )

    async def delete(self, path: str) -> None:
        await self._json("DELETE", path)

    async def events(self, path: str) -> AsyncIterator[Json]:
        """Every object, then what happens. Ends when the API server ends the watch."""
        listed = await self.get(path)
        for item in listed["items"]:
            yield {"type": "ADDED", "object": item}
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        timeout = httpx.Timeout(_SECONDS, read=None)
        async with self._http.stream("GET", path, params=query, timeout=timeout) as answer:
            async for line in answer.aiter_lines():
                yield json.loads(line)

    async def _json(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
    ) -> Json:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._gate:
            answer = await self._http.request(method, path, content=content, headers=headers)
        if not answer.is_success:
            raise BenchmarkError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        found: Json = answer.json()
        return found


@asynccontextmanager
async def connected() -> AsyncIterator[Api]:
    """As the kubeconfig of KUBECONFIG says. Raises: BenchmarkError."""
    if "KUBECONFIG" not in os.environ:
        raise BenchmarkError("KUBECONFIG must name a cluster; see bench/README.md.")
    server, context = await asyncio.to_thread(_access, Path(os.environ["KUBECONFIG"]))
    limits = httpx.Limits(max_connections=AT_ONCE + 10)
    async with httpx.AsyncClient(
        base_url=server, verify=context, timeout=_SECONDS, limits=limits, trust_env=False
    ) as http:
        yield Api(http)


def _access(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The API server's URL, and a context with the certificates that stand in the kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.NamedTemporaryFile() as file:  # `ssl` takes a chain from files only
        for name in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[name]))
        file.flush()
        context.load_cert_chain(file.name)
    return cluster["server"], context


class Statuses:
    """What the routes' statuses say, by a watch. `run` until it is cancelled."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._programmed: dict[tuple[str, str], tuple[str, int, float]] = {}
        self._told = asyncio.Event()

    async def run(self) -> None:
        while True:
            async for event in self._api.events(ROUTES):
                self._take(event["object"])

    async def programmed(self, route: Json, *, seconds: float = 60.0) -> float:
        """When the route (as an apply returned it) was Programmed, by the monotonic clock.

        Raises: BenchmarkError.
        """
        metadata = route["metadata"]
        key, uid, generation = _key(metadata), metadata["uid"], metadata["generation"]
        deadline = monotonic() + seconds
        while True:
            told = self._told
            known = self._programmed.get(key)
            if known is not None and known[0] == uid and known[1] >= generation:
                return known[2]
            try:
                async with asyncio.timeout(deadline - monotonic()):
                    await told.wait()
            except TimeoutError:
                raise BenchmarkError(f"{key} was not Programmed within {seconds} s") from None

    def _take(self, route: Json) -> None:
        for condition in (route.get("status") or {}).get("conditions") or []:
            if (condition["type"], condition["status"]) == ("Programmed", "True"):
                metadata = route["metadata"]
                now = (metadata["uid"], condition["observedGeneration"], monotonic())
                known = self._programmed.get(_key(metadata))
                if known is None or known[:2] != now[:2]:
                    self._programmed[_key(metadata)] = now
                    self._told.set()
                    self._told = asyncio.Event()


def _key(metadata: Json) -> tuple[str, str]:
    return (metadata["namespace"], metadata["name"])
