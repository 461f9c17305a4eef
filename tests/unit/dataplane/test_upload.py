"""Streamed bodies piece by piece: exact lengths in every form, and the last piece held back."""

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.body import (
    REFRAMED_CHUNK_BYTES,
    StreamPlan,
    Treatment,
    incoming_body,
    plan_stream,
)
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
)
from bucketroute_dataplane.core.upload import UploadTransform, upload_transform
from bucketroute_snapshot import BackendProfile
from bucketroute_testing.chunked_bodies import CRC32, FRAMINGS, SEED, checksum, encoded
from bucketroute_testing.heads import head, refusal
from bucketroute_testing.signing import decode_aws_chunked

PROFILES = pytest.mark.parametrize("profile", BackendProfile, ids=lambda profile: profile.value)
# A payload hash; "hashed" stands for the SHA-256 of the payload.
FORMS = (UNSIGNED_PAYLOAD, b"hashed", *FRAMINGS)
FORM = pytest.mark.parametrize("form", FORMS, ids=bytes.decode)


def sha256_of(payload: bytes) -> bytes:
    return sha256(payload).hexdigest().encode()


def wire(form: bytes, payload: bytes) -> bytes:
    return encoded(form, payload) if form in FRAMINGS else payload


def plan_of(
    form: bytes, payload: bytes, profile: BackendProfile, *, has_length: bool
) -> StreamPlan:
    headers = [(b"x-amz-decoded-content-length", b"%d" % len(payload))]
    if form not in (STREAMING_SIGNED, UNSIGNED_PAYLOAD, b"hashed"):
        headers.append((b"x-amz-trailer", CRC32))
    if has_length:
        headers.append((b"content-length", b"%d" % len(wire(form, payload))))
    request = head("PUT", "/photos/a", *headers)
    payload_hash = sha256_of(payload) if form == b"hashed" else form
    return plan_stream(incoming_body(request, payload_hash), request, profile)


def transform_of(plan: StreamPlan) -> UploadTransform | None:
    is_signed = plan.incoming.payload_hash in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)
    return upload_transform(plan, SEED if is_signed else None)


def fed(transform: UploadTransform | None, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """What goes out while the body comes in, and what only its end releases."""
    if transform is None:
        return b"".join(pieces), b""
    early = b"".join(bytes(out) for piece in pieces for out in transform.feed(piece))
    return early, b"".join(map(bytes, transform.finish()))


def drain(transform: UploadTransform, pieces: list[bytes], sent: list[bytes]) -> None:
    """Feeds the pieces to the end; what goes out is in `sent`, also where an error ends it."""
    for piece in pieces:
        sent += map(bytes, transform.feed(piece))
    sent += map(bytes, transform.finish())


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(point % (len(data) + 1) for point in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.rule("3.2.13", "3.2.16")
@PROFILES
@FORM
@settings(max_examples=20)
@given(
    payload=st.binary(max_size=2000),
    cuts=st.lists(st.integers(0, 5000), max_size=12),
    has_length=st.booleans(),
)
def test_what_goes_out_has_exactly_the_announced_length(
    form: bytes, profile: BackendProfile, payload: bytes, cuts: list[int], has_length: bool
) -> None:
    has_length = has_length or form not in FRAMINGS
    plan = plan_of(form, payload, profile, has_length=has_length)
    early, late = fed(transform_of(plan), cut(wire(form, payload), cuts))
    sent = early + late
    assert len(sent) == plan.content_length
    if plan.payload_hash == STREAMING_UNSIGNED_TRAILER:
        decoded = decode_aws_chunked(sent)
        assert decoded.payload == payload
        assert decoded.trailers == {CRC32.decode(): checksum(payload).decode()}
    else:
        assert sent == payload


@pytest.mark.rule("3.2.16")
@pytest.mark.parametrize(
    "size", [0, 1, REFRAMED_CHUNK_BYTES - 1, REFRAMED_CHUNK_BYTES, 2 * REFRAMED_CHUNK_BYTES + 1]
)
@pytest.mark.parametrize("form", [STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER])
def test_reframed_chunks_add_up_at_every_boundary(form: bytes, size: int) -> None:
    payload = b"\xa5" * size
    plan = plan_of(form, payload, BackendProfile.AWS, has_length=False)
    assert plan.treatment is Treatment.REFRAMED
    early, late = fed(transform_of(plan), [encoded(form, payload, chunk_bytes=70_000)])
    assert len(early + late) == plan.content_length
    assert decode_aws_chunked(early + late).payload == payload


def spoiled(form: bytes, payload: bytes) -> bytes:
    """The body with one byte of its payload changed."""
    body = wire(form, payload)
    place = body.index(payload[:64])
    return body[:place] + bytes((body[place] ^ 1,)) + body[place + 1 :]


CHECKED = [
    (b"hashed", BackendProfile.GENERIC, True, Treatment.HASHED, "XAmzContentSHA256Mismatch"),
    (STREAMING_UNSIGNED_TRAILER, BackendProfile.AWS, True, Treatment.CHECKED, "BadDigest"),
    (STREAMING_UNSIGNED_TRAILER, BackendProfile.AWS, False, Treatment.REFRAMED, "BadDigest"),
    (STREAMING_UNSIGNED_TRAILER, BackendProfile.CEPH, True, Treatment.DECODED, "BadDigest"),
    (STREAMING_SIGNED, BackendProfile.AWS, True, Treatment.DECODED, "SignatureDoesNotMatch"),
    (
        STREAMING_SIGNED_TRAILER,
        BackendProfile.AWS,
        True,
        Treatment.REFRAMED,
        "SignatureDoesNotMatch",
    ),
]


@pytest.mark.rule("3.10.4", "3.2.13", "3.2.17")
@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 10_000])
@pytest.mark.parametrize(
    ("form", "profile", "has_length", "treatment", "code"),
    CHECKED,
    ids=[c[3].value for c in CHECKED],
)
def test_a_body_that_fails_its_check_never_reaches_its_length(
    form: bytes,
    profile: BackendProfile,
    has_length: bool,
    treatment: Treatment,
    code: str,
    piece_bytes: int,
) -> None:
    payload = bytes(range(64)) * 4
    plan = plan_of(form, payload, profile, has_length=has_length)
    assert plan.treatment is treatment
    transform = transform_of(plan)
    assert transform is not None
    body = spoiled(form, payload)
    sent: list[bytes] = []
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)]
    with pytest.raises(S3Error) as caught:
        drain(transform, pieces, sent)
    assert refusal(caught)[1] == code
    assert len(b"".join(sent)) < plan.content_length


