"""botocore signs, we verify: 10,000 generated requests, each also tampered with once.

hypothesis draws seeds and each seed makes a batch, because drawing 10,000 requests field by field
would take minutes.  A failure shows its seed.  botocore never reads the clock here: the pure
steps of its signer are driven with our own time.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import (
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    canonical_path,
    encode_query,
    parse_authorization,
    sign_headers,
    verify,
)

SEEDS = 100
BATCH = 50

ACCESS_KEY_ID = "AKIDORACLE"
SECRET = "oracle/secret+with=signs"
TOKEN = "FwoGZXIvYXdzEA+/=="
START = datetime(2026, 2, 27, 23, 59, tzinfo=UTC)

TEXT = "abcXYZ019-._~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}é日😀"
VALUE = "abcXYZ019-._~!\"#$%&'()*+,/:;<=>?@[]^`{|}é日   \t"
OPTIONAL_HEADERS = ("content-type", "range", "x-amz-meta-a", "x-amz-acl", "if-match", "user-agent")
Pairs = list[tuple[str, str]]
Raw = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A request as it arrives."""

    method: bytes
    path: bytes
    query: bytes
    headers: Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A request as its client means it."""

    method: str
    path: str
    query: Pairs
    headers: Pairs
    signed: tuple[str, ...]
    payload_hash: str
    region: str
    at: datetime

    @property
    def timestamp(self) -> str:
        return self.at.strftime("%Y%m%dT%H%M%SZ")


def text(rng: random.Random, alphabet: str, most: int) -> str:
    return "".join(rng.choices(alphabet, k=rng.randint(0, most)))


def draw(rng: random.Random) -> Drawn:
    headers = [("host", "bucket.example.com:9000")]
    for name in OPTIONAL_HEADERS:
        headers += [(name, text(rng, VALUE, 12)) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    rng.shuffle(headers)
    # What S3 demands is signed; of the rest the client signs what it likes.
    names = {name for name, _ in headers}
    signed = {n for n in names if n == "host" or n.startswith("x-amz-") or rng.random() < 0.5}
    return Drawn(
        method=rng.choice(("GET", "PUT", "HEAD", "POST", "DELETE")),
        path="/" + text(rng, TEXT, 20),
        query=[(text(rng, TEXT, 6) or "k", text(rng, TEXT, 8)) for _ in range(rng.randint(0, 4))],
        headers=headers,
        signed=tuple(sorted(signed)),
        payload_hash=rng.choice(("UNSIGNED-PAYLOAD", "0123456789abcdef" * 4)),
        region=rng.choice(("us-east-1", "eu-west-1", "auto")),
        at=START + timedelta(seconds=rng.randint(0, 200_000)),
    )


def oracle_signature(auth_type: type[SigV4Auth], drawn: Drawn) -> str:
    """botocore's signature of exactly the headers that the client chose to sign."""

    class Auth(auth_type):  # type: ignore[misc]  # botocore has no types
        def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
            chosen = HTTPHeaders()
            for name, value in drawn.headers:
                if name in drawn.signed:
                    chosen.add_header(name, value)
            return chosen

    auth = Auth(Credentials(ACCESS_KEY_ID, SECRET), "s3", drawn.region)
    request = AWSRequest(
        method=drawn.method,
        url="https://bucket.example.com:9000" + quote(drawn.path, safe="/-_.~"),
        params=drawn.query,
        headers=dict(drawn.headers),
    )
    request.context["timestamp"] = drawn.timestamp
    signature: str = auth.signature(
        auth.string_to_sign(request, auth.canonical_request(request)), request
    )
    return signature


def on_the_wire(rng: random.Random, value: str) -> bytes:
    """Percent-encode what must be, sometimes more, and in either case of hexadecimal digits."""
    out = ""
    for octet in value.encode():
        char = chr(octet)
        if char.isascii() and (char.isalnum() or char in "-._~") and rng.random() < 0.9:
            out += char
        else:
            out += f"%{octet:02x}" if rng.random() < 0.3 else f"%{octet:02X}"
    return out.encode()


def wire_path(rng: random.Random, path: str) -> bytes:
    return b"/".join(on_the_wire(rng, segment) for segment in path.split("/"))


def wire_query(rng: random.Random, pairs: Sequence[tuple[str, str]]) -> bytes:
    segments = []
    for name, value in pairs:
        flag = on_the_wire(rng, name)
        bare = not value and rng.random() < 0.5
        segments.append(flag if bare else flag + b"=" + on_the_wire(rng, value))
    segments += [b""] * rng.randint(0, 1)
    rng.shuffle(segments)
    return b"&".join(segments)


def wire_headers(headers: Pairs) -> Raw:
    return [(name.encode(), value.encode()) for name, value in headers]


