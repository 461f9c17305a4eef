"""Answers for data planes of an older schema: as during an upgrade, when the operator goes first.

They get everything each time, never a difference, since what they hold has other bytes and another
digest than what was published. One translation serves all who ask for the same.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from bucketroute_operator.core.delta import older_update
from bucketroute_operator.shell.publication import Answer
from bucketroute_snapshot.update import decode_update_header

_COMPRESSION_LEVEL = 6
# A class of 5,000 routes has 400 KiB. Sidecars have small parts, but many.
MAX_ANSWERS = 32
MAX_DIGESTS = 10_000

_Key = tuple[int, bytes]


class OlderReaders:
    def __init__(self) -> None:
        self._answers: dict[_Key, Answer] = {}
        # What they call theirs, and what was published.
        self._digests: dict[str, str] = {}
        # One at a time: whoever waits finds it made.
        self._making = asyncio.Lock()

    def published_digest(self, digest: str) -> str:
        """Of what somebody holds who says that it has `digest`."""
        return self._digests.get(digest, digest)

    async def translated(self, answer: Answer, full: Callable[[], Answer], schema: int) -> Answer:
        """`answer`, or `full` if it is a difference, for a reader of `schema`."""
        whole = full() if answer.kind == "delta" else answer
        key = (schema, sha256(whole.body).digest())
        async with self._making:
            if key not in self._answers:
                await self._make(key, whole)
            return self._answers[key]

    async def _make(self, key: _Key, whole: Answer) -> None:
        body, theirs, ours = await asyncio.to_thread(_translate, whole.body, key[0])
        self._answers[key] = replace(whole, body=body)
        self._digests[theirs] = ours
        if len(self._answers) > MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        if len(self._digests) > MAX_DIGESTS:
            del self._digests[next(iter(self._digests))]


def _translate(body: bytes, schema: int) -> tuple[bytes, str, str]:
    """The body for the older reader, its digest, and that of the body that was given."""
    update = gzip.decompress(body)
    older = older_update(update, schema)
    body = gzip.compress(older, _COMPRESSION_LEVEL, mtime=0)
    return body, _digest(older), _digest(update)


def _digest(update: bytes) -> str:
    return decode_update_header(update.partition(b"\n")[0]).digest
