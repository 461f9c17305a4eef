"""How a client is answered: passed on, rewritten, or made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.cors import preflight_headers, response_cors_headers
from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.headers import response_headers
from bucketroute_dataplane.core.identity import ANONYMOUS, Identity
from bucketroute_dataplane.core.listing import empty_list_result, rewrite_list_result
from bucketroute_dataplane.core.local import local_answer
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.operations import Answer, Level
from bucketroute_dataplane.core.request import S3Request, bucket_of
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_dataplane.core.results import backend_error, rewrite_result
from bucketroute_dataplane.core.xml import document as xml_document
from bucketroute_dataplane.core.xml import error_document
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.client import ClientStream
from bucketroute_dataplane.shell.relay import Relay, ResponseHead
from bucketroute_dataplane.shell.services import Services

# A list page of 1,000 keys of 1 KiB, percent-encoded, with owners and checksums.
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
# Of S3's own, which are shorter, all of it; of what a hostile backend sends, no page of the log.
MAX_REQUEST_ID_BYTES = 128

XML_TYPE: Header = (b"content-type", b"application/xml")
DECLARATION = xml_document("r", "").partition(b"<r")[0]
# Whose backend may take minutes, and says so with white space.
_SLOW = frozenset(("CompleteMultipartUpload", "CopyObject", "UploadPartCopy"))
# Replaced with the document that they describe.
_OF_BODY = frozenset((b"content-length", b"content-type", b"content-md5", b"etag"))


@dataclass(slots=True)
class Answering:
    """What every kind of answer needs. `entry` is the route, once it is known."""

    services: Services
    client: ClientStream
    record: AccessRecord
    entry: RouteEntry | None = None

    def own_headers(self) -> list[Header]:
        """The headers that every response carries."""
        headers = common_headers(self.services, self.record)
        if self.entry is not None and self.entry.route.cors:
            headers += response_cors_headers(self.entry.route.cors, self.client.head)
        return headers

    def respond(self, status: int, headers: Sequence[Header], body: bytes = b"") -> None:
        self.record.status = status
        self.client.respond(status, [*self.own_headers(), *headers], body)


def common_headers(services: Services, record: AccessRecord) -> list[Header]:
    """What every response says, whatever it answers. SDKs correct their clock by the Date."""
    return [
        (b"server", b"BucketRoute"),
        (b"date", services.http_date()),
        (b"x-amz-request-id", record.request_id.encode()),
        (b"server-timing", record.server_timing(services.clock())),
    ]


def answer_locally(
    answering: Answering, request: S3Request, index: RouteIndex, identity: Identity
) -> None:
    """From the snapshot alone. Raises: S3Error."""
    answer = local_answer(request, index, identity, answering.services.ring)
    answering.respond(answer.status, answer.headers, answer.body)


def answer_preflight(answering: Answering, index: RouteIndex) -> None:
    """OPTIONS, which a browser sends without credentials. Raises: S3Error AccessDenied."""
    head = answering.client.head
    entry = index.lookup(bucket_of(head, index.domains), ANONYMOUS)
    headers = preflight_headers(entry.route.cors, head) if entry is not None else None
    if headers is None:
        raise s3_error("AccessDenied", "CORSResponse: This CORS request is not allowed.")
    answering.respond(200, headers)


def answer_empty_list(answering: Answering, plan: ForwardPlan) -> None:
    """A list page that the client wants to be empty; the backend need not be asked."""
    request = plan.request
    body = empty_list_result(request.operation.name, request.query, plan.target.names)
    answering.respond(200, [XML_TYPE], body)


async def answer_forwarded(
    answering: Answering, plan: ForwardPlan, relay: Relay, head: ResponseHead
) -> None:
    """The backend's answer in the client's terms. Raises: BackendError, ClientGoneError."""
    note_backend_request(answering.record, head.headers)
    if not relay.is_upload_complete:
        # An early answer: the rest of the upload is not wanted any more.
        answering.client.stop_body()
    if is_passed_on(plan, head):
        await _pass_on(answering, plan, relay, head)
    elif head.status >= 300:
        await _answer_error(answering, plan, relay, head)
    else:
        await _answer_document(answering, plan, relay, head)


async def _pass_on(
    answering: Answering, plan: ForwardPlan, relay: Relay, head: ResponseHead
) -> None:
    start_passing_on(answering, plan, head)
    await relay.pass_on()
    answering.client.finish()


def is_passed_on(plan: ForwardPlan, head: ResponseHead) -> bool:
    """Whether the body, if there is one, reaches the client as it comes from the backend."""
    if head.status >= 300 and head.status != 304:
        # The body of an error is rewritten; of a redirect, which is never followed, all of it is.
        return plan.request.head.method == b"HEAD" and head.status >= 400
    return plan.request.operation.answer is Answer.STREAM or head.status == 304


def start_passing_on(answering: Answering, plan: ForwardPlan, head: ResponseHead) -> None:
    """Begins the client's response to a backend's."""
    client = answering.client
    answering.record.status = head.status
    is_bodiless = plan.request.head.method == b"HEAD" or head.status in (204, 304)
    headers = [*answering.own_headers(), *response_headers(head.headers, client.head)]
    if not is_bodiless or head.status == 204:
        # Framing is the client leg's own: `start` says the length once more, or chunks. A 204 has
        # none (RFC 9110 §8.6).
        headers = [header for header in headers if header[0] != b"content-length"]
    client.start(
        head.status, headers, length=None if is_bodiless else head.length, is_bodiless=is_bodiless
    )


async def _answer_error(
    answering: Answering, plan: ForwardPlan, relay: Relay, head: ResponseHead
) -> None:
    body = await relay.collect(MAX_ERROR_BYTES)
    request, record = plan.request, answering.record
    error = backend_error(
        head.status, body, plan.target.names, is_object=request.operation.level is Level.OBJECT
    )
    record.error_code, record.detail = error.code, error.detail
    answering.respond(
        error.status,
        [*_kept_headers(answering, head), XML_TYPE],
        error_document(error, resource=request.resource, request_id=record.request_id),
    )


async def _answer_document(
    answering: Answering, plan: ForwardPlan, relay: Relay, head: ResponseHead
) -> None:
    request, names = plan.request, plan.target.names
    name = request.operation.name
    waiting = WaitingAnswer(answering, head) if name in _SLOW else None
    body = await relay.collect(
        MAX_DOCUMENT_BYTES, on_progress=waiting.on_progress if waiting is not None else None
    )
    if request.operation.answer is Answer.LIST:
        body = rewrite_list_result(
            name, body, request.query, names, answering.services.sealer(plan)
        )
    else:
        body = rewrite_result(request, body, names, request_id=answering.record.request_id)
    if waiting is not None and waiting.has_started:
        waiting.finish(body)
        return
    headers = _kept_headers(answering, head)
    answering.respond(head.status, [*headers, XML_TYPE] if body else headers, body)


class WaitingAnswer:
    """Lets the client know that a Complete or a copy, which may take minutes, is still running.

    A backend answers 200 before it is done and then sends white space; the client gets the same,
    or its read timeout ends what the backend is about to finish. The XML declaration goes first:
    nothing may stand before it (XML 1.0 §2.8).
    Source: AWS "CompleteMultipartUpload".
    """

    def __init__(self, answering: Answering, head: ResponseHead) -> None:
        self._answering = answering
        self._head = head
        self.has_started = False

    def on_progress(self, begun: bytes) -> None:
        """`begun` is what the backend has sent of its document by now."""
        if _has_root(begun):
            return
        client = self._answering.client
        if self.has_started:
            client.write(b" ")
            return
        self.has_started = True
        self._answering.record.status = self._head.status
        headers = [*self._answering.own_headers(), *_kept_headers(self._answering, self._head)]
        client.start(self._head.status, [*headers, XML_TYPE], length=None)
        client.write(DECLARATION)

    def finish(self, body: bytes) -> None:
        """`body` is the whole document."""
        client = self._answering.client
        client.write(body.removeprefix(DECLARATION))
        client.finish()


def _has_root(document: bytes) -> bool:
    """Whether more has come than white space and the XML declaration."""
    text = document.strip()
    return bool(text) and not (text.startswith(b"<?xml") and text.endswith(b"?>"))


def _kept_headers(answering: Answering, head: ResponseHead) -> list[Header]:
    return [
        header
        for header in response_headers(head.headers, answering.client.head)
        if header[0] not in _OF_BODY
    ]


def note_backend_request(record: AccessRecord, headers: Sequence[Header]) -> None:
    for name, value in headers:
        if name == b"x-amz-request-id":
            record.backend_request_id = value[:MAX_REQUEST_ID_BYTES].decode("latin-1")
            return