def header_request(rng: random.Random) -> tuple[Drawn, Wire]:
    drawn = draw(rng)
    added = [("x-amz-date", drawn.timestamp), ("x-amz-content-sha256", drawn.payload_hash)]
    if rng.random() < 0.3:
        added.append(("x-amz-security-token", TOKEN))
    signed = tuple(sorted({*drawn.signed, *(name for name, _ in added)}))
    drawn = replace(drawn, headers=[*drawn.headers, *added], signed=signed)
    scope = f"{ACCESS_KEY_ID}/{drawn.timestamp[:8]}/{drawn.region}/s3/aws4_request"
    authorization = rng.choice((", ", ",")).join(
        (
            f"AWS4-HMAC-SHA256 Credential={scope}",
            f"SignedHeaders={';'.join(signed)}",
            f"Signature={oracle_signature(S3SigV4Auth, drawn)}",
        )
    )
    return drawn, Wire(
        method=drawn.method.encode(),
        path=wire_path(rng, drawn.path),
        query=wire_query(rng, drawn.query),
        headers=wire_headers([*drawn.headers, ("authorization", authorization)]),
    )


def presigned_request(rng: random.Random) -> tuple[Drawn, Wire]:
    drawn = draw(rng)
    query = [
        *drawn.query,
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        (
            "X-Amz-Credential",
            f"{ACCESS_KEY_ID}/{drawn.timestamp[:8]}/{drawn.region}/s3/aws4_request",
        ),
        ("X-Amz-Date", drawn.timestamp),
        ("X-Amz-Expires", str(rng.randint(1, 604_800))),
        ("X-Amz-SignedHeaders", ";".join(drawn.signed)),
    ]
    if rng.random() < 0.3:
        query.append(("X-Amz-Security-Token", TOKEN))
    drawn = replace(drawn, query=query)
    signature = oracle_signature(S3SigV4QueryAuth, drawn)
    return drawn, Wire(
        method=drawn.method.encode(),
        path=wire_path(rng, drawn.path),
        query=wire_query(rng, [*query, ("X-Amz-Signature", signature)]),
        headers=wire_headers(drawn.headers),
    )


def accept(drawn: Drawn, wire: Wire, keys: SigningKeys) -> None:
    claim = parse_authorization(wire.method, wire.path, raw_query=wire.query, headers=wire.headers)
    assert claim is not None
    assert claim.access_key_id == ACCESS_KEY_ID
    assert claim.scope.region.decode() == drawn.region
    verify(claim, SECRET, now=drawn.at + timedelta(seconds=1), keys=keys)


def tamper(rng: random.Random, drawn: Drawn, wire: Wire) -> Wire:
    """Change one thing that the signature covers."""
    kind = rng.choice(("method", "path", "query", "header"))
    if kind == "method":
        return replace(wire, method=b"PATCH")
    if kind == "path":
        return replace(wire, path=wire.path + b"x")
    if kind == "query":
        return replace(wire, query=wire.query + b"&versionId=1")
    target = rng.choice(
        [name.encode() for name in drawn.signed if name.startswith("x-amz-meta")] or [b"host"]
    )
    headers = [(n, v + b"x" if n == target else v) for n, v in wire.headers]
    return replace(wire, headers=headers)


@pytest.mark.rule("3.10.3", "3.10.7", "3.2.21")
@pytest.mark.parametrize("make", [header_request, presigned_request], ids=["header", "presigned"])
def test_5000_requests_signed_by_botocore_are_accepted_and_none_once_changed(
    make: Callable[[random.Random], tuple[Drawn, Wire]],
) -> None:
    keys = SigningKeys()
    compared = 0

    @settings(max_examples=SEEDS, deadline=None, database=None, derandomize=True)
    @given(seed=st.integers(min_value=0, max_value=2**64))
    def compare(seed: int) -> None:
        nonlocal compared
        rng = random.Random(seed)
        for _ in range(BATCH):
            drawn, wire = make(rng)
            accept(drawn, wire, keys)
            with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
                accept(drawn, tamper(rng, drawn, wire), keys)
            compared += 1

    compare()
    assert compared >= SEEDS * BATCH == 5000


def test_1000_requests_get_the_signature_that_botocore_gives_them() -> None:
    keys = SigningKeys()
    credentials = SigningCredentials(access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET)
    compared = 0

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(seed=st.integers(min_value=0, max_value=2**64))
    def compare(seed: int) -> None:
        nonlocal compared
        rng = random.Random(seed)
        for _ in range(BATCH):
            drawn = draw(rng)
            added = [("x-amz-content-sha256", drawn.payload_hash), ("x-amz-date", drawn.timestamp)]
            names = {name for name, _ in (*drawn.headers, *added)}
            meant = replace(drawn, headers=[*drawn.headers, *added], signed=tuple(sorted(names)))
            signed = sign_headers(
                UnsignedRequest(
                    method=drawn.method.encode(),
                    raw_path=canonical_path(quote(drawn.path, safe="/-_.~").encode()),
                    canonical_query=encode_query(
                        [(name.encode(), value.encode()) for name, value in drawn.query]
                    ),
                    headers=wire_headers(drawn.headers),
                    payload_hash=drawn.payload_hash.encode(),
                ),
                credentials=credentials,
                region=drawn.region.encode(),
                amz_date=drawn.timestamp.encode(),
                keys=keys,
            )
            signature = oracle_signature(S3SigV4Auth, meant).encode()
            assert dict(signed)[b"authorization"].endswith(b"Signature=" + signature)
            compared += 1

    compare()
    assert compared >= 1000
