"""The top of the data path: every request gets an answer, a record and a count."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error, s3_error
from bucketroute_dataplane.core.web_identity_login import is_sts_request
from bucketroute_dataplane.core.xml import error_document
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.answers import XML_TYPE, Answering
from bucketroute_dataplane.shell.client import ClientGoneError, ClientStream
from bucketroute_dataplane.shell.exchange import Exchange
from bucketroute_dataplane.shell.login import answer_sts
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.upstream import BackendError

# nginx's code for a client that went away; it is only ever logged and counted.
CLIENT_CLOSED_REQUEST = 499
RETRY_AFTER_SECONDS = 1

_LOGGER = logging.getLogger("bucketroute.dataplane")


class S3Front:
    """Serves client streams. `serve` never raises but for cancellation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next_id = _request_ids()

    async def serve(self, client: ClientStream) -> None:
        services = self._services
        record = AccessRecord(
            request_id=self._next_id(),
            method=client.head.method.decode("latin-1"),
            client_address=client.head.client_address,
            started=services.clock(),
        )
        services.metrics.in_flight += 1
        try:
            await self._run(client, record)
        finally:
            services.metrics.in_flight -= 1
            if not client.response_complete:
                client.break_off()
            self._finish(client, record)

    async def _run(self, client: ClientStream, record: AccessRecord) -> None:
        exchange: Exchange | None = None
        answering = Answering(self._services, client, record)
        try:
            index = self._services.store.index
            if index is None:
                raise s3_error("ServiceUnavailable", "No configuration has been received yet.")
            if is_sts_request(client.head):
                await answer_sts(answering, index)
                return
            exchange = Exchange(answering, index)
            await exchange.run()
        except ClientGoneError:
            record.status = record.status or CLIENT_CLOSED_REQUEST
            record.error_code = "ClientGone"
        except S3Error as error:
            self._answer_error(answering, exchange, error)
        except BackendError as error:
            self._answer_error(answering, exchange, _of_backend(error))
        except Exception:
            _LOGGER.exception("request %s failed", record.request_id)
            self._answer_error(answering, exchange, s3_error("InternalError"))

    def _answer_error(
        self, answering: Answering, exchange: Exchange | None, error: S3Error
    ) -> None:
        """Answers with the error, or, if an answer is under way, breaks that off."""
        client, record = answering.client, answering.record
        record.error_code = error.code
        if isinstance(error, BackendUnavailableError):
            record.detail = error.detail
        if client.response_started or client.disconnected:
            client.break_off()
            return
        request = exchange.request if exchange is not None else None
        resource = request.resource if request is not None else "/"
        body = error_document(error, resource=resource, request_id=record.request_id)
        headers = [XML_TYPE]
        if error.status == 405:
            headers.append((b"allow", b"GET, HEAD, PUT, POST, DELETE"))
        if error.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
        answering.respond(error.status, headers, body)

    def _finish(self, client: ClientStream, record: AccessRecord) -> None:
        record.ended = self._services.clock()
        record.bytes_in, record.bytes_out = client.received_bytes, client.sent_bytes
        self._services.metrics.observe(record)
        self._services.access_log.write(record)


def _of_backend(error: BackendError) -> S3Error:
    code = "GatewayTimeout" if error.is_timeout else "ServiceUnavailable"
    return BackendUnavailableError(code, str(error), retry_after_seconds=RETRY_AFTER_SECONDS)


def _request_ids() -> Callable[[], str]:
    """Sixteen hexadecimal digits: unique in a process, and very likely among processes."""
    counter = secrets.randbits(63)

    def next_id() -> str:
        nonlocal counter
        counter = (counter + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return f"{counter:016X}"

    return next_id
