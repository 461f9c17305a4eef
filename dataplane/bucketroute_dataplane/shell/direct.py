"""An exchange that waits for nothing but its two sockets, and so needs no task.

Most requests are such: the caller's key is known, credentials are at hand, a connection is idle,
and the backend's answer is the client's. Then every step is taken in the call that brought the
bytes. What turns out to be anything else is handed over to a task, with nothing lost.
"""

from __future__ import annotations

from typing import Protocol

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.shell.answers import (
    Answering,
    is_passed_on,
    note_backend_request,
    start_passing_on,
)
from bucketroute_dataplane.shell.relay import Relay, ResponseHead
from bucketroute_dataplane.shell.upstream import UpstreamConnection


class DirectOwner(Protocol):
    """Whoever began a direct exchange hears of its end, once, by one of these."""

    def on_passed_on(self) -> None:
        """The response is with the client."""
        ...

    def on_other_answer(self, relay: DirectRelay, head: ResponseHead) -> None:
        """The answer is not to be passed on as it is; `relay` goes on collecting it."""
        ...

    def on_failure(self, relay: DirectRelay, failure: Exception) -> None:
        """BackendError, S3Error of a wrong body, or ClientGoneError."""
        ...


class DirectRelay(Relay):
    """A relay that passes the response on by itself."""

    def __init__(
        self,
        answering: Answering,
        plan: ForwardPlan,
        connection: UpstreamConnection,
        owner: DirectOwner,
    ) -> None:
        super().__init__(answering.client, connection)
        self._answering = answering
        self.plan = plan
        self._owner: DirectOwner | None = owner

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None:
        super().on_response_head(status, headers, length)
        answering, head = self._answering, self._head
        assert head is not None
        answering.record.first_byte = answering.services.clock()
        if self.is_upload_complete and is_passed_on(self.plan, head):
            note_backend_request(answering.record, head.headers)
            start_passing_on(answering, self.plan, head)
            self._is_passing = True
        elif self._owner is not None:
            owner, self._owner = self._owner, None
            owner.on_other_answer(self, head)

    def on_response_end(self) -> None:
        super().on_response_end()
        if self._is_passing and self._owner is not None:
            owner, self._owner = self._owner, None
            self._client.finish()
            owner.on_passed_on()

    def _fail(self, failure: Exception) -> None:
        super()._fail(failure)
        if self._failure is failure and self._owner is not None:
            owner, self._owner = self._owner, None
            owner.on_failure(self, failure)
