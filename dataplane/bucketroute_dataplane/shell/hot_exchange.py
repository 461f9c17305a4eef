"""One exchange of the hot path, from the request sent to its line in the log."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.headers import passing_headers
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.shapes import RequestShape, ShapeRoute
from bucketroute_dataplane.shell.access_log import AccessRecord, milliseconds
from bucketroute_dataplane.shell.answers import Answering, note_backend_request
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.direct import DirectRelay
from bucketroute_dataplane.shell.relay import Relay
from bucketroute_dataplane.shell.upstream import UpstreamConnection

if TYPE_CHECKING:  # it makes these
    from bucketroute_dataplane.shell.hot import HotPath

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s" % (status, status.phrase.encode())
    for status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
}


class HotExchange(DirectRelay):
    """A direct relay whose plan and record are made only where they are needed: when the ordinary
    way takes over. Times are those of `Services.clock`."""

    _status = 0  # of a response that is passed on
    _backend_headers: Sequence[Header] = ()

    def __init__(
        self,
        path: HotPath,
        client: ClientStream,
        connection: UpstreamConnection,
        index: RouteIndex,
        shape: RequestShape,
        route: ShapeRoute,
    ) -> None:
        Relay.__init__(self, client, connection)
        self._path = path
        self._owner = None
        self._is_ordinary = False
        self.client = client
        self.index = index
        self.shape = shape
        self.route = route
        self.request_id = path.next_id()
        self.key = b""
        self.started = self.sent_at = self.first_byte = 0.0

    def record(self) -> AccessRecord:
        """What is known of the request by now. Nothing was waited for before it was sent."""
        shape, route = self.shape, self.route
        record = AccessRecord(
            request_id=self.request_id,
            method=shape.method,
            client_address=self.client.head.client_address,
            started=self.started,
        )
        record.bucket, record.key = route.bucket, self.key.decode()
        record.operation, record.route, record.caller = shape.name, route.label, shape.caller_name
        record.authorized = record.credentials_ready = record.backend_sent = self.sent_at
        record.first_byte, record.status = self.first_byte, self._status
        note_backend_request(record, self._backend_headers)
        return record

    def on_response_head(self, status: int, headers: list[Header], length: int | None) -> None:
        passing = passing_headers(tuple([name for name, _ in headers]))
        line = _STATUS_LINES.get(status)
        if (
            line is None
            or length is None
            or passing is None
            or not self.is_upload_complete
            or not (self._client.keep_alive and self._client.is_in_step)
        ):
            self._become_ordinary()
            super().on_response_head(status, headers, length)
            return
        self._status, self._backend_headers = status, headers
        services = self._path.services
        now = self.first_byte = services.clock()
        started, sent = self.started, self.sent_at
        self._client.begin(
            b"%s\r\nserver: BucketRoute\r\ndate: %s\r\nx-amz-request-id: %s\r\nserver-timing: "
            b"total;dur=%s, auth;dur=%s, credentials;dur=0.0, backend;dur=%s\r\n"
            b"%scontent-length: %d\r\n\r\n"
            % (
                line,
                services.http_date(),
                self.request_id.encode(),
                milliseconds(now - started).encode(),
                milliseconds(sent - started).encode(),
                milliseconds(now - sent).encode(),
                b"".join([b"%s: %s\r\n" % headers[index] for index in passing]),
                length,
            )
        )
        self._is_passing = True

    def on_response_end(self) -> None:
        if self._is_ordinary:
            super().on_response_end()
            return
        Relay.on_response_end(self)
        client, path = self._client, self._path
        client.finish()
        record = self.record()
        record.bytes_in, record.bytes_out = client.received_bytes, client.sent_bytes
        path.services.metrics.in_flight -= 1
        path.end(record)

    def _fail(self, failure: Exception) -> None:
        if not self._is_ended and self._failure is None:
            self._become_ordinary()
        super()._fail(failure)

    def become_ordinary(self, answering: Answering, plan: ForwardPlan) -> None:
        """From now on it is a direct relay like others."""
        self._answering, self.plan = answering, plan

    def _become_ordinary(self) -> None:
        if not self._is_ordinary:
            self._is_ordinary = True
            self._owner = self._path.take_over(self)
