"""Answers for data planes of an older schema: as during an upgrade, when the operator goes first.

They get everything each time, never a difference, since what they hold has other bytes and another
digest than what was published. One translation serves all of them.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace

from bucketroute_operator.core.delta import older_update
from bucketroute_operator.shell.publication import Answer
from bucketroute_snapshot.update import decode_update_header

_COMPRESSION_LEVEL = 6
# Of one class there is one full answer at a time, and one for each kind of sidecar.
_MAX_REMEMBERED = 256


class OlderReaders:
    def __init__(self) -> None:
        self._translated: dict[tuple[int, bytes], Answer] = {}
        # What they call theirs, and what was published.
        self._digests: dict[str, str] = {}

    def published_digest(self, digest: str) -> str:
        """Of what somebody holds who says that it has `digest`."""
        return self._digests.get(digest, digest)

    async def translated(self, answer: Answer, full: Callable[[], Answer], schema: int) -> Answer:
        """`answer`, or `full` if it is a difference, for a reader of `schema`."""
        whole = full() if answer.kind == "delta" else answer
        key = (schema, whole.body)
        if key not in self._translated:
            if len(self._translated) >= _MAX_REMEMBERED:
                self._translated.clear()
                self._digests.clear()
            body, theirs, ours = await asyncio.to_thread(_translate, whole.body, schema)
            self._translated[key] = replace(whole, body=body)
            self._digests[theirs] = ours
        return self._translated[key]


def _translate(body: bytes, schema: int) -> tuple[bytes, str, str]:
    """The body for the older reader, its digest, and that of the body that was given."""
    update = gzip.decompress(body)
    older = older_update(update, schema)
    body = gzip.compress(older, _COMPRESSION_LEVEL, mtime=0)
    return body, _digest(older), _digest(update)


def _digest(update: bytes) -> str:
    return decode_update_header(update.partition(b"\n")[0]).digest
