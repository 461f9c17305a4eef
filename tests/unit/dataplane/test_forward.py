"""From a plan to the request that a backend gets: target, headers, length, signature."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.authorize import CopySourcePlan, ForwardPlan, authorize
from bucketroute_dataplane.core.backend_credentials import UNSIGNED, Credentials
from bucketroute_dataplane.core.body import incoming_body, plan_stream
from bucketroute_dataplane.core.forward import (
    Outgoing,
    compose_bodiless,
    compose_buffered,
    compose_stream,
    copy_source_value,
    sign,
)
from bucketroute_dataplane.core.messages import Header, UpstreamRequest
from bucketroute_dataplane.core.names import encode_key
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    SigningKeys,
    parse_amz_date,
    parse_authorization,
    verify,
)
from bucketroute_snapshot import BackendProfile, Secret
from bucketroute_testing.heads import CALLER, backend, plan_for, route_entry, s3_request

AMZ_DATE = b"20260102T030405Z"
LENGTH: Header = (b"content-length", b"1100")
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1).filter(
    lambda key: not {".", ".."} & set(key.split("/")) and len(key.encode()) <= 900
)


def credentials(session_token: str | None = None) -> Credentials:
    return Credentials(
        access_key_id="BACKENDKEY",
        secret_access_key=Secret("backend-secret"),
        session_token=None if session_token is None else Secret(session_token),
        expires_at=None,
    )


def plan(method: str, target: str, *headers: Header, **fields: Any) -> ForwardPlan:
    return plan_for(s3_request(method, target, *headers), **fields)


def streamed(
    target: str, payload_hash: bytes, *headers: Header, profile: BackendProfile
) -> Outgoing:
    made = plan("PUT", target, *headers, profile=profile)
    head = made.request.head
    return compose_stream(made, plan_stream(incoming_body(head, payload_hash), head, profile))


def signed(made: ForwardPlan, outgoing: Outgoing, token: str | None = None) -> UpstreamRequest:
    return sign(
        made.target,
        outgoing,
        credentials=credentials(token),
        amz_date=AMZ_DATE,
        keys=SigningKeys(),
    )


TARGETS = [
    ("GET", "/photos/a%20b", b"/acme-backend/tenants/one/a%20b"),
    ("GET", "/photos/a//b/", b"/acme-backend/tenants/one/a//b/"),
    ("HEAD", "/photos/%C3%A9", b"/acme-backend/tenants/one/%C3%A9"),
    ("GET", "/photos/100%2525", b"/acme-backend/tenants/one/100%2525"),
    ("GET", "/photos/a?versionId=x%26y", b"/acme-backend/tenants/one/a?versionId=x%26y"),
    ("GET", "/photos/a?versionId=", b"/acme-backend/tenants/one/a"),
    ("DELETE", "/photos/a?versionId=", b"/acme-backend/tenants/one/a"),
    ("GET", "/photos/a?tagging=x", b"/acme-backend/tenants/one/a?tagging="),
    ("GET", "/photos/a?x-id=GetObject&unknown=1", b"/acme-backend/tenants/one/a"),
    (
        "GET",
        "/photos/a?X-Amz-Signature=s&partNumber=2",
        b"/acme-backend/tenants/one/a?partNumber=2",
    ),
    ("DELETE", "/photos/a?uploadId=u%26x", b"/acme-backend/tenants/one/a?uploadId=u%26x"),
]


@pytest.mark.rule("3.4.2", "3.4.3", "3.4.4", "3.4.8", "3.5.1")
@pytest.mark.parametrize(
    ("method", "target", "sent"), TARGETS, ids=[f"{t[0]}{t[1]}" for t in TARGETS]
)
def test_the_target_is_the_backends_name_of_the_key_and_its_own_parameters(
    method: str, target: str, sent: bytes
) -> None:
    made = plan(method, target)
    assert signed(made, compose_bodiless(made)).target == sent


@pytest.mark.rule("3.4.8")
def test_an_upload_id_can_inject_no_parameter() -> None:
    made = plan("PUT", "/photos/a?partNumber=7&uploadId=u%26acl%3D1")
    assert compose_bodiless(made).query == b"partNumber=7&uploadId=u%26acl%3D1"


@pytest.mark.rule("3.2.18")
def test_a_part_keeps_its_number_and_its_upload() -> None:
    target = "/photos/a?uploadId=u&partNumber=7"
    outgoing = streamed(target, UNSIGNED_PAYLOAD, LENGTH, profile=BackendProfile.AWS)
    assert outgoing.query == b"partNumber=7&uploadId=u"


@pytest.mark.rule("3.2.9", "3.2.15", "3.2.16")
def test_a_plain_upload_goes_out_unsigned_payload_with_its_length() -> None:
    for payload_hash in (UNSIGNED_PAYLOAD, b"a" * 64):
        outgoing = streamed("/photos/a", payload_hash, LENGTH, profile=BackendProfile.AWS)
        assert (outgoing.payload_hash, outgoing.content_length) == (UNSIGNED_PAYLOAD, 1100)
        head = signed(plan("PUT", "/photos/a"), outgoing).head()
        assert b"\r\ncontent-length: 1100\r\n" in head
        assert b"transfer-encoding" not in head
        assert (
            b"content-length" not in head[head.index(b"SignedHeaders") : head.index(b"Signature=")]
        )


SDK_ALGORITHM: Header = (b"x-amz-sdk-checksum-algorithm", b"CRC32")
FRAMED = (
    LENGTH,
    (b"x-amz-decoded-content-length", b"1000"),
    (b"x-amz-trailer", b"x-amz-checksum-crc32"),
    (b"content-encoding", b"aws-chunked,gzip"),
    SDK_ALGORITHM,
)


@pytest.mark.rule("3.2.11", "3.2.12", "3.5.9")
def test_a_framed_upload_announces_its_framing_to_a_backend_that_takes_it() -> None:
    sent = streamed("/photos/a", STREAMING_UNSIGNED_TRAILER, *FRAMED, profile=BackendProfile.AWS)
    assert sent.payload_hash == STREAMING_UNSIGNED_TRAILER
    assert sorted(sent.headers) == [
        (b"content-encoding", b"aws-chunked,gzip"),
        (b"x-amz-decoded-content-length", b"1000"),
        SDK_ALGORITHM,
        (b"x-amz-trailer", b"x-amz-checksum-crc32"),
    ]


@pytest.mark.rule("3.5.9")
def test_a_decoded_upload_says_nothing_of_framing_or_a_checksum_that_is_gone() -> None:
    sent = streamed("/photos/a", STREAMING_UNSIGNED_TRAILER, *FRAMED, profile=BackendProfile.CEPH)
    assert list(sent.headers) == [(b"content-encoding", b"gzip")]


def test_a_checksum_header_keeps_the_name_of_its_algorithm() -> None:
    headers = [LENGTH, SDK_ALGORITHM, (b"x-amz-checksum-crc32", b"AAAAAA==")]
    sent = streamed("/photos/a", UNSIGNED_PAYLOAD, *headers, profile=BackendProfile.CEPH)
    assert list(sent.headers) == headers[1:]


@pytest.mark.rule("3.5.6", "3.8.7")
@pytest.mark.parametrize("body", [b"", b"<a/>"])
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/photos/a?uploads"),
        ("POST", "/photos/a?uploadId=u"),
        ("PUT", "/photos/a?tagging"),
    ],
)
def test_a_buffered_body_is_signed_with_its_own_hash(method: str, target: str, body: bytes) -> None:
    outgoing = compose_buffered(plan(method, target), body)
    assert outgoing.content_length == len(body)
    assert (outgoing.payload_hash == EMPTY_SHA256) is (not body)
    assert len(outgoing.payload_hash) == 64


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("HEAD", None), ("DELETE", None)])
def test_a_method_without_a_body_says_no_length(method: str, length: None) -> None:
    outgoing = compose_bodiless(plan(method, "/photos/a"))
    assert (outgoing.content_length, outgoing.payload_hash) == (length, EMPTY_SHA256)
    assert compose_buffered(plan("DELETE", "/photos/a?uploadId=u"), b"").content_length is None


RETRIES = [("GET", "/photos/a", True), ("HEAD", "/photos/a", True), ("DELETE", "/photos/a", False)]


@pytest.mark.parametrize(("method", "target", "is_retryable"), RETRIES)
def test_only_reads_are_sent_twice(method: str, target: str, is_retryable: bool) -> None:
    assert compose_bodiless(plan(method, target)).is_retryable is is_retryable


@pytest.mark.rule("3.9.6", "3.9.7", "3.9.9")
def test_a_copy_names_its_source_as_the_backend_knows_it() -> None:
    entry = route_entry(backend=backend(bucket="src", prefix="p/"))
    assert entry.target is not None
    source = CopySourcePlan(entry.target, "é a?b".encode(), b"v/1&2")
    named = b"/src/p/%C3%A9%20a%3Fb?versionId=v%2F1%262"
    assert copy_source_value(source) == named
    request = s3_request("PUT", "/photos/b", (b"x-amz-copy-source", b"photos/a"))
    made = authorize(request, route_entry(), CALLER, copy_source=source)
    outgoing = compose_bodiless(made)
    assert list(outgoing.headers) == [(b"x-amz-copy-source", named)]
    assert (outgoing.content_length, outgoing.payload_hash) == (0, EMPTY_SHA256)


@pytest.mark.rule("3.4.1", "3.4.3")
@given(KEYS)
def test_what_is_signed_is_what_is_sent(key: str) -> None:
    """The backend verifies with the same rules by which this proxy verifies its clients."""
    made = plan("GET", f"/photos/{encode_key(key.encode()).decode()}?versionId=3")
    sent = signed(made, compose_bodiless(made), "a-token")
    path, _, query = sent.target.partition(b"?")
    headers = [(b"host", sent.host), *sent.headers]
    claim = parse_authorization(sent.method, path, raw_query=query, headers=headers)
    assert claim is not None
    now = parse_amz_date(AMZ_DATE)
    assert now is not None
    verify(claim, "backend-secret", now=now, keys=SigningKeys())
    assert (claim.access_key_id, claim.security_token) == ("BACKENDKEY", b"a-token")


@pytest.mark.rule("3.1.9", "3.5.8")
def test_every_forwarded_header_is_signed_and_the_clients_own_signature_is_gone() -> None:
    client = ((b"authorization", b"theirs"), (b"x-amz-date", b"theirs"), (b"range", b"bytes=0-1"))
    made = plan("GET", "/photos/a", *client)
    sent = signed(made, compose_bodiless(made))
    names = [name for name, _ in sent.headers]
    assert all(names.count(name) == 1 for name in names)
    assert b"theirs" not in sent.head()
    assert dict(sent.headers)[b"user-agent"].startswith(b"bucketroute/")
    assert b"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," in sent.head()


def test_a_backend_that_wants_no_signature_gets_none() -> None:
    made = plan("GET", "/photos/a")
    keys = SigningKeys()
    outgoing = compose_bodiless(made)
    sent = sign(made.target, outgoing, credentials=UNSIGNED, amz_date=AMZ_DATE, keys=keys)
    assert {name for name, _ in sent.headers} == {b"user-agent", b"accept-encoding"}
