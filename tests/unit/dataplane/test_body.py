"""How a body comes in and how it goes out, decided from the head alone."""

import pytest

from bucketroute_dataplane.core.body import (
    MAX_PUT_BYTES,
    IncomingBody,
    StreamPlan,
    Treatment,
    check_size,
    chunk_profile,
    incoming_body,
    plan_stream,
)
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
)
from bucketroute_snapshot import BackendProfile, UnsignedAuth
from bucketroute_testing.heads import backend, head, refusal

LENGTH: Header = (b"content-length", b"1100")
DECODED: Header = (b"x-amz-decoded-content-length", b"1000")
CRC32: Header = (b"x-amz-trailer", b"x-amz-checksum-crc32")
FUTURE: Header = (b"x-amz-trailer", b"x-amz-checksum-of-2030")
TAKES_TRAILERS = (BackendProfile.AWS, BackendProfile.MINIO, BackendProfile.R2)
SHA256 = b"a" * 64


def incoming(payload_hash: bytes | None, *headers: Header) -> IncomingBody:
    return incoming_body(head("PUT", "/photos/a", *headers), payload_hash)


def planned(profile: BackendProfile, payload_hash: bytes, *headers: Header) -> StreamPlan:
    request = head("PUT", "/photos/a", *headers)
    return plan_stream(incoming_body(request, payload_hash), request, profile)


CHUNKED: Header = (b"content-encoding", b"aws-chunked")


def declaring(value: bytes) -> Header:
    return (b"x-amz-content-sha256", value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], UNSIGNED_PAYLOAD),
        ([declaring(UNSIGNED_PAYLOAD)], UNSIGNED_PAYLOAD),
        ([declaring(SHA256)], SHA256),
        ([declaring(STREAMING_UNSIGNED_TRAILER), CHUNKED, DECODED], STREAMING_UNSIGNED_TRAILER),
        ([CHUNKED, DECODED], STREAMING_UNSIGNED_TRAILER),
        ([(b"content-encoding", b"gzip, aws-chunked"), DECODED], STREAMING_UNSIGNED_TRAILER),
        ([(b"content-encoding", b"gzip")], UNSIGNED_PAYLOAD),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else "+".join(v.decode() for _, v in value),
)
def test_what_a_caller_without_a_signature_declares_counts_too(
    headers: list[Header], expected: bytes
) -> None:
    """A bearer token, say: chunks would become the object, and a wrong hash would not be seen."""
    assert incoming(None, LENGTH, *headers).payload_hash == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (STREAMING_SIGNED, (400, "InvalidRequest")),
        (STREAMING_SIGNED_TRAILER, (400, "InvalidRequest")),
        (b"STREAMING-OF-2030", (501, "NotImplemented")),
        (b"nonsense", (400, "InvalidArgument")),
    ],
)
def test_what_a_caller_without_a_signature_cannot_declare(
    value: bytes, expected: tuple[int, str]
) -> None:
    with pytest.raises(S3Error) as caught:
        incoming(None, LENGTH, DECODED, declaring(value))
    assert refusal(caught) == expected


@pytest.mark.parametrize("profile", TAKES_TRAILERS, ids=lambda profile: profile.value)
def test_chunks_do_not_go_out_without_the_signature_that_announces_them(
    profile: BackendProfile,
) -> None:
    assert chunk_profile(backend(profile=profile)) is profile
    unsigned = chunk_profile(backend(profile=profile, auth=UnsignedAuth()))
    plan = planned(unsigned, STREAMING_UNSIGNED_TRAILER, LENGTH, DECODED, CRC32)
    assert (plan.treatment, plan.content_length) == (Treatment.DECODED, 1000)


def refused(payload_hash: bytes | None, *headers: Header) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        planned(BackendProfile.AWS, payload_hash or UNSIGNED_PAYLOAD, *headers)
    return refusal(caught)


PLAIN = [
    (UNSIGNED_PAYLOAD, Treatment.AS_IS),
    (EMPTY_SHA256, Treatment.HASHED),
    (SHA256, Treatment.HASHED),
]


@pytest.mark.rule("3.2.9", "3.2.15", "3.2.16")
@pytest.mark.parametrize("profile", BackendProfile, ids=lambda profile: profile.value)
@pytest.mark.parametrize(("payload_hash", "treatment"), PLAIN)
def test_a_plain_body_goes_out_as_it_is_with_its_length(
    payload_hash: bytes, treatment: Treatment, profile: BackendProfile
) -> None:
    plan = planned(profile, payload_hash, LENGTH)
    assert (plan.treatment, plan.content_length, plan.headers) == (treatment, 1100, ())
    assert plan.payload_hash == UNSIGNED_PAYLOAD


