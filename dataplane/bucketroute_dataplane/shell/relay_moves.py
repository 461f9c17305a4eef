"""The bulk of a body as a part of an exchange: who is paused, who is counted, who is waited for."""

from __future__ import annotations

from bucketroute_dataplane.shell.bulk import Move
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.upstream import UpstreamConnection


class ResponseMove:
    """The rest of a response, from the backend's socket to the client's."""

    def __init__(self, client: ClientStream, connection: UpstreamConnection, move: Move) -> None:
        self._client = client
        self._connection = connection
        self._move = move
        self._is_begun = False

    @classmethod
    def begun(cls, client: ClientStream, connection: UpstreamConnection) -> ResponseMove | None:
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
        if client.is_flushed():
            begun.on_flushed()
        return begun

    def on_flushed(self) -> None:
        """What was written by copying is on its way; the move may follow it."""
        if not self._is_begun:
            self._is_begun = True
            self._client.set_usual_buffer()
            self._move.start(self)

    def stop(self) -> None:
        self._move.stop()
        self._client.sent_bytes += self._move.moved

    def on_waiting(self, *, is_for_source: bool) -> None:
        if is_for_source:
            self._connection.expect_more()
            self._client.expect_nothing()
        else:
            self._connection.deadline = None
            self._client.expect_room()

    def on_moved(self) -> None:
        self._client.expect_nothing()
        self._client.sent_bytes += self._move.moved
        self._connection.response_moved(self._move.moved)

    def on_broken(self, *, is_source: bool) -> None:
        if is_source:
            self._connection.on_broken()
        else:
            self._client.abort()

    def on_refused(self) -> None:
        self._connection.resume_response()


class UploadMove:
    """The rest of a request body, from the client's socket to the backend's."""

    def __init__(self, client: ClientStream, connection: UpstreamConnection, move: Move) -> None:
        self._client = client
        self._connection = connection
        self._move = move
        self._is_begun = False

    @classmethod
    def begun(cls, client: ClientStream, connection: UpstreamConnection) -> UploadMove | None:
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
        return begun

    def on_flushed(self) -> None:
        """What was written by copying is on its way; the move may follow it."""
        if not self._is_begun:
            self._is_begun = True
            self._connection.set_usual_buffer()
            self._move.start(self)

    def stop(self) -> None:
        self._move.stop()
        self._client.received_bytes += self._move.moved

    def on_waiting(self, *, is_for_source: bool) -> None:
        if is_for_source:
            self._connection.deadline = None
            self._client.expect_body()
        else:
            self._connection.expect_more()
            self._client.expect_nothing()

    def on_moved(self) -> None:
        self._connection.request_moved(self._move.moved)
        self._client.body_moved(self._move.moved)

    def on_broken(self, *, is_source: bool) -> None:
        if is_source:
            self._client.abort()
        else:
            self._connection.on_broken()

    def on_refused(self) -> None:
        self._client.resume_body()
