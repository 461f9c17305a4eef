"""Request bodies of callers whom nobody need trust: each is bounded in size and time, and all that
are being read are bounded together."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request


class BodyError(Exception):
    """The message goes to the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Bodies:
    """`together_bytes` is what all requests may hold at one time; `seconds` is for each."""

    def __init__(self, *, together_bytes: int, seconds: float) -> None:
        self._free = together_bytes
        self._seconds = seconds

    async def read(self, request: Request, limit_bytes: int) -> bytes:
        """Raises: BodyError 413, 503, 408, or 400 for one that ended early."""
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    self._free -= len(chunk)
                    if size > limit_bytes:
                        raise BodyError(413, f"a body has at most {limit_bytes} bytes here")
                    if self._free < 0:
                        raise BodyError(503, "too many bodies at once")
                    chunks.append(chunk)
        except TimeoutError as exc:
            raise BodyError(408, "the body did not arrive in time") from exc
        except ClientDisconnect as exc:
            raise BodyError(400, "the body ended early") from exc
        finally:
            self._free += size
        return b"".join(chunks)
