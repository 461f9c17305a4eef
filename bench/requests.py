"""Signed request heads for the load generator.

The signer is the benchmark's own, and small: the code under test must not make the requests that
it is measured with. Source: AWS "Authenticating Requests: Using the Authorization Header (SigV4)".
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from bench.scenarios import Scenario

REGION = "us-east-1"
BUCKET = "vbucket"
KEY_COUNT = 256
"""Distinct keys per file, so that no proxy gains by remembering the last signature or path."""
HASHED_KEY_COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str = ""


# Of no use anywhere: the stub is the only backend that knows them.
CLIENT = Credentials(
    access_key_id="AKIDBENCHCLIENT00001",
    secret_access_key="benchclientsecretbenchclientsecret000001",
)
BACKEND = Credentials(
    access_key_id="AKIDBENCHBACKEND0001",
    secret_access_key="benchbackendsecretbenchbackendsecret0001",
)


def object_path(size_bytes: int, index: int, *, read_bytes_per_second: int = 0) -> str:
    """The path of an object of that size, and how fast its body is read: payload.h reads both."""
    folder = f"paced-{read_bytes_per_second}" if read_bytes_per_second else "dir"
    return f"/{BUCKET}/{size_bytes}/{folder}/key-{index:06d}.bin"


def signed_head(
    method: str,
    path: str,
    *,
    port: int,
    size_bytes: int,
    by: Credentials,
    now: datetime,
    payload_hash: str = "UNSIGNED-PAYLOAD",
) -> bytes:
    """A request head such as an SDK sends; `path` needs no percent-encoding, `now` is in UTC."""
    time = now.strftime("%Y%m%dT%H%M%SZ")
    fields = {
        "host": f"127.0.0.1:{port}",
        "x-amz-content-sha256": payload_hash,
        "x-amz-date": time,
    }
    if by.session_token:
        fields["x-amz-security-token"] = by.session_token
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.items()),
        "user-agent: aws-sdk-go-v2/1.30 os/linux lang/go",
        "accept-encoding: identity",
        "amz-sdk-invocation-id: 7b1b33a0-63b4-4d4e-9a83-0f1d0a0e2f11",
        f"authorization: {_authorization(method, path, fields, by)}",
    ]
    if method == "PUT":
        lines += [f"content-length: {size_bytes}", "content-type: application/octet-stream"]
    return "\r\n".join([*lines, "", ""]).encode()


def _authorization(method: str, path: str, fields: dict[str, str], by: Credentials) -> str:
    time = fields["x-amz-date"]
    names = ";".join(fields)
    canonical_fields = "".join(f"{name}:{value}\n" for name, value in fields.items())
    payload_hash = fields["x-amz-content-sha256"]
    canonical = f"{method}\n{path}\n\n{canonical_fields}\n{names}\n{payload_hash}"
    scope = f"{time[:8]}/{REGION}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{by.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}".encode()
    signature = hmac.digest(key, text, "sha256").hex()
    credential = f"{by.access_key_id}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


def write_requests(path: Path, scenario: Scenario, *, port: int, now: datetime) -> None:
    """Write heads as `loadgen` reads them: little-endian uint32 length, then the head.

    KEY_COUNT of them; fewer where each body has to be hashed first.
    """
    size, pace = scenario.size_bytes, scenario.read_bytes_per_second
    with path.open("wb") as file:
        for index in range(HASHED_KEY_COUNT if scenario.is_hashed else KEY_COUNT):
            name = object_path(size, index, read_bytes_per_second=pace)
            head = signed_head(
                scenario.method,
                name,
                port=port,
                size_bytes=size,
                by=CLIENT,
                now=now,
                payload_hash=payload_sha256(name, size)
                if scenario.is_hashed
                else "UNSIGNED-PAYLOAD",
            )
            file.write(struct.pack("<I", len(head)) + head)


@cache
def payload_sha256(path: str, size_bytes: int) -> str:
    """Of the body that `payload.h` makes for this object."""
    seed = 2166136261  # FNV-1a of what begins with the size's segment
    for byte in path[path.index(f"/{size_bytes}/") + 1 :].encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    digest, pattern = hashlib.sha256(), memoryview(_pattern())
    at, left = seed % len(pattern), size_bytes
    while left:
        piece = pattern[at : at + left]
        digest.update(piece)
        at, left = 0, left - len(piece)
    return digest.hexdigest()


@cache
def _pattern() -> bytes:
    """xorshift64 (Marsaglia, 2003), as in payload.h."""
    x, words = 88172645463325252, []
    for _ in range(251 * 4096 // 8):
        x ^= x << 13 & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= x << 17 & 0xFFFFFFFFFFFFFFFF
        words.append(x)
    return struct.pack(f"<{len(words)}Q", *words)
