"""Shapes and templates against the functions whose decisions they keep: verify, authorize, sign."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.authenticate import Caller, Trust, authenticate
from bucketroute_dataplane.core.authorize import ForwardPlan, authorize
from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.body import incoming_body, plan_stream
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.forward import compose_bodiless, compose_stream, sign
from bucketroute_dataplane.core.messages import Deadlines, RequestHead
from bucketroute_dataplane.core.operations import BodyMode
from bucketroute_dataplane.core.request import parse_request
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import SessionSealer
from bucketroute_dataplane.core.shapes import (
    MAX_SHAPE_BYTES,
    MAX_SHAPE_PARTS,
    RequestShape,
    Shapes,
    shape_key,
)
from bucketroute_dataplane.core.sigv4 import SigningKeys, format_amz_date
from bucketroute_snapshot import AccessKeySecret, AccessKeySubject, Secret, SnapshotSecrets
from bucketroute_testing.heads import head, route, route_index, rule
from bucketroute_testing.signed_requests import NOW
from bucketroute_testing.signing import EMPTY_SHA256, UNSIGNED_PAYLOAD, AccessKey, Signer

KEY = AccessKey(access_key_id="AKIDCALLER", secret_access_key="a-secret")
EVERYTHING = rule(subjects=[AccessKeySubject(namespace="team-a", name="key")])
INDEX = route_index(
    *(route(bucket, EVERYTHING) for bucket in ("photos", "albums", "films")),
    secrets=SnapshotSecrets(
        access_keys=(
            AccessKeySecret(
                namespace="team-a",
                name="key",
                access_key_id=KEY.access_key_id,
                secret_access_key=Secret(KEY.secret_access_key),
            ),
        )
    ),
)
TRUST = Trust(
    sessions=SessionSealer(SealingRing([b"k" * 32], lambda size: b"n" * size), "default"),
    issuers={},
    known_key=lambda *_: None,
)
DEADLINES = Deadlines(60, 30)
CREDENTIALS = Credentials(
    access_key_id="AKIDBACKEND",
    secret_access_key=Secret("backend-secret"),
    session_token=Secret("token"),
)

keys = st.from_regex(r"[A-Za-z0-9\-_~][A-Za-z0-9\-_~/]{0,30}", fullmatch=True)
# Values as the parser of the client's leg gives them, with all the white space that a signer folds.
values = st.from_regex(r"[!-~]([ \t!-~]{0,20}[!-~])?", fullmatch=True)
forwarded_names = st.sampled_from(
    ("range", "if-match", "if-none-match", "x-amz-checksum-mode", "x-amz-request-payer")
)
dropped_names = st.sampled_from(("accept", "x-amz-unknown", "cookie", "te", "amz-sdk-request"))
stored_names = st.sampled_from(
    ("content-type", "content-md5", "x-amz-checksum-crc32", "cache-control", "x-amz-storage-class")
)


def signed_head(
    method: str = "GET",
    target: str = "/photos/a",
    headers: Mapping[str, str] | None = None,
    *,
    at: datetime = NOW,
    payload_hash: str = UNSIGNED_PAYLOAD,
) -> RequestHead:
    signed = Signer(key=KEY).sign(
        method,
        f"http://gateway:9000{target}",
        headers=tuple((headers or {}).items()),
        payload_hash=payload_hash,
        at=at,
    )
    raw = [(name.lower().encode(), value.encode()) for name, value in signed.headers]
    return head(method, target, *raw)


def proved(asked: RequestHead, now: datetime = NOW) -> Caller:
    caller = authenticate(asked, INDEX, now=now, keys=SigningKeys(), trust=TRUST)
    assert isinstance(caller, Caller)
    return caller


def planned(asked: RequestHead, caller: Caller) -> ForwardPlan:
    request = parse_request(asked)
    return authorize(request, INDEX.find(request.bucket, caller.identity), caller.identity)


def learn(shapes: Shapes, asked: RequestHead) -> RequestShape | None:
    caller = proved(asked)
    shapes.learn(planned(asked, caller), caller, DEADLINES)
    return shapes.find(asked)


def is_verified(asked: RequestHead, now: datetime) -> bool:
    try:
        proved(asked, now)
    except S3Error:
        return False
    return True


def altered(asked: RequestHead, name: bytes, value: bytes) -> RequestHead:
    headers = [(n, value if n == name else v) for n, v in asked.headers]
    return RequestHead(asked.method, asked.raw_path, asked.raw_query, headers)


# -- proofs --------------------------------------------------------------------------------------


@given(
    st.dictionaries(forwarded_names | dropped_names, st.tuples(values, values)),
    st.tuples(keys, keys),
    st.integers(-1000, 1000),
    st.sampled_from((UNSIGNED_PAYLOAD, EMPTY_SHA256)),
)
def test_a_shape_proves_what_the_verifier_proves(
    pairs: dict[str, tuple[str, str]], names: tuple[str, str], seconds: int, payload_hash: str
) -> None:
    learned = signed_head(
        target=f"/photos/{names[0]}", headers={n: first for n, (first, _) in pairs.items()}
    )
    asked = signed_head(
        target=f"/photos/{names[1]}",
        headers={n: second for n, (_, second) in pairs.items()},
        payload_hash=payload_hash,
    )
    shape = learn(Shapes(), learned)
    assert shape is not None
    assert shape_key(learned) == shape_key(asked)
    now = NOW + timedelta(seconds=seconds)
    found = shape.is_proved(asked.raw_path, asked.by_name, now.timestamp())
    assert found is is_verified(asked, now) is (abs(seconds) <= 900)


@given(
    st.dictionaries(forwarded_names, values, min_size=1),
    st.sampled_from(("path", "signature", "value", "hash", "date")),
    st.integers(0, 63),
    values,
)
def test_a_shape_proves_nothing_that_was_altered(
    headers: dict[str, str], what: str, position: int, other: str
) -> None:
    asked = signed_head(headers=headers)
    shape = learn(Shapes(), asked)
    assert shape is not None
    match what:
        case "path":
            asked = RequestHead(asked.method, b"/photos/b", b"", asked.headers)
        case "signature":
            text = bytearray(asked.by_name[b"authorization"])
            text[-64 + position] ^= 1
            asked = altered(asked, b"authorization", bytes(text))
        case "value":
            asked = altered(asked, min(headers).encode(), other.encode())
        case "hash":
            asked = altered(asked, b"x-amz-content-sha256", EMPTY_SHA256.encode())
        case "date":
            later = format_amz_date(NOW + timedelta(seconds=1))
            asked = altered(asked, b"x-amz-date", later)
    found = shape.is_proved(asked.raw_path, asked.by_name, NOW.timestamp())
    assert found is is_verified(asked, NOW)


# -- the backend's head --------------------------------------------------------------------------


def ordinary_head(asked: RequestHead, plan: ForwardPlan, credentials: Credentials) -> bytes:
    if plan.request.operation.body is BodyMode.STREAMED:
        incoming = incoming_body(asked, UNSIGNED_PAYLOAD.encode())
        outgoing = compose_stream(plan, plan_stream(incoming, asked, plan.target.backend.profile))
    else:
        outgoing = compose_bodiless(plan)
    return sign(
        plan.target,
        outgoing,
        credentials=credentials,
        amz_date=format_amz_date(NOW),
        keys=SigningKeys(),
    ).head()


@given(
    st.sampled_from(("GET", "HEAD", "PUT")),
    st.permutations(("range", "if-match", "content-type", "x-amz-request-payer", "cookie")),
    st.dictionaries(stored_names | forwarded_names | dropped_names, st.tuples(values, values)),
    st.tuples(keys, keys),
    st.sampled_from((CREDENTIALS, replace(CREDENTIALS, session_token=None))),
)
def test_a_template_makes_the_head_that_composing_and_signing_make(
    method: str,
    order: list[str],
    pairs: dict[str, tuple[str, str]],
    names: tuple[str, str],
    credentials: Credentials,
) -> None:
    lengths = {"content-length": ("7", "8")} if method == "PUT" else {}
    ordered = {**dict.fromkeys(order, ("a, b", "c  %s")), **pairs, **lengths}
    heads = [
        signed_head(
            method, f"/photos/{names[i]}", headers={n: pair[i] for n, pair in ordered.items()}
        )
        for i in (0, 1)
    ]
    shape = learn(Shapes(), heads[0])
    assert shape is not None
    found = shape.routes[b"photos"]
    template = found.template
    for asked, key in zip(heads, names, strict=True):
        made = template.filled(
            found.path + key.encode(),
            asked.by_name,
            int(asked.by_name[b"content-length"]) if method == "PUT" else None,
            credentials=credentials,
            amz_date=format_amz_date(NOW),
            keys=SigningKeys(),
        )
        assert made is not None
        assert made.head() == ordinary_head(asked, planned(asked, proved(asked)), credentials)


def test_a_template_fills_in_no_control_character() -> None:
    asked = signed_head(headers={"range": "bytes=0-1"})
    shape = learn(Shapes(), asked)
    assert shape is not None
    found = shape.routes[b"photos"]
    for value in (b"bytes=0-1\r\nx: y", b"a\x00", b"\x7f"):
        made = found.template.filled(
            found.path + b"a",
            {**asked.by_name, b"range": value},
            None,
            credentials=CREDENTIALS,
            amz_date=format_amz_date(NOW),
            keys=SigningKeys(),
        )
        assert made is None


# -- what is remembered --------------------------------------------------------------------------


def numbered(number: int, bucket: str = "photos") -> RequestHead:
    return signed_head(target=f"/{bucket}/a", headers={f"x-name-{number}": "v"})


def test_the_oldest_shape_makes_room() -> None:
    shapes = Shapes(max_shapes=2)
    for number in range(3):
        learn(shapes, numbered(number))
    assert [shapes.find(numbered(number)) is not None for number in range(3)] == [
        False,
        True,
        True,
    ]


def test_routes_of_all_shapes_are_bounded_together() -> None:
    shapes = Shapes(max_routes=3)
    for number in range(2):
        for bucket in ("photos", "albums"):
            learn(shapes, numbered(number, bucket))
    assert shapes.find(numbered(0)) is None
    second = shapes.find(numbered(1))
    assert second is not None
    assert set(second.routes) == {b"photos", b"albums"}


def test_a_shape_that_fills_all_the_room_makes_way_for_itself() -> None:
    shapes = Shapes(max_routes=2)
    for bucket in ("photos", "albums", "films", "photos"):
        learn(shapes, numbered(0, bucket))
    shape = shapes.find(numbered(0))
    assert shape is not None
    assert set(shape.routes) == {b"films", b"photos"}
    for number in range(5):  # and the count is still right
        learn(shapes, numbered(number))
    assert shapes.find(numbered(4)) is not None


def test_what_is_known_is_not_made_anew() -> None:
    shapes = Shapes()
    first = learn(shapes, numbered(0))
    assert first is not None
    known = first.routes[b"photos"]
    assert learn(shapes, numbered(0)) is first
    assert first.routes[b"photos"] is known


@pytest.mark.parametrize(
    "headers",
    [
        {"x-name": "v", **{f"x{number}": "v" for number in range(MAX_SHAPE_PARTS)}},
        {"x" * MAX_SHAPE_BYTES: "v"},
    ],
    ids=["many", "long"],
)
def test_names_without_end_are_not_remembered(headers: dict[str, str]) -> None:
    assert learn(Shapes(), signed_head(headers=headers)) is None