@pytest.mark.rule("3.2.17")
@pytest.mark.parametrize("form", FRAMINGS, ids=bytes.decode)
@pytest.mark.parametrize("missing", [1, 20, 200])
def test_a_body_that_ends_early_never_reaches_its_length(form: bytes, missing: int) -> None:
    payload = b"p" * 1000
    for profile in (BackendProfile.AWS, BackendProfile.CEPH):
        plan = plan_of(form, payload, profile, has_length=True)
        transform = transform_of(plan)
        assert transform is not None
        sent = b"".join(map(bytes, transform.feed(wire(form, payload)[:-missing])))
        with pytest.raises(S3Error):
            transform.finish()
        assert len(sent) < plan.content_length


@pytest.mark.parametrize("index", range(len(CHECKED)), ids=[c[3].value for c in CHECKED])
def test_an_empty_piece_pushes_nothing_out(index: int) -> None:
    form, profile, has_length, *_ = CHECKED[index]
    payload = b"p" * 100
    plan = plan_of(form, payload, profile, has_length=has_length)
    transform = transform_of(plan)
    assert transform is not None
    sent = b"".join(map(bytes, transform.feed(wire(form, payload))))
    assert transform.feed(b"") == []
    sent += b"".join(map(bytes, transform.finish()))
    assert len(sent) == plan.content_length


@pytest.mark.rule("3.2.9")
def test_a_plain_body_needs_no_transform() -> None:
    plan = plan_of(UNSIGNED_PAYLOAD, b"abc", BackendProfile.AWS, has_length=True)
    assert upload_transform(plan, None) is None


def test_signed_chunks_of_an_unsigned_request_are_refused_before_a_byte_is_sent() -> None:
    plan = plan_of(STREAMING_SIGNED, b"abc", BackendProfile.AWS, has_length=True)
    with pytest.raises(S3Error) as caught:
        upload_transform(plan, None)
    assert refusal(caught) == (400, "InvalidRequest")


def test_a_checksum_that_is_not_known_cannot_be_checked_for_a_backend_without_trailers() -> None:
    announced = ((b"x-amz-decoded-content-length", b"3"), (b"x-amz-trailer", b"x-amz-checksum-new"))
    request = head("PUT", "/photos/a", (b"content-length", b"9"), *announced)
    incoming = incoming_body(request, STREAMING_UNSIGNED_TRAILER)
    with pytest.raises(S3Error) as caught:
        upload_transform(plan_stream(incoming, request, BackendProfile.CEPH), None)
    assert refusal(caught) == (501, "NotImplemented")
