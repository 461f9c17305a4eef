"""The hot path and the ordinary way are one: same bytes to the backend, same answer, same record.

Each case is played twice against the same scripted backend, once with shapes that never match, once
with the shape learned before. All that anybody can see must be equal; and the case says whether the
hot path takes it, so that none passes because it was never tried.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5, sha256

import pytest

from bucketroute_dataplane.core.shapes import Shapes
from bucketroute_testing.hot_plane import (
    DOMAIN,
    LONG_PREFIX,
    NOW,
    HotPlane,
    Reply,
    Request,
    Seen,
    hot_plane,
)
from bucketroute_testing.transports import settle, until

Play = Callable[[HotPlane, Request], Awaitable[None]]

BODY = b"twenty bytes of body"
LENGTH = ("Content-Length", str(len(BODY)))
GET = Request()
HEAD = Request(method="HEAD")
PUT = Request(method="PUT", headers=[LENGTH], body=BODY)
HASHED = PUT.but(payload_hash=sha256(BODY).hexdigest())
EMPTY_HASH = sha256(b"").hexdigest()
MD5 = b64encode(md5(BODY, usedforsecurity=False).digest()).decode()

STORED = Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: e\r\nVersion: 1\r\n\r\n")


def reply(status: int, *headers: str, body: bytes = b"", **how: object) -> Reply:
    framing = [f"Content-Length: {len(body)}"] if body or status != 204 else []
    lines = [f"HTTP/1.1 {status} Whatever", *framing, *headers, "", ""]
    return Reply(answer="\r\n".join(lines).encode() + body, **how)  # type: ignore[arg-type]


def xml_error(status: int, code: str) -> Reply:
    body = b"<Error><Code>%s</Code><Message>m</Message></Error>" % code.encode()
    return reply(status, "Content-Type: application/xml", "x-amz-request-id: B1", body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`learned` was served before (None: `request` itself); `replies` are the backend's now."""

    request: Request
    learned: Request | None = None
    replies: tuple[Reply, ...] = (Reply(),)
    is_hot: bool = True
    step: int = 0
    play: Play | None = None


async def play(plane: HotPlane, case: Case, *, is_hot: bool) -> Seen:
    plane.backend.replies = [STORED]
    await plane.learn(case.learned or case.request)
    if not is_hot:
        plane.services.store.shapes = Shapes(max_shapes=0)
    plane.backend.replies = list(case.replies)
    before, epoch = plane.counted(), plane.epoch
    if case.play is not None:
        await case.play(plane, case.request)
    else:
        await plane.send(case.request, step=case.step)
    plane.epoch = epoch
    assert plane.was_hot is (is_hot and case.is_hot)
    return await plane.watched(before)


async def play_both_ways(case: Case) -> Seen:
    """Both plays are equal; what was seen in them."""
    async with hot_plane() as plane:
        ordinary = await play(plane, case, is_hot=False)
        hot = await play(plane, case, is_hot=True)
    assert hot == ordinary
    return hot


# -- requests ------------------------------------------------------------------------------------


def with_headers(request: Request, *headers: tuple[str, str]) -> Request:
    return request.but(headers=[*request.headers, *headers])


