"""For the unit tests of the SigV4 verifier: requests signed by botocore at a fixed time, and the
verdict on them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import SigningKeys, VerifiedSignature, parse_authorization
from bucketroute_dataplane.core.sigv4 import verify as verify_claim
from bucketroute_testing.signing import AccessKey, Signer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = AccessKey(access_key_id="AKIDEXAMPLE", secret_access_key="a-secret")
URL = "http://gateway:9000/reports/a%20b.csv"
PATH = b"/reports/a%20b.csv"
Raw = list[tuple[bytes, bytes]]


def signed(
    *,
    at: datetime = NOW,
    service: str = "s3",
    headers: Sequence[tuple[str, str]] = (),
    key: AccessKey = KEY,
    payload_hash: str = "UNSIGNED-PAYLOAD",
) -> Raw:
    """The headers of a GET of URL that botocore signed."""
    head = Signer(key=key, service=service).sign(
        "GET", URL, headers=tuple(headers), payload_hash=payload_hash, at=at
    )
    return [(name.lower().encode(), value.encode()) for name, value in head.headers]


def replaced(headers: Raw, name: bytes, value: bytes | None) -> Raw:
    kept = [header for header in headers if header[0] != name]
    return kept if value is None else [*kept, (name, value)]


HOST: Raw = [(b"host", b"gateway:9000")]


def presigned(
    *,
    at: datetime = NOW,
    expires: str = "3600",
    service: str = "s3",
    headers: Sequence[tuple[str, str]] = (),
    extra: Sequence[tuple[str, str]] = (),
    without: Sequence[str] = (),
    **changed: str,
) -> bytes:
    """The query of a presigned GET of URL; `changed` sets a parameter, `_` standing for `-`."""
    timestamp = at.strftime("%Y%m%dT%H%M%SZ")
    names = ";".join(sorted(["host", *(name for name, _ in headers)]))
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"AKIDEXAMPLE/{timestamp[:8]}/us-east-1/{service}/aws4_request",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": expires,
        "X-Amz-SignedHeaders": names,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    pairs = [pair for pair in (*parameters.items(), *extra) if pair[0] not in without]
    auth = S3SigV4QueryAuth(Credentials("AKIDEXAMPLE", "a-secret"), service, "us-east-1")
    sent = {"host": "gateway:9000", **dict(headers)}
    request = AWSRequest(method="GET", url=URL, params=pairs, headers=sent)
    request.context["timestamp"] = timestamp
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    pairs.append(("X-Amz-Signature", auth.signature(to_sign, request)))
    return "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs).encode()


def check(
    headers: Raw,
    *,
    query: bytes = b"",
    now: datetime = NOW,
    service: bytes = b"s3",
    secret: str = KEY.secret_access_key,
) -> VerifiedSignature:
    claim = parse_authorization(b"GET", PATH, raw_query=query, headers=headers, service=service)
    assert claim is not None
    return verify_claim(claim, secret, now=now, keys=SigningKeys())


def refused(headers: Raw, *, query: bytes = b"", now: datetime = NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        check(headers, query=query, now=now)
    return caught.value
