"""A backend that answers whatever hurts: nothing of it is reflected, and no secret gets into a log.

Behind the name of a backend there may be an internal service that speaks no S3. What it says in a
refusal, a redirect or in place of a document reaches neither the client nor the log; and an STS
that sends the token back finds it masked.
"""

import urllib.parse
from collections.abc import Iterator
from contextlib import closing

import pytest

from bucketroute_testing.gateway import (
    BUCKET,
    Gateway,
    StartGateway,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, Headers, MiB, RecordedRequest

INNER = "kept-in-the-vault-93b1c0"
# Headers that S3 does not know pass with every answer (rule 3.6.1); those that name hosts do not.
BODY = f'{{"AccessKeyId": "{INNER}", "Token": "{INNER}"}}'.encode()
HEADERS: Headers = (
    ("Content-Type", "application/json"),
    ("Set-Cookie", f"session={INNER}"),
    ("WWW-Authenticate", f'Basic realm="{INNER}"'),
    ("Location", f"http://169.254.169.254/{INNER}"),
    ("Server", INNER),
    ("Via", INNER),
)
ANSWERS = {
    **{
        f"status {status}": Answer(status=status, headers=HEADERS, body=BODY)
        for status in (301, 307, 400, 401, 403, 404, 418, 500, 503)
    },
    "a large refusal": Answer(status=500, headers=HEADERS, body=INNER.encode() * (MiB // 16)),
    "a refusal without an end": Answer(
        status=502, headers=HEADERS, body=BODY, length_promised=MiB, close=True
    ),
    "no HTTP": Answer(raw=f"220 {INNER} ESMTP\r\n{INNER}\r\n".encode()),
    "a reason phrase": Answer(raw=f"HTTP/1.1 404 {INNER}\r\nContent-Length: 0\r\n\r\n".encode()),
    "a wrong length": Answer(
        raw=f"HTTP/1.1 200 OK\r\nContent-Length: {INNER}\r\n\r\n{INNER}".encode()
    ),
}
TARGETS = {"an object": "/k", "a listing": "?list-type=2", "tags": "/k?tagging="}


@pytest.fixture(scope="module")
def gateway(
    shared_wire: WireBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with running_gateway(
        tmp_path_factory.mktemp("hostile"), recording_backend(shared_wire)
    ) as running:
        yield running


@pytest.fixture
def hostile(shared_wire: WireBackend) -> Iterator[WireBackend]:
    yield shared_wire
    shared_wire.clear_scripts()


def ask(gateway: Gateway, target: str) -> bytes:
    """The whole answer, head and body."""
    signed = gateway.signer.sign("GET", f"{gateway.endpoint}/{BUCKET}{target}")
    with gateway.raw() as raw:
        raw.send_head("GET", f"/{BUCKET}{target}", signed.headers)
        answer = raw.read_response()
    assert answer.status >= 400
    return repr(answer.headers).encode() + answer.body


@pytest.mark.rule("3.6.6")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_nothing_that_a_backend_says_in_place_of_s3_is_reflected(
    answer: Answer, target: str, hostile: WireBackend, gateway: Gateway
) -> None:
    hostile.script("GET", "*", answer)
    assert INNER.encode() not in ask(gateway, target)
    await_lines(gateway, 1)
    assert INNER not in gateway.process.log_text()


@pytest.mark.rule("3.6.6", "3.8.8")
@pytest.mark.parametrize("target", ["?list-type=2", "/k?tagging="])
def test_a_success_that_is_no_document_of_s3_is_not_reflected(
    target: str, hostile: WireBackend, gateway: Gateway
) -> None:
    hostile.script("GET", "*", Answer(headers=HEADERS, body=BODY))
    assert INNER.encode() not in ask(gateway, target)
    assert INNER not in gateway.process.log_text()


def test_a_request_id_that_is_none_fills_no_log(hostile: WireBackend, gateway: Gateway) -> None:
    hostile.script("GET", "*", Answer(status=404, headers=(("x-amz-request-id", "r" * 9000),)))
    ask(gateway, "/k")
    wait_until(
        lambda: '"backendRequestId":"rrr' in gateway.process.log_text(),
        deadline_seconds=10,
        what="the access log",
    )
    assert f'"backendRequestId":"{"r" * 128}"' in gateway.process.log_text()


def await_lines(gateway: Gateway, count: int) -> None:
    """The access log is written a moment after the answer."""
    wait_until(
        lambda: gateway.process.log_text().count('"requestId"') >= count,
        deadline_seconds=10,
        what="the access log",
    )


def test_an_sts_that_sends_the_token_back_finds_it_masked(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    def reflecting(request: RecordedRequest) -> Answer:
        form = urllib.parse.parse_qs(request.body.decode())
        (token,) = form["WebIdentityToken"]
        body = (
            f"<ErrorResponse><Error><Code>{token}</Code><Message>got {token} and {INNER}</Message>"
            "</Error></ErrorResponse>"
        )
        return Answer(status=400, headers=(("Content-Type", "text/xml"),), body=body.encode())

    wire.script("POST", "/", reflecting)
    gateway = start_gateway(recording_backend(wire))
    answer = ask(gateway, "/k")
    await_lines(gateway, 1)
    log = gateway.process.log_text()
    assert "sts_exchange_failed" in log
    signature = gateway.backend.token.rpartition(".")[2]
    for text in (answer.decode(), log):
        assert signature not in text
    # What STS said is for the log, where the admin looks for it, and not for the client.
    assert INNER.encode() not in answer


def test_no_credential_is_in_the_log(wire: WireBackend, start_gateway: StartGateway) -> None:
    """Of callers: keys, signatures, presigned URLs. Of backends: the token and what STS gave."""
    gateway = start_gateway(recording_backend(wire))
    with closing(gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key="k", Body=b"body")
        url = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "k"})
    presigned = urllib.parse.urlsplit(url)
    with gateway.raw() as raw:
        raw.send_head("GET", f"{presigned.path}?{presigned.query}", (("Host", presigned.netloc),))
        assert raw.read_response().status == 200
    wrong = gateway.signer.sign("GET", f"{gateway.endpoint}/{BUCKET}/other")
    with gateway.raw() as raw:
        raw.send_head("GET", f"/{BUCKET}/k", wrong.headers)
        assert raw.read_response().status == 403
    await_lines(gateway, 3)
    log = gateway.process.log_text()
    query = dict(urllib.parse.parse_qsl(presigned.query))
    authorization = dict(wrong.headers)["Authorization"]
    (sent,) = wire.requests("PUT")
    outbound = sent.head.header("authorization") or ""
    for secret in (
        gateway.key.secret_access_key,
        gateway.backend.token.rpartition(".")[2],
        query["Signature"] if "Signature" in query else query["X-Amz-Signature"],
        authorization.rpartition("Signature=")[2],
        outbound.rpartition("Signature=")[2],
        sent.head.header("x-amz-security-token") or "no session token was sent",
    ):
        assert len(secret) >= 16
        assert secret not in log