NEXT_DAY = NOW + timedelta(days=1)
REQUESTS = {
    "GET": Case(request=GET),
    "GET of another key": Case(learned=GET, request=GET.but(target="/photos/c-1_2~3/d")),
    "GET of the empty hash": Case(learned=GET, request=GET.but(payload_hash=EMPTY_HASH)),
    "GET with an x-id": Case(request=GET.but(target="/photos/a?x-id=GetObject")),
    "GET by a session": Case(request=GET.but(is_session=True)),
    "GET without a prefix": Case(request=GET.but(target="/albums/a")),
    "GET of a range": Case(
        request=with_headers(GET, ("Range", "bytes=0-4")),
        replies=(reply(206, "Content-Range: bytes 0-4/9", body=b"hello"),),
    ),
    "GET with headers in no order": Case(
        request=with_headers(
            GET,
            ("X-Amz-Checksum-Mode", "ENABLED"),
            ("Range", "bytes=0-4"),
            ("If-Match", '"e"'),
            ("X-Amz-Request-Payer", "requester"),
            ("If-None-Match", '"f"'),
        )
    ),
    "GET with white space in values": Case(
        learned=with_headers(GET, ("If-Match", '"a"')),
        request=with_headers(GET, ("If-Match", '"a",   "b"  ')),
    ),
    "GET with a percent sign in a value": Case(
        request=with_headers(GET, ("If-Match", '"100%s%%"'))
    ),
    "GET with headers of no meaning": Case(
        request=GET.but(sent_headers=[("User-Agent", "sdk"), ("Cookie", "c"), ("Te", "trailers")])
    ),
    "HEAD": Case(
        request=HEAD,
        replies=(Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nETag: e\r\n\r\n"),),
    ),
    "PUT": Case(request=PUT, replies=(STORED,)),
    "PUT in pieces": Case(request=PUT, replies=(STORED,), step=3),
    "PUT of a hash": Case(request=HASHED, replies=(STORED,)),
    "PUT of a hash in pieces": Case(request=HASHED, replies=(STORED,), step=3),
    "PUT by a session": Case(request=HASHED.but(is_session=True), replies=(STORED,)),
    "PUT with all that describes it": Case(
        request=with_headers(
            PUT,
            ("X-Amz-Storage-Class", "STANDARD_IA"),
            ("Content-Type", "image/jpeg"),
            ("Content-MD5", MD5),
            ("X-Amz-Checksum-Crc32", "AAAAAA=="),
            ("Cache-Control", "no-cache,  max-age=0"),
            ("X-Amz-Sdk-Checksum-Algorithm", "CRC32"),
            ("If-None-Match", "*"),
        ),
        replies=(STORED,),
    ),
    "PUT that waits for a 100": Case(
        request=PUT.but(sent_headers=[("Expect", "100-continue")]), replies=(STORED,), step=20
    ),
    "PUT that does not wait for its 100": Case(
        request=PUT.but(sent_headers=[("Expect", "100-continue")]), replies=(STORED,)
    ),
    "a signature with white space behind it": Case(
        learned=GET, request=GET.but(padding="  "), is_hot=False
    ),
    "a connection that is to close": Case(request=GET.but(sent_headers=[("Connection", "close")])),
    "a longest key": Case(
        learned=GET.but(target="/deep/k"),
        request=GET.but(target="/deep/" + "k" * (1024 - len(LONG_PREFIX))),
    ),
    "a key of an open prefix": Case(
        learned=GET.but(target="/narrow/open"), request=GET.but(target="/narrow/free/a")
    ),
    "a key of the whole name of a prefix": Case(
        learned=GET.but(target="/narrow/open/a"), request=GET.but(target="/narrow/open")
    ),
    "an object of the greatest size": Case(
        request=Request(
            method="PUT", target="/small/k", headers=[("Content-Length", "4")], body=b"four"
        ),
        replies=(STORED,),
    ),
    "an earlier second of the day": Case(
        learned=GET, request=GET.but(at=NOW - timedelta(minutes=14, seconds=59))
    ),
}


@pytest.mark.rule("3.1.2")
@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS)
async def test_a_request_of_a_known_shape_is_the_same_both_ways(case: Case) -> None:
    seen = await play_both_ways(case)
    assert len(seen.at_backend) == 1
    assert len(seen.logged) == 1
    assert seen.logged[0]["status"] in (200, 206)
    assert seen.at_backend[0][1] == case.request.body