ROWS = [
    (STREAMING_UNSIGNED_TRAILER, (LENGTH, DECODED, CRC32), Treatment.CHECKED, 1100),
    (STREAMING_UNSIGNED_TRAILER, (DECODED, CRC32), Treatment.REFRAMED, None),
    (STREAMING_UNSIGNED_TRAILER, (LENGTH, DECODED, FUTURE), Treatment.AS_IS, 1100),
    (STREAMING_SIGNED_TRAILER, (LENGTH, DECODED, CRC32), Treatment.REFRAMED, None),
    (STREAMING_SIGNED_TRAILER, (DECODED, CRC32), Treatment.REFRAMED, None),
]


@pytest.mark.rule("3.2.11", "3.2.12", "3.2.13")
@pytest.mark.parametrize("profile", TAKES_TRAILERS, ids=lambda profile: profile.value)
@pytest.mark.parametrize(("payload_hash", "headers", "treatment", "length"), ROWS)
def test_a_trailing_checksum_goes_to_a_backend_that_takes_it(
    payload_hash: bytes,
    headers: tuple[Header, ...],
    treatment: Treatment,
    length: int | None,
    profile: BackendProfile,
) -> None:
    plan = planned(profile, payload_hash, *headers)
    assert plan.treatment is treatment
    assert plan.payload_hash == STREAMING_UNSIGNED_TRAILER
    assert plan.headers == ((b"content-encoding", b"aws-chunked"), DECODED, headers[-1])
    framing = len(b"3e8\r\n\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n")
    assert plan.content_length == (length or 1000 + framing)


@pytest.mark.rule("3.2.13", "3.2.14")
@pytest.mark.parametrize(
    "profile", set(BackendProfile) - set(TAKES_TRAILERS), ids=lambda profile: profile.value
)
@pytest.mark.parametrize("headers", [(LENGTH, DECODED, CRC32), (DECODED, CRC32)])
@pytest.mark.parametrize("payload_hash", [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED_TRAILER])
def test_any_other_backend_gets_the_checked_payload_plain(
    payload_hash: bytes, headers: tuple[Header, ...], profile: BackendProfile
) -> None:
    plan = planned(profile, payload_hash, *headers)
    assert (plan.treatment, plan.content_length) == (Treatment.DECODED, 1000)
    assert (plan.payload_hash, plan.headers) == (UNSIGNED_PAYLOAD, ())


@pytest.mark.rule("3.2.13")
@pytest.mark.parametrize("profile", BackendProfile, ids=lambda profile: profile.value)
@pytest.mark.parametrize("length", [(LENGTH,), ()], ids=["length", "chunked"])
@pytest.mark.parametrize(
    "payload_hash", [STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER]
)
def test_chunks_without_a_trailing_checksum_go_out_plain(
    payload_hash: bytes, length: tuple[Header, ...], profile: BackendProfile
) -> None:
    plan = planned(profile, payload_hash, *length, DECODED)
    assert (plan.treatment, plan.content_length) == (Treatment.DECODED, 1000)
    assert (plan.payload_hash, plan.headers) == (UNSIGNED_PAYLOAD, ())


@pytest.mark.parametrize("payload_hash", [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED_TRAILER])
def test_a_checksum_that_nobody_here_can_make_is_not_implemented(payload_hash: bytes) -> None:
    assert refused(payload_hash, DECODED, FUTURE) == (501, "NotImplemented")
    assert refused(STREAMING_SIGNED_TRAILER, LENGTH, DECODED, FUTURE) == (501, "NotImplemented")


TRAILERS = [
    [b"x-amz-checksum-crc32,x-amz-checksum-sha1"],
    [b"x-amz-checksum-crc32", b"x-amz-checksum-sha1"],
    [b"x-amz-checksum-crc32", b"x-amz-checksum-crc32"],
    [b"x-amz-meta-a"],
    [b"x-amz-checksum-"],
    [b"x-amz-checksum-crc32\r\nx-evil: 1"],
    [b"x-amz-checksum-crc32 x"],
]


@pytest.mark.parametrize("values", TRAILERS)
def test_only_one_checksum_can_be_announced(values: list[bytes]) -> None:
    headers = [(b"x-amz-trailer", value) for value in values]
    for payload_hash in (STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED_TRAILER):
        assert refused(payload_hash, LENGTH, DECODED, *headers) == (400, "InvalidRequest")


