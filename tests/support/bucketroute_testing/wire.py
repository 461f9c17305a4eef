"""The recording S3 backend: ordinary S3 semantics by default, anything where a test scripts it.

    with WireBackend() as backend:
        backend.script("PUT", "/data/slow*", read=ReadPlan(pause_at_bytes=MiB, pause_seconds=5))
        ...
        assert backend.only_request("PUT").head.framing is Framing.CONTENT_LENGTH

Requests that no script takes are served by `wire_store`. Signatures are recorded, not refused:
`is_signed_by` in `signing` checks one when a test wants it. It is no proof that a real store
accepts a request; MinIO is.
"""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

from bucketroute_testing.journal import Journal
from bucketroute_testing.sts import FakeSts
from bucketroute_testing.wire_server import Decision, WireServer
from bucketroute_testing.wire_store import MemoryStore
from bucketroute_testing.wire_types import Answer, MiB, ReadPlan, RecordedRequest, RequestHead

Answering = Answer | Callable[[RecordedRequest], Answer]


@dataclass(slots=True)
class _Script:
    method: str
    target: str
    read: ReadPlan
    answer: Answering | None
    left: int | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, head: RequestHead) -> bool:
        """Whether this request is the script's; counts it as used when it is."""
        if self.method not in ("*", head.method) or not fnmatchcase(head.target, self.target):
            return False
        with self.lock:
            if self.left == 0:
                return False
            if self.left is not None:
                self.left -= 1
            return True


class WireBackend:
    """An S3 endpoint on loopback that records every request; STS is answered on the same port, as
    MinIO does.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        *,
        sts: FakeSts | None = None,
        tls: ssl.SSLContext | None = None,
        keep_body_bytes: int = 128 * MiB,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.journal = journal or Journal()
        self.sts = sts or FakeSts(self.journal)
        self.store = MemoryStore()
        self._scripts: list[_Script] = []
        self._server = WireServer(
            self,
            self.journal,
            name="s3",
            tls=tls,
            keep_body_bytes=keep_body_bytes,
            receive_buffer_bytes=receive_buffer_bytes,
        )

    @property
    def endpoint(self) -> str:
        return self._server.endpoint

    @property
    def server(self) -> WireServer:
        return self._server

    def script(
        self,
        method: str,
        target: str,
        answer: Answering | None = None,
        *,
        read: ReadPlan | None = None,
        times: int | None = None,
    ) -> None:
        """Take requests whose raw target (path and query) matches the glob; the newest script is
        asked first.

        Args:
            method: an HTTP method, or `*`.
            answer: a value or a function of the request; None leaves the answer to the store.
            read: how the body is read; None reads it whole.
            times: how many requests it takes before it is spent; None takes all.
        """
        plan = read or ReadPlan()
        self._scripts.insert(
            0, _Script(method=method, target=target, read=plan, answer=answer, left=times)
        )

    def decide(self, head: RequestHead) -> Decision:
        """Implements `Responder`."""
        for script in tuple(self._scripts):
            if script.takes(head):
                return Decision(read=script.read, answer=_answering(script.answer, self.store))
        if head.method == "POST" and head.path == "/":
            return self.sts.decide(head)
        return Decision(read=ReadPlan(), answer=self.store.answer)

    def requests(self, method: str = "*", target: str = "*") -> tuple[RecordedRequest, ...]:
        """Requests that came to their end and match; calls to STS are left out."""
        return tuple(
            request
            for request in self._server.requests
            if method in ("*", request.head.method)
            and fnmatchcase(request.head.target, target)
            and not (request.head.method == "POST" and request.head.path == "/")
        )

    def only_request(self, method: str = "*", target: str = "*") -> RecordedRequest:
        """The one request that matches; AssertionError when there is none or more than one."""
        found = self.requests(method, target)
        seen = [f"{request.head.method} {request.head.target}" for request in self.requests()]
        assert len(found) == 1, f"expected one {method} {target}, the backend saw {seen}"
        return found[0]

    def forget(self) -> None:
        """Drop recordings and events; objects and scripts stay."""
        self._server.forget()

    def clear_scripts(self) -> None:
        self._scripts.clear()

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)


def _answering(answer: Answering | None, store: MemoryStore) -> Callable[[RecordedRequest], Answer]:
    if answer is None:
        return store.answer
    if isinstance(answer, Answer):
        return lambda _: answer
    return answer
