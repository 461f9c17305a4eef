"""The clients of the soak: many at once, each on its own connections, checking all they get."""

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from bench.soak.bodies import PIECE_BYTES, BodyCheck, pieces, sha256_of
from bench.soak.plan import Job, Mishap, next_job
from bucketroute_testing.signing import UNSIGNED_PAYLOAD, Signer

BUCKET = "soak"
# Longer than any deadline of the data plane that these exchanges can meet.
EXCHANGE_SECONDS = 90.0
_GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(slots=True)
class Tally:
    """`problems` are answers that must not be; the run fails with the first."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0


class Front:
    """One listener of the data plane."""

    def __init__(self, endpoint: str, signer: Signer, context: ssl.SSLContext | None) -> None:
        self.endpoint = endpoint
        self.context = context
        self._signer = signer
        self._host, _, port = endpoint.rpartition("/")[2].partition(":")
        self._port = int(port)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self._host, self._port, ssl=self.context, limit=PIECE_BYTES
        )

    def head(self, method: str, target: str, *, length: int | None, payload_hash: str) -> bytes:
        signed = self._signer.sign(method, f"{self.endpoint}{target}", payload_hash=payload_hash)
        lines = [f"{name}: {value}" for name, value in signed.headers]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()


class _LeftError(Exception):
    """The client went away on purpose."""


class Worker:
    """One client: a request after the other, on a connection that is kept while it can be."""

    def __init__(self, front: Front, tally: Tally, dice: random.Random) -> None:
        self._front = front
        self._tally = tally
        self._dice = dice
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, is_over: Callable[[], bool], numbers: "count[int]") -> None:
        while not is_over():
            job = next_job(self._dice, next(numbers))
            try:
                async with asyncio.timeout(EXCHANGE_SECONDS):
                    outcome = await self._do(job)
            except _LeftError:
                outcome = "left"
            except _GONE:
                outcome = "broken off"
            except TimeoutError:
                outcome = "no answer"
            if outcome != "200":
                self._drop()
            self._judge(job, outcome)
        self._drop()

    def _judge(self, job: Job, outcome: str) -> None:
        self._tally.outcomes[f"{job.mishap.value}: {outcome}"] += 1
        allowed = {
            Mishap.NONE: ("200",),
            Mishap.BACKEND_RESETS: ("broken off", "503"),
            Mishap.BACKEND_STALLS: ("broken off", "503", "504"),
            # With a body on the wire that nobody reads, a reset may overtake the answer.
            Mishap.BACKEND_REFUSES: ("403", "503", "broken off"),
            Mishap.CLIENT_LEAVES: ("left",),
            Mishap.CLIENT_LIES: ("400",),
        }
        if outcome not in allowed[job.mishap]:
            where = self._front.endpoint.partition(":")[0]
            self._tally.problems.append(f"{where}: {job}: {outcome}")

    async def _do(self, job: Job) -> str:
        if job.operation == "multipart":
            return await self._multipart(job)
        return await self._exchange(job, job.operation, "")

    async def _multipart(self, job: Job) -> str:
        for method, query, body in (
            ("POST", "?uploads=", b""),
            ("PUT", "?partNumber=1&uploadId=u", None),
            ("PUT", "?partNumber=2&uploadId=u", None),
            (
                "POST",
                "?uploadId=u",
                b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                b"<ETag>e</ETag></Part></CompleteMultipartUpload>",
            ),
        ):
            outcome = await self._exchange(job, method, query, body)
            if outcome != "200":
                break
        return outcome

    async def _exchange(self, job: Job, method: str, query: str, body: bytes | None = None) -> str:
        if self._streams is None:
            self._streams = await self._front.connect()
        reader, writer = self._streams
        length = None if method in ("GET", "HEAD") else job.size if body is None else len(body)
        hashed = UNSIGNED_PAYLOAD
        if method == "PUT" and job.is_hashed:
            hashed = sha256_of(job.seed, job.size + (job.mishap is Mishap.CLIENT_LIES))
        target = f"/{BUCKET}/{job.key}{query}"
        writer.write(self._front.head(method, target, length=length, payload_hash=hashed))
        if body is not None:
            writer.write(body)
        elif method == "PUT":
            await self._upload(job, writer)
        return await self._answer(job, method, reader)

    async def _upload(self, job: Job, writer: asyncio.StreamWriter) -> None:
        left = job.size // 2 if job.mishap is Mishap.CLIENT_LEAVES else job.size
        with suppress(ConnectionError):  # an early answer may still be read
            for piece in pieces(job.seed, left):
                writer.write(piece)
                await writer.drain()
                self._tally.bytes_in += len(piece)
        if job.mishap is Mishap.CLIENT_LEAVES:
            raise _LeftError

    async def _answer(self, job: Job, method: str, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = head.split(b" ", 2)[1].decode()
        declared = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or b"0")
        if method == "HEAD":
            return status if declared == job.size else f"a length of {declared}"
        if method != "GET" or status != "200":
            await reader.readexactly(declared)
            return "closed" if b"\r\nconnection: close" in head and status == "200" else status
        if declared != job.size:
            return f"a length of {declared}"
        return await self._download(job, reader)

    async def _download(self, job: Job, reader: asyncio.StreamReader) -> str:
        check = BodyCheck(job.seed)
        leaves = job.size // 2 if job.mishap is Mishap.CLIENT_LEAVES else None
        while check.length < job.size:
            piece = await reader.read(min(PIECE_BYTES, job.size - check.length))
            if not piece:
                raise ConnectionResetError
            check.add(piece)
            if not check.is_right:
                return "wrong bytes"
            if leaves is not None and check.length >= leaves:
                raise _LeftError
            if self._dice.random() < 0.01:
                await asyncio.sleep(0.05)  # a slow reader
        self._tally.bytes_out += check.length
        return "200"

    def _drop(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