def test_an_empty_announcement_announces_nothing_and_case_does_not_count() -> None:
    for value in (b"", b" , ", b","):
        body = incoming(STREAMING_UNSIGNED_TRAILER, DECODED, (b"x-amz-trailer", value))
        assert body.trailer is None
    body = incoming(
        STREAMING_UNSIGNED_TRAILER, DECODED, (b"x-amz-trailer", b" X-Amz-Checksum-CRC32")
    )
    assert body.trailer == b"x-amz-checksum-crc32"


@pytest.mark.rule("3.2.13")
def test_a_framing_that_s3_does_not_take_over_sigv4_is_not_implemented() -> None:
    sigv4a = b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
    assert refused(sigv4a, LENGTH, DECODED) == (501, "NotImplemented")


@pytest.mark.rule("3.13.4")
def test_a_body_of_unknown_length_is_refused() -> None:
    assert refused(UNSIGNED_PAYLOAD) == (411, "MissingContentLength")
    for payload_hash in (STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER):
        assert refused(payload_hash, LENGTH, CRC32) == (411, "MissingContentLength")


@pytest.mark.parametrize("value", [b"-1", b"+1", b"1.0", b"1e3", b"", b"1" * 19, b"0x10", b"1,1"])
def test_a_length_is_a_decimal_number(value: bytes) -> None:
    assert refused(UNSIGNED_PAYLOAD, (b"content-length", value)) == (400, "InvalidArgument")
    decoded = (b"x-amz-decoded-content-length", value)
    assert refused(STREAMING_SIGNED, LENGTH, decoded) == (400, "InvalidArgument")


def test_an_anonymous_body_is_what_it_is() -> None:
    body = incoming(None, LENGTH)
    assert (body.payload_hash, body.is_hashed, body.is_chunked) == (UNSIGNED_PAYLOAD, False, False)


SIZES = [
    (UNSIGNED_PAYLOAD, (LENGTH,), 1100),
    (STREAMING_SIGNED, (LENGTH, DECODED), 1100),
    (STREAMING_UNSIGNED_TRAILER, (DECODED, CRC32), 1000),
    (UNSIGNED_PAYLOAD, (), 0),
]


@pytest.mark.rule("3.2.4", "3.13")
@pytest.mark.parametrize(("payload_hash", "headers", "declared"), SIZES)
def test_the_larger_declared_size_is_held_against_the_limit(
    payload_hash: bytes, headers: tuple[Header, ...], declared: int
) -> None:
    body = incoming(payload_hash, *headers)
    assert body.declared_bytes == declared
    check_size(body, declared)
    if declared:
        with pytest.raises(S3Error) as caught:
            check_size(body, declared - 1)
        assert refusal(caught) == (400, "EntityTooLarge")
        assert caught.value.fields == {
            "ProposedSize": str(declared),
            "MaxSizeAllowed": str(declared - 1),
        }


@pytest.mark.rule("3.13.5")
def test_one_put_is_at_most_5_gib() -> None:
    assert MAX_PUT_BYTES == 5 * 1024**3


ENCODINGS = [
    ([b"gzip"], b"gzip", b"aws-chunked,gzip"),
    ([b"aws-chunked, gzip"], b"gzip", b"aws-chunked,gzip"),
    ([b"aws-chunked", b"gzip"], b"gzip", b"aws-chunked,gzip"),
    ([b"gzip", b"aws-chunked"], b"gzip", b"aws-chunked,gzip"),
    ([b"aws-chunked"], None, b"aws-chunked"),
    ([], None, b"aws-chunked"),
]


@pytest.mark.rule("3.5.9")
@pytest.mark.parametrize(("values", "plain", "framed"), ENCODINGS)
def test_the_content_encoding_says_aws_chunked_exactly_when_the_body_is(
    values: list[bytes], plain: bytes | None, framed: bytes
) -> None:
    headers = [LENGTH, DECODED, CRC32, *[(b"content-encoding", value) for value in values]]
    to_aws = planned(BackendProfile.AWS, STREAMING_UNSIGNED_TRAILER, *headers)
    assert (b"content-encoding", framed) in to_aws.headers
    to_ceph = planned(BackendProfile.CEPH, STREAMING_UNSIGNED_TRAILER, *headers)
    assert to_ceph.headers == (((b"content-encoding", plain),) if plain else ())


def test_a_content_encoding_with_a_control_character_is_refused() -> None:
    header = (b"content-encoding", b"gzip\r\nx-evil: 1")
    assert refused(UNSIGNED_PAYLOAD, LENGTH, header) == (400, "InvalidRequest")
