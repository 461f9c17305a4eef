"""The top of the data path: every request gets an answer, a record and a count."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from bucketroute_dataplane.core.container_credentials import is_credentials_request
from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error, s3_error
from bucketroute_dataplane.core.signature_diagnosis import diagnose
from bucketroute_dataplane.core.web_identity_login import is_sts_request
from bucketroute_dataplane.core.xml import error_document
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.answers import XML_TYPE, Answering, common_headers
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.client_ports import ClientGoneError, response_head
from bucketroute_dataplane.shell.container_credentials import answer_credentials
from bucketroute_dataplane.shell.direct import DirectOwner, DirectRelay
from bucketroute_dataplane.shell.exchange import Exchange
from bucketroute_dataplane.shell.hot import HotPath
from bucketroute_dataplane.shell.hot_exchange import HotExchange
from bucketroute_dataplane.shell.login import answer_sts
from bucketroute_dataplane.shell.relay import ResponseHead
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.upstream_ports import BackendError

# nginx's code for a client that went away; it is only ever logged and counted.
CLIENT_CLOSED_REQUEST = 499
RETRY_AFTER_SECONDS = 1

_LOGGER = logging.getLogger("bucketroute.dataplane")


class S3Front:
    """Serves client streams."""

    def __init__(self, services: Services) -> None:
        self.is_leaving = False
        self._services = services
        self._next_id = _request_ids()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hot = HotPath(
            services,
            next_id=self._next_id,
            take_over=self._take_over,
            end=partial(_note_end, services),
        )

    def begin(self, client: ClientStream) -> Awaitable[None] | None:
        """Serves a request at once, as far as nothing has to be waited for; never raises.

        Returns the rest, to be run as a task. None: the request is answered, or is under way
        without a task.
        """
        if self._hot.begin(client):
            return None
        record = self._record(client.head.method.decode("latin-1"), client.head.client_address)
        return _Serving(Answering(self._services, client, record), self._tasks).begin()

    def _take_over(self, hot: HotExchange) -> DirectOwner:
        """Goes on with an exchange of the hot path as with any other."""
        answering = Answering(self._services, hot.client, hot.record())
        serving = _Serving(answering, self._tasks)
        serving.resume(hot)
        return serving

    def refuse(self, error: S3Error, client_address: str) -> bytes:
        """The whole answer to bytes that are no request; logged and counted as one."""
        record = self._record("-", client_address)
        record.status, record.error_code = error.status, error.code
        body = error_document(error, resource="/", request_id=record.request_id)
        record.bytes_out = len(body)
        framing = ((b"content-length", b"%d" % len(body)), (b"connection", b"close"))
        headers = [*common_headers(self._services, record), XML_TYPE, *framing]
        _note_end(self._services, record)
        return response_head(error.status, headers) + body

    def _record(self, method: str, client_address: str) -> AccessRecord:
        return AccessRecord(
            request_id=self._next_id(),
            method=method,
            client_address=client_address,
            started=self._services.clock(),
        )


class _Serving:
    """One request from its head to its line in the log."""

    __slots__ = ("_answering", "_exchange", "_is_closed", "_tasks")

    def __init__(self, answering: Answering, tasks: set[asyncio.Task[None]]) -> None:
        self._answering = answering
        self._tasks = tasks
        self._exchange: Exchange | None = None
        self._is_closed = False

    def begin(self) -> Awaitable[None] | None:
        answering = self._answering
        answering.services.metrics.in_flight += 1
        try:
            work = self._begin()
        except Exception as failure:
            self._end(failure)
            return None
        if work is not None:
            return self._run(work)
        if answering.client.response_complete:
            self._close()
        return None

    def _begin(self) -> Awaitable[None] | None:
        answering = self._answering
        sidecar = answering.services.sidecar
        if sidecar is not None and is_credentials_request(answering.client.head):
            answer_credentials(answering, sidecar)
            return None
        index = answering.services.store.index
        if index is None:
            detail = "no configuration has been received yet"
            raise BackendUnavailableError(
                "ServiceUnavailable", detail, retry_after_seconds=RETRY_AFTER_SECONDS
            )
        if is_sts_request(answering.client.head):
            return answer_sts(answering, index)
        self._exchange = Exchange(answering, index)
        return self._exchange.begin(self)

    def resume(self, hot: HotExchange) -> None:
        """Gives an exchange of the hot path what an ordinary one has."""
        self._exchange = Exchange(self._answering, hot.index)
        hot.become_ordinary(self._answering, self._exchange.resume(hot.shape.identity))

    async def _run(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as failure:
            self._end(failure)
        finally:
            self._close()

    # -- DirectOwner ---------------------------------------------------------------------------

    def on_passed_on(self) -> None:
        self._close()

    def on_other_answer(self, relay: DirectRelay, head: ResponseHead) -> None:
        assert self._exchange is not None
        self._spawn(self._exchange.answer(relay, head))

    def on_failure(self, relay: DirectRelay, failure: Exception) -> None:
        assert self._exchange is not None
        again = None
        if isinstance(failure, BackendError) and failure.is_stale:
            again = self._exchange.send_again(relay)
        if again is not None:
            self._spawn(again)
        else:
            self._end(failure)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the end -------------------------------------------------------------------------------

    def _end(self, failure: Exception) -> None:
        """Answers a failure in the client's terms, and closes."""
        record = self._answering.record
        match failure:
            case ClientGoneError():
                record.error_code = "ClientGone"
            case S3Error():
                self._answer_error(self._diagnosed(failure))
            case BackendError():
                self._answer_error(_of_backend(failure))
            case _:
                _LOGGER.error("request %s failed", record.request_id, exc_info=failure)
                self._answer_error(s3_error("InternalError"))
        # Whoever raised it may keep it, and its frames know them: a circle with all their buffers.
        failure.__traceback__ = None
        self._close()

    def _diagnosed(self, error: S3Error) -> S3Error:
        """With what differs, if it is a wrong signature and the class wants to know."""
        exchange, services = self._exchange, self._answering.services
        if error.code != "SignatureDoesNotMatch" or exchange is None:
            return error
        if not exchange.index.settings.signature_diagnostics:
            return error
        head, now = self._answering.client.head, services.now()
        found = diagnose(error, head, exchange.index, services.trust.sessions, now)
        if found is None:
            return error
        self._answering.record.detail = f"first difference of the signature: {found.component}"
        return found.error

    def _answer_error(self, error: S3Error) -> None:
        """Answers with the error, or, if an answer is under way, breaks that off."""
        client, record = self._answering.client, self._answering.record
        record.error_code = error.code
        if error.detail is not None:
            record.detail = error.detail
        if client.response_started or client.disconnected:
            client.break_off()
            return
        request = self._exchange.request if self._exchange is not None else None
        resource = request.resource if request is not None else "/"
        body = error_document(error, resource=resource, request_id=record.request_id)
        headers = [XML_TYPE]
        if error.status == 405:
            headers.append((b"allow", b"GET, HEAD, PUT, POST, DELETE"))
        if error.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
        self._answering.respond(error.status, headers, body)

    def _close(self) -> None:
        """Counts and logs the request, once."""
        if self._is_closed:
            return
        self._is_closed = True
        answering = self._answering
        services, client, record = answering.services, answering.client, answering.record
        if not client.response_complete:
            client.break_off()
        record.status = record.status or CLIENT_CLOSED_REQUEST
        record.bytes_in, record.bytes_out = client.received_bytes, client.sent_bytes
        services.metrics.in_flight -= 1
        _note_end(services, record)


def _note_end(services: Services, record: AccessRecord) -> None:
    record.ended = services.clock()
    services.metrics.observe(record)
    services.access_log.write(record)


def _of_backend(error: BackendError) -> S3Error:
    code = "GatewayTimeout" if error.is_timeout else "ServiceUnavailable"
    return BackendUnavailableError(code, str(error), retry_after_seconds=RETRY_AFTER_SECONDS)


def _request_ids() -> Callable[[], str]:
    """Sixteen hexadecimal digits: unique in a process, and very likely among processes."""
    counter = secrets.randbits(63)

    def next_id() -> str:
        nonlocal counter
        counter = (counter + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return format(counter, "016X")

    return next_id
