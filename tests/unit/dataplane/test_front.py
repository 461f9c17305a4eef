"""The top of the data path without a socket: every request gets an answer and a record."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.server import dataplane
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import (
    AnonymousSubject,
    ClassSettings,
    Secret,
    Snapshot,
    SnapshotSecrets,
)
from bucketroute_testing.front import ask
from bucketroute_testing.heads import route, rule

PUBLIC = route("public", rule("GetObject", prefixes=["open/"], subjects=[AnonymousSubject()]))
SECRETS = SnapshotSecrets(sealing_keys=(Secret(b64encode(b"k" * 32).decode()),))


@pytest_asyncio.fixture
async def services() -> AsyncIterator[Services]:
    async with dataplane(DataplaneSettings(), SnapshotStore()) as running:
        settings = ClassSettings(name="default", region="eu-west-1")
        await running.store.swap(Snapshot(settings=settings, routes=(PUBLIC,)), SECRETS)
        yield running


@pytest.mark.rule("3.1.7", "3.13.1")
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/public/closed", 403),
        ("GET", "/nowhere/a", 404),
        ("GET", "/public/a/../b", 400),
        ("PUT", "/public/a?retention", 501),
        ("GET", "*", 400),
        ("PATCH", "/public/a", 405),
    ],
)
async def test_every_answer_has_one_request_id_in_header_document_and_record(
    services: Services, method: str, target: str, status: int
) -> None:
    answer = await ask(services, method, target)
    assert answer.status == status
    request_id = answer.headers["x-amz-request-id"]
    assert re.fullmatch("[0-9A-F]{16}", request_id)
    document = xml.parse(answer.body)
    assert document.findtext("RequestId") == answer.record["requestId"] == request_id
    assert document.findtext("Message")
    assert answer.record["errorCode"] == answer.code


async def test_request_ids_differ(services: Services) -> None:
    first, second = [await ask(services, "GET", "/nowhere/a") for _ in range(2)]
    assert first.headers["x-amz-request-id"] != second.headers["x-amz-request-id"]


@pytest.mark.rule("3.1.5", "3.1.6")
async def test_the_record_of_a_refused_request_says_what_was_known(services: Services) -> None:
    answer = await ask(services, "GET", "/public/closed/a%20b")
    known = {
        "operation": "GetObject",
        "bucket": "public",
        "key": "closed/a b",
        "route": "team-a/public",
        "caller": "anonymous",
        "status": 403,
        "errorCode": "AccessDenied",
        "bytesIn": 0,
        "bytesOut": len(answer.body),
        "client": "",
    }
    assert {name: answer.record[name] for name in known} == known


@pytest.mark.rule("3.1.6")
async def test_a_route_that_was_not_found_leaves_the_bucket_that_was_asked_for(
    services: Services,
) -> None:
    record = (await ask(services, "GET", "/nowhere/a")).record
    assert (record["bucket"], record["route"], record["caller"]) == ("nowhere", "-", "anonymous")


@pytest.mark.rule("3.1.8")
async def test_server_timing_tells_how_long_it_took(services: Services) -> None:
    timing = (await ask(services, "GET", "/nowhere/a")).headers["server-timing"]
    assert re.fullmatch(r"total;dur=\d+\.\d", timing)


@pytest.mark.rule("3.1.10")
@pytest.mark.parametrize("target", ["/public/a", "/nowhere/a", "/public/a?acl", "*"])
async def test_a_query_is_never_logged(
    services: Services, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    separator = "&" if "?" in target else "?"
    secret = "X-Amz-Signature=5EC2E7&X-Amz-Security-Token=5EC2E7&prefix=5EC2E7"
    answer = await ask(services, "GET", f"{target}{separator}{secret}")
    assert answer.status >= 400
    assert "5EC2E7" not in json.dumps(answer.record) + caplog.text
    assert b"5EC2E7" not in answer.connection.sent


@pytest.mark.rule("3.1.1")
async def test_a_login_is_no_s3_request(services: Services) -> None:
    form = (b"content-type", b"application/x-www-form-urlencoded")
    body = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
    length = (b"content-length", b"%d" % len(body))
    login = await ask(services, "POST", "/", form, length, body=body)
    assert xml.parse(login.body).tag == "ErrorResponse"
    assert (await ask(services, "POST", "/")).code == "NotImplemented"


SIGNED: Header = (
    b"authorization",
    b"AWS4-HMAC-SHA256 Credential=AKIDUNKNOWN/20260102/us-east-1/s3/aws4_request, "
    b"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + b"0" * 64,
)
SIGNED_WITH: tuple[Header, ...] = (
    SIGNED,
    (b"host", b"gateway"),
    (b"x-amz-date", b"20260102T000000Z"),
    (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD"),
)
ORDER = [
    ("an operation, then the caller", "PUT", "/public/a?retention", SIGNED_WITH, "NotImplemented"),
    ("the caller, then the bucket", "GET", "/nowhere/a", SIGNED_WITH, "InvalidAccessKeyId"),
    ("the bucket, then the rules", "GET", "/nowhere/a", (), "NoSuchBucket"),
    ("the rules, then the body", "PUT", "/public/a", ((b"content-length", b"-1"),), "AccessDenied"),
]


@pytest.mark.rule("3.1.2")
@pytest.mark.parametrize(
    ("method", "target", "headers", "code"), [row[1:] for row in ORDER], ids=[r[0] for r in ORDER]
)
async def test_what_is_wrong_first_is_what_is_told(
    services: Services, method: str, target: str, headers: tuple[Header, ...], code: str
) -> None:
    assert (await ask(services, method, target, *headers)).code == code


@pytest.mark.rule("3.2.4", "3.1.2")
async def test_a_denied_upload_is_answered_before_its_body_comes(services: Services) -> None:
    answer = await ask(services, "PUT", "/public/a", (b"content-length", b"9"), body=None)
    assert answer.code == "AccessDenied"


@pytest.mark.rule("3.13.2")
async def test_an_answer_beside_an_unread_body_ends_the_connection(services: Services) -> None:
    answer = await ask(services, "PUT", "/public/a", (b"content-length", b"9"), body=None)
    assert answer.headers["connection"] == "close"
    assert answer.connection.completed == 0
    read = await ask(services, "PUT", "/public/a", (b"content-length", b"1"), body=b"x")
    assert "connection" not in read.headers
    assert read.connection.completed == 1


@pytest.mark.rule("3.13.2")
async def test_an_error_to_head_has_no_body(services: Services) -> None:
    answer = await ask(services, "HEAD", "/nowhere/a")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers.keys().isdisjoint({"content-length", "transfer-encoding"})


@pytest.mark.rule("3.3.9")
async def test_a_method_that_is_not_allowed_is_told_those_that_are(services: Services) -> None:
    answer = await ask(services, "PATCH", "/public/a")
    assert answer.headers["allow"] == "GET, HEAD, PUT, POST, DELETE"


async def test_before_the_first_snapshot_every_request_is_503() -> None:
    async with dataplane(DataplaneSettings(), SnapshotStore()) as running:
        answer = await ask(running, "GET", "/public/open/a")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")


@pytest.mark.rule("3.13.1")
async def test_a_bug_is_a_generic_internal_error_and_is_logged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services.trust = None  # type: ignore[assignment]  # whatever is broken inside
    answer = await ask(services, "GET", "/public/open/a", *SIGNED_WITH)
    assert (answer.status, answer.code) == (500, "InternalError")
    assert xml.parse(answer.body).findtext("Message") == "Internal server error"
    assert answer.record["requestId"] in caplog.text