SMALL = Request(method="PUT", target="/small/k", headers=[("Content-Length", "4")], body=b"four")
NARROW = GET.but(target="/narrow/free/a")
# What the hot path leaves to the ordinary way, and the answer there.
LEFT = {
    "a percent-encoded key": (Case(learned=GET, request=GET.but(target="/photos/a%20b")), 200),
    "an encoded letter": (
        Case(learned=GET, request=GET.but(target="/photos/%61", signed_path="/photos/a")),
        200,
    ),
    "a plus": (
        Case(learned=GET, request=GET.but(target="/photos/a+b", signed_path="/photos/a%2Bb")),
        200,
    ),
    "dot segments": (Case(learned=GET, request=GET.but(target="/photos/a/../b")), 400),
    "a dot segment in front": (Case(learned=GET, request=GET.but(target="/photos/./b")), 400),
    "a dot segment at the end": (Case(learned=GET, request=GET.but(target="/photos/a/..")), 400),
    "a name with a dot in front": (Case(learned=GET, request=GET.but(target="/photos/.a")), 200),
    "no key": (Case(learned=HEAD, request=HEAD.but(target="/photos/")), 200),
    "two slashes in front": (Case(learned=GET, request=GET.but(target="//photos/a")), 200),
    "a key of one byte too many": (
        Case(
            learned=GET.but(target="/deep/k"),
            request=GET.but(target="/deep/" + "k" * (1025 - len(LONG_PREFIX))),
        ),
        400,
    ),
    "a sibling of a prefix": (Case(learned=NARROW, request=GET.but(target="/narrow/openly")), 403),
    "a key outside the prefixes": (Case(learned=NARROW, request=GET.but(target="/narrow/b")), 403),
    "a bucket that is not granted": (Case(learned=GET, request=GET.but(target="/closed/a")), 403),
    "an action that is not granted": (
        Case(learned=PUT, request=PUT.but(target="/readable/a")),
        403,
    ),
    "a bucket that is not there": (Case(learned=GET, request=GET.but(target="/nowhere/a")), 404),
    "a suspended route": (Case(learned=GET, request=GET.but(target="/asleep/a")), 503),
    "a limited route": (Case(request=GET.but(target="/counted/a")), 200),
    "a route with CORS rules": (
        Case(request=GET.but(target="/shared/a", sent_headers=[("Origin", "https://a.test")])),
        200,
    ),
    "virtual-hosted style": (
        Case(request=GET.but(target="/a/b.jpg", host=f"photos.{DOMAIN}")),
        200,
    ),
    "a name in the host and in the path": (
        Case(learned=GET, request=GET.but(target="/photos/a", host=f"albums.{DOMAIN}")),
        200,
    ),
    "a version": (Case(request=GET.but(target="/photos/a?versionId=v")), 200),
    "a response header of the client's choice": (
        Case(request=GET.but(target="/photos/a?response-content-type=a%2Fb")),
        200,
    ),
    "a sub-resource": (Case(learned=GET, request=GET.but(target="/photos/a?acl")), 501),
    "metadata": (Case(request=with_headers(PUT, ("X-Amz-Meta-A", "b"))), 200),
    "an ACL": (Case(request=with_headers(PUT, ("X-Amz-Acl", "private"))), 200),
    "a public ACL": (
        Case(
            learned=with_headers(PUT, ("X-Amz-Acl", "private")),
            request=with_headers(PUT, ("X-Amz-Acl", "public-read")),
        ),
        501,
    ),
    "a content encoding": (Case(request=with_headers(PUT, ("Content-Encoding", "gzip"))), 200),
    "a header twice": (
        Case(request=GET.but(sent_headers=[("X-Unknown", "1"), ("X-Unknown", "2")])),
        200,
    ),
    "a signed header once more": (
        Case(
            learned=with_headers(GET, ("Range", "bytes=0-4")),
            request=with_headers(GET, ("Range", "bytes=0-4")).but(
                sent_headers=[("Range", "bytes=5-9")]
            ),
        ),
        403,
    ),
    "an unsigned x-amz header": (
        Case(learned=GET, request=GET.but(sent_headers=[("X-Amz-Request-Payer", "requester")])),
        403,
    ),
    "a wrong signature": (Case(learned=GET, request=GET.but(signature="0" * 64)), 403),
    "a signature in capitals": (Case(learned=GET, request=GET.but(signature="A" * 64)), 403),
    "a short signature": (Case(learned=GET, request=GET.but(signature="0" * 63)), 403),
    "an old date": (
        Case(learned=GET, request=GET.but(at=NOW - timedelta(minutes=15, seconds=1))),
        403,
    ),
    "a date of the future": (
        Case(learned=GET, request=GET.but(at=NOW + timedelta(minutes=15, seconds=1))),
        403,
    ),
    "no object at all": (
        Case(request=Request(method="PUT", headers=[("Content-Length", "0")])),
        200,
    ),
    "a GET with a length": (Case(request=with_headers(GET, ("Content-Length", "0"))), 200),
    "a GET with a declared hash": (
        Case(learned=GET, request=GET.but(payload_hash=sha256(b"x").hexdigest())),
        200,
    ),
    "an object beyond the limit": (
        Case(learned=SMALL, request=SMALL.but(headers=[("Content-Length", "5")], body=b"fiver")),
        400,
    ),
    "a changed payload": (Case(learned=HASHED, request=HASHED.but(body=BODY[::-1])), 400),
    "a streaming hash without its framing": (
        Case(
            learned=PUT,
            request=PUT.but(payload_hash="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ),
        411,
    ),
}


@pytest.mark.rule("3.1.2", "3.2.21")
@pytest.mark.parametrize(("case", "status"), LEFT.values(), ids=LEFT)
async def test_what_is_in_doubt_is_left_to_the_ordinary_way(case: Case, status: int) -> None:
    seen = await play_both_ways(
        Case(request=case.request, learned=case.learned, replies=case.replies, is_hot=False)
    )
    assert seen.logged[0]["status"] == status


async def test_a_changed_payload_in_pieces_never_becomes_an_object() -> None:
    seen = await play_both_ways(Case(learned=HASHED, request=HASHED.but(body=BODY[::-1]), step=7))
    ((head, body),) = seen.at_backend
    assert b"content-length: 20\r\n" in head
    assert len(body) < len(BODY)
    assert seen.logged[0]["errorCode"] == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize("seconds", [599, 600, 601])
async def test_a_session_ends_to_the_second(seconds: int) -> None:
    async def later(plane: HotPlane, request: Request) -> None:
        plane.epoch += seconds
        await plane.send(request.but(at=NOW + timedelta(seconds=seconds)))

    is_open = seconds < 600
    seen = await play_both_ways(Case(request=GET.but(is_session=True), play=later, is_hot=is_open))
    assert seen.logged[0].get("errorCode") == (None if is_open else "ExpiredToken")


async def test_yesterdays_scope_does_not_hold_for_todays_date() -> None:
    midnight = NOW.replace(hour=23, minute=59, second=59)

    async def later(plane: HotPlane, request: Request) -> None:
        plane.epoch = midnight.timestamp() + 2
        raw = plane.raw(request.but(at=midnight))
        stamp = b"%s" % (midnight + timedelta(seconds=2)).strftime("%Y%m%dT%H%M%SZ").encode()
        plane.leg.receive(raw.replace(b"20260102T235959Z", stamp))
        await until(lambda: plane.is_answered)

    case = Case(learned=GET, request=GET, play=later, is_hot=False)
    assert (await play_both_ways(case)).logged[0]["status"] == 400


# -- the backend's answers -----------------------------------------------------------------------

ANSWERS = {
    "200": (GET, (reply(200, "ETag: e", body=b"x" * 100_000),), 200),
    "200 and nothing": (GET, (reply(200),), 200),
    "206": (GET, (reply(206, "Content-Range: bytes 0-1/2", body=b"ab"),), 206),
    "304": (GET, (Reply(answer=b"HTTP/1.1 304 Not Modified\r\nETag: e\r\n\r\n"),), 304),
    "204": (GET, (reply(204),), 204),
    "204 with a length": (
        GET,
        (Reply(answer=b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),),
        204,
    ),
    "403": (GET, (xml_error(403, "AccessDenied"),), 403),
    "404": (GET, (xml_error(404, "NoSuchKey"),), 404),
    "412": (GET, (xml_error(412, "PreconditionFailed"),), 412),
    "500": (GET, (xml_error(500, "InternalError"),), 500),
    "503": (GET, (xml_error(503, "SlowDown"),), 503),
    "a redirect": (GET, (reply(307, "Location: http://elsewhere/"),), 502),
    "404 to HEAD": (HEAD, (Reply(answer=b"HTTP/1.1 404 Not Found\r\n\r\n"),), 404),
    "200 to HEAD": (HEAD, (Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),), 200),
    "no length to HEAD": (HEAD, (Reply(answer=b"HTTP/1.1 200 OK\r\nETag: e\r\n\r\n"),), 200),
    "chunks": (
        GET,
        (
            Reply(
                answer=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        ),
        200,
    ),
    "until the connection closes": (
        GET,
        (Reply(answer=b"HTTP/1.1 200 OK\r\nETag: e\r\n\r\nabc", then="close"),),
        200,
    ),
    "headers that stop here": (
        GET,
        (
            reply(
                200,
                "Server: MinIO",
                "X-Amz-Request-Id: B1",
                "X-Amz-Request-Id: B2",
                "X-Amz-Id-2: host",
                "Via: a",
                "x-minio-a: b",
                "Connection: close",
                "Last-Modified: then",
                "x-amz-meta-a: b",
                "x-amz-meta-a: c",
                body=b"ab",
            ),
        ),
        200,
    ),
    "a customer's key": (
        GET,
        (reply(200, "x-amz-server-side-encryption-customer-key-MD5: theirs", body=b"ab"),),
        200,
    ),
    "an interim answer before it": (
        PUT,
        (Reply(answer=b"HTTP/1.1 100 Continue\r\n\r\n" + STORED.answer),),
        200,
    ),
    "403 to an upload": (PUT, (xml_error(403, "AccessDenied"),), 403),
    "too much of a body": (
        GET,
        (Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"),),
        200,
    ),
    "a dead kept-alive connection": (GET, (Reply(answer=b"", then="close"), Reply()), 200),
    "a dead one under a HEAD": (
        HEAD,
        (Reply(answer=b"", then="close"), Reply(answer=b"HTTP/1.1 200 OK\r\n\r\n")),
        200,
    ),
    "two dead ones": (GET, (Reply(answer=b"", then="close"),), 503),
    "a dead one under an upload": (PUT, (Reply(answer=b"", then="close"), STORED), 503),
    "half a head": (GET, (Reply(answer=b"HTTP/1.1 200 OK\r\nConte", then="close"),), 503),
    "no HTTP": (GET, (Reply(answer=b"220 smtp ready\r\n"),), 503),
    "a head and no more": (
        GET,
        (Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then="close"),),
        503,
    ),
    "half a body": (
        GET,
        (Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", then="close"),),
        200,
    ),
    "half a body, then a reset": (
        GET,
        (Reply(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", then="reset"),),
        200,
    ),
}


@pytest.mark.parametrize(("request_", "replies", "status"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_the_same_both_ways(
    request_: Request, replies: tuple[Reply, ...], status: int
) -> None:
    seen = await play_both_ways(Case(request=request_, replies=replies))
    assert seen.logged[0]["status"] == status


@pytest.mark.parametrize("upload", [PUT, HASHED], ids=["unsigned", "hashed"])
@pytest.mark.parametrize(
    "early", [xml_error(403, "AccessDenied"), STORED, Reply(answer=b"")], ids=["403", "200", "none"]
)
async def test_an_early_answer_to_an_upload_is_the_same_both_ways(
    upload: Request, early: Reply
) -> None:
    async def half(plane: HotPlane, request: Request) -> None:
        plane.leg.receive(plane.raw(request) + request.body[:7])
        await until(lambda: plane.is_answered)

    replied = Reply(answer=early.answer, on_head=True, then="close")
    seen = await play_both_ways(Case(request=upload, replies=(replied,), play=half))
    assert not seen.is_kept


# -- the client leaves ---------------------------------------------------------------------------


async def leave_before_the_head(plane: HotPlane, request: Request) -> None:
    plane.leg.receive(plane.raw(request) + request.body)
    await until(lambda: plane.backend.exchanges)
    await leave(plane)


async def leave_in_the_upload(plane: HotPlane, request: Request) -> None:
    plane.leg.receive(plane.raw(request))
    await until(lambda: plane.backend.exchanges)
    plane.leg.receive(request.body[:7])
    await settle()
    await leave(plane)


async def leave_in_the_download(plane: HotPlane, request: Request) -> None:
    plane.leg.receive(plane.raw(request))
    await until(lambda: plane.leg.sent.endswith(b"half"))
    await leave(plane)


async def leave(plane: HotPlane) -> None:
    plane.leg.transport.abort()
    await until(lambda: plane.records())
    await until(lambda: all(writer.is_closing() for writer in plane.backend.writers))


SILENT = Reply(answer=b"", then="hang")
HALF = Reply(
    answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nx-amz-request-id: B\r\n\r\nhalf", then="hang"
)
LEAVING = {
    "before the head": (GET, SILENT, leave_before_the_head, 499),
    "after an upload": (PUT, SILENT, leave_before_the_head, 499),
    "in an upload": (PUT, SILENT, leave_in_the_upload, 499),
    "in a hashed upload": (HASHED, SILENT, leave_in_the_upload, 499),
    "in a download": (GET, HALF, leave_in_the_download, 200),
}


@pytest.mark.parametrize(("request_", "silent", "play", "status"), LEAVING.values(), ids=LEAVING)
async def test_a_client_that_leaves_is_noticed_the_same_both_ways(
    request_: Request, silent: Reply, play: Play, status: int
) -> None:
    seen = await play_both_ways(Case(request=request_, replies=(silent,), play=play))
    assert seen.logged[0]["errorCode"] == "ClientGone"
    assert seen.logged[0]["status"] == status


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "code"), [(SILENT, "GatewayTimeout"), (HALF, "GatewayTimeout")], ids=["head", "body"]
)
async def test_a_silent_backend_is_given_up_the_same_both_ways(silent: Reply, code: str) -> None:
    async def overdue(plane: HotPlane, request: Request) -> None:
        plane.leg.receive(plane.raw(request))
        await until(lambda: plane.backend.exchanges)
        await until(lambda: not silent.answer or plane.leg.sent)
        plane.services.watchdog.sweep(float("inf"))
        await until(lambda: plane.is_answered)

    seen = await play_both_ways(Case(request=GET, replies=(silent,), play=overdue))
    assert seen.logged[0]["errorCode"] == code


@pytest.mark.parametrize("request_", [GET, PUT], ids=["GET", "PUT"])
async def test_a_process_that_is_leaving_says_so_both_ways(request_: Request) -> None:
    async def leaving(plane: HotPlane, request: Request) -> None:
        plane.front.is_leaving = True
        await plane.send(request)
        plane.front.is_leaving = False

    seen = await play_both_ways(Case(request=request_, play=leaving))
    assert not seen.is_kept
    assert seen.at_client is not None
    assert b"connection: close" in seen.at_client[1]


async def test_two_requests_on_one_connection_are_answered_in_their_order() -> None:
    async def pipelined(plane: HotPlane, request: Request) -> None:
        second = request.but(target="/photos/second")
        plane.leg.receive(plane.raw(request) + plane.raw(second))
        await until(lambda: plane.is_answered)
        await until(lambda: len(plane.records()) == 2)

    seen = await play_both_ways(Case(request=GET, play=pipelined))
    assert [record["key"] for record in seen.logged] == ["a/b.jpg", "second"]
