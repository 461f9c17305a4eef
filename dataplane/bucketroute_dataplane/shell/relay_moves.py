"""The bulk of a body as a part of an exchange: who is paused, who is counted, who is waited for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from bucketroute_dataplane.shell.bulk import Move
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.upstream import UpstreamConnection


class BodyMove(ABC):
    """What both directions have in common. `is_over`: every byte has arrived, or the rest is
    copied after all; the exchange's own rules of backpressure hold again."""

    def __init__(self, client: ClientStream, connection: UpstreamConnection, move: Move) -> None:
        self.is_over = False
        self._client = client
        self._connection = connection
        self._move = move
        self._is_begun = False

    def on_flushed(self) -> None:
        """What was written by copying is on its way; the move may follow it."""
        if not self._is_begun:
            self._is_begun = True
            self._set_usual_buffer()
            self._move.start(self)

    def stop(self) -> None:
        """Ends it in silence; what was moved by then is counted."""
        if not self.is_over:
            self.is_over = True
            self._move.stop()
            self._count(self._move.moved)

    def on_moved(self) -> None:
        self.is_over = True
        self._count(self._move.moved)
        self._finish(self._move.moved)

    def on_broken(self, *, is_source: bool) -> None:
        self.is_over = True
        self._count(self._move.moved)
        self._break(is_source=is_source)

    def on_refused(self) -> None:
        self.is_over = True
        self._copy_on()

    @abstractmethod
    def on_waiting(self, *, is_for_source: bool) -> None: ...

    @abstractmethod
    def _set_usual_buffer(self) -> None:
        """Of the side that is written to."""

    @abstractmethod
    def _count(self, moved: int) -> None: ...

    @abstractmethod
    def _finish(self, moved: int) -> None: ...

    @abstractmethod
    def _break(self, *, is_source: bool) -> None: ...

    @abstractmethod
    def _copy_on(self) -> None: ...


class ResponseMove(BodyMove):
    """The rest of a response, from the backend's socket to the client's."""

    @classmethod
    def begun(cls, client: ClientStream, connection: UpstreamConnection) -> Self | None:
        """The move under way; None where the rest is to be copied."""
        target = client.plain_transport()
        source = connection.transport
        if target is None or source is None or connection.bulk is None:
            return None
        move = connection.bulk.move(source, target, connection.remaining_bytes)
        if move is None:
            return None
        begun = cls(client, connection, move)
        connection.pause_response()
        if client.is_flushed():  # if not, the client's deadline is that of its full buffer
            begun.on_flushed()
        return begun

    def on_waiting(self, *, is_for_source: bool) -> None:
        if is_for_source:
            self._connection.expect_more()
            self._client.expect_nothing()
        else:
            self._connection.deadline = None
            self._client.expect_room()

    def _break(self, *, is_source: bool) -> None:
        if is_source:
            self._connection.on_broken()
        else:
            self._client.abort()

    def _set_usual_buffer(self) -> None:
        self._client.set_usual_buffer()

    def _count(self, moved: int) -> None:
        self._client.sent_bytes += moved

    def _finish(self, moved: int) -> None:
        self._client.expect_nothing()
        self._connection.response_moved(moved)

    def _copy_on(self) -> None:
        self._connection.resume_response()


class UploadMove(BodyMove):
    """The rest of a request body, from the client's socket to the backend's."""

    @classmethod
    def begun(cls, client: ClientStream, connection: UpstreamConnection) -> Self | None:
        """The move under way; None where the rest is to be copied."""
        source = client.plain_transport()
        target = connection.transport
        if source is None or target is None or connection.bulk is None:
            return None
        move = connection.bulk.move(source, target, connection.unsent_bytes)
        if move is None:
            return None
        begun = cls(client, connection, move)
        client.pause_body()
        if connection.is_flushed():
            begun.on_flushed()
        else:
            connection.expect_more()  # it may never take what was written
        return begun

    def on_waiting(self, *, is_for_source: bool) -> None:
        self._connection.await_upload(is_for_backend=not is_for_source)
        if is_for_source:
            self._client.expect_body()
        else:
            self._client.expect_nothing()

    def _break(self, *, is_source: bool) -> None:
        if is_source:
            self._client.abort()
        else:
            # It takes no more, and may have said why: what has come of that is still to be read.
            self._connection.expect_more()

    def _set_usual_buffer(self) -> None:
        self._connection.set_usual_buffer()

    def _count(self, moved: int) -> None:
        self._client.received_bytes += moved

    def _finish(self, moved: int) -> None:
        self._connection.request_moved(moved)
        self._client.body_moved()

    def _copy_on(self) -> None:
        self._client.resume_body()
