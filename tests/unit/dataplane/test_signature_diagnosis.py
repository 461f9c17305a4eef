"""For each mistake that clients and proxies make: its component is named, and no secret is told.

The client's side is botocore's own canonical request and signature, not the product's.
"""

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bucketroute_dataplane.core.authenticate import Trust, authenticate
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import service_account_identity
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_dataplane.core.session import SessionSealer, new_session
from bucketroute_dataplane.core.signature_diagnosis import (
    MAX_EXPLAINED_BYTES,
    Diagnosis,
    diagnose,
)
from bucketroute_dataplane.core.sigv4 import SigningKeys
from bucketroute_snapshot import (
    AccessKeySecret,
    ClassSettings,
    Secret,
    Snapshot,
    SnapshotSecrets,
)
from bucketroute_testing.signed_requests import NOW, presigned
from bucketroute_testing.signing import signing_key

KEY_ID, SECRET = "AKIDEXAMPLE", "a-secret"
SETTINGS = ClassSettings(
    name="default", region="eu-west-1", domains=("s3.example.com",), signature_diagnostics=True
)
SECRETS = SnapshotSecrets(
    access_keys=(
        AccessKeySecret(
            namespace="team-a",
            name="laptop",
            access_key_id=KEY_ID,
            secret_access_key=Secret(SECRET),
        ),
    )
)
INDEX = RouteIndex(Snapshot(settings=SETTINGS), SECRETS)
SEALER = SessionSealer(SealingRing((b"n" * 32,), lambda size: b"0" * size), "default")
SESSION = new_session(
    service_account_identity("team-a", "reporter"),
    "pod-1",
    expires_at=int(NOW.timestamp()) + 900,
    random=lambda size: b"r" * size,
)
HOST = "gateway:9000"
Change = Callable[[str], str]


def same(canonical: str) -> str:
    return canonical


def instead(old: str, new: str) -> Change:
    """What the client's canonical request has where botocore's has `old`."""

    def change(canonical: str) -> str:
        assert old in canonical
        return canonical.replace(old, new, 1)

    return change


def signed_otherwise(
    client: Change = same,
    *,
    method: str = "GET",
    target: str = "/reports/a%20b",
    headers: tuple[tuple[str, str], ...] = (),
    secret: str = SECRET,
    scope: tuple[str, str] = ("us-east-1", "s3"),
) -> RequestHead:
    """What arrives from a client whose canonical request is what `client` makes of botocore's."""
    timestamp = NOW.strftime("%Y%m%dT%H%M%SZ")
    sent = {
        "Host": HOST,
        "X-Amz-Date": timestamp,
        "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD",
        **dict(headers),
    }
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", headers=sent)
    request.context["timestamp"] = timestamp
    auth = S3SigV4Auth(Credentials(KEY_ID, secret), "s3", "us-east-1")
    canonical = client(auth.canonical_request(request))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    region, service = scope
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n20260102/{region}/{service}/aws4_request\n{digest}"
    key = signing_key(secret, "20260102", region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    names = auth.signed_headers(auth.headers_to_sign(request))
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260102/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    path, _, query = target.partition("?")
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    return RequestHead(method.encode(), path.encode(), query.encode(), raw)


def refused(head: RequestHead) -> S3Error:
    """As the data plane refuses it, before anybody asks why."""
    trust = Trust(sessions=SEALER, issuers={}, known_key=lambda _issuer, _key_id: None)
    with pytest.raises(S3Error) as caught:
        authenticate(head, INDEX, now=NOW, keys=SigningKeys(), trust=trust)
    assert caught.value.code == "SignatureDoesNotMatch"
    return caught.value


def diagnosed(head: RequestHead) -> Diagnosis:
    found = diagnose(refused(head), head, INDEX, SEALER, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("head", "component", "says"),
    [
        (signed_otherwise(instead("GET", "HEAD")), "method", '"HEAD"'),
        (signed_otherwise(instead("%20", "%2520")), "path", "twice"),
        (signed_otherwise(instead("a%20b", "a b")), "path", "without percent-encoding"),
        (signed_otherwise(instead("a%20b", "a+b")), "path", '"+" for a space'),
        (
            signed_otherwise(instead("a%2Cb", "a%2cb"), target="/reports/a%2Cb"),
            "path",
            "lower-case",
        ),
        (
            signed_otherwise(instead("/a//./b", "/a/b"), target="/reports/a//./b"),
            "path",
            "normalised",
        ),
        (signed_otherwise(instead("/a%20b\n", "/a%20b/\n")), "path", '"/" at its end'),
        (signed_otherwise(instead("/reports", "")), "path", "without the bucket"),
        (
            signed_otherwise(instead("a/b", "a%2Fb"), target="/reports/a/b"),
            "path",
            '"%2F"',
        ),
        (
            signed_otherwise(
                instead("list-type=2&max-keys=1", "max-keys=1&list-type=2"),
                target="/reports?max-keys=1&list-type=2",
            ),
            "query",
            "not sorted",
        ),
        (
            signed_otherwise(instead("uploads=", "uploads"), target="/reports?uploads"),
            "query",
            "was sent",
        ),
        (signed_otherwise(target="/reports?prefix=a+b"), "query", "was sent"),
        (
            signed_otherwise(instead("a+b", "a%2Bb"), target="/reports?prefix=a+b"),
            "query",
            '"+" for a plus sign',
        ),
        (
            signed_otherwise(instead("&x-id=GetObject", ""), target="/r?a=b&x-id=GetObject"),
            "query",
            'the parameter "x-id"',
        ),
        (
            signed_otherwise(instead("a=b", ""), target="/r?a=b"),
            "query",
            "not signed at all",
        ),
        (signed_otherwise(instead(HOST, "gateway")), "header host", '"gateway"; "gateway:9000"'),
        (signed_otherwise(instead(HOST, "gateway:443")), "header host", '"gateway:443"'),
        (signed_otherwise(instead(HOST, "s3.example.com")), "header host", '"s3.example.com"'),
        (
            signed_otherwise(
                instead(HOST, "public.example.com:8443"),
                headers=(
                    ("X-Forwarded-Host", "public.example.com"),
                    ("X-Forwarded-Port", "8443"),
                ),
            ),
            "header host",
            '"public.example.com:8443"',
        ),
        (
            signed_otherwise(
                lambda text: instead("/reports", "")(instead(HOST, f"reports.{HOST}")(text))
            ),
            "header host",
            "without the bucket in the path",
        ),
        (
            signed_otherwise(
                instead("accept-encoding:gzip", "accept-encoding:identity"),
                headers=(("Accept-Encoding", "gzip"),),
            ),
            "header accept-encoding",
            '"identity"',
        ),
        (
            signed_otherwise(
                instead("text/plain", "text/plain; charset=utf-8"),
                headers=(("Content-Type", "text/plain"),),
            ),
            "header content-type",
            "charset",
        ),
        (
            signed_otherwise(
                instead("x-amz-meta-a:1,2", "x-amz-meta-a:1, 2"),
                headers=(("X-Amz-Meta-A", "1,2"),),
            ),
            "header x-amz-meta-a",
            "between its values",
        ),
        (
            signed_otherwise(
                instead("content-md5:abc", "content-md5:"), headers=(("Content-MD5", "abc"),)
            ),
            "header content-md5",
            "empty",
        ),
        (
            signed_otherwise(
                lambda text: text.removesuffix("UNSIGNED-PAYLOAD") + hashlib.sha256(b"").hexdigest()
            ),
            "payload hash",
            "e3b0c442",
        ),
        (signed_otherwise(scope=("eu-west-1", "s3")), "credential scope", '"eu-west-1"'),
        (signed_otherwise(scope=("us-east-1", "execute-api")), "credential scope", "execute-api"),
        (signed_otherwise(secret=f"{SECRET}\n"), "secret access key", "line break"),
        (signed_otherwise(secret=f'"{SECRET}"'), "secret access key", "quotes"),
        (signed_otherwise(secret="another"), "unknown", "another one"),
    ],
)
def test_the_first_component_that_differs_is_named(
    head: RequestHead, component: str, says: str
) -> None:
    found = diagnosed(head)
    assert found.component == component
    assert found.error.fields["FirstDifference"] == component
    assert says in found.error.message


def test_the_answer_has_what_aws_answers_with() -> None:
    found = diagnosed(signed_otherwise(instead(HOST, "gateway"))).error
    assert found.fields["AWSAccessKeyId"] == KEY_ID
    assert found.fields["CanonicalRequest"].startswith(f"GET\n/reports/a%20b\n\nhost:{HOST}\n")
    digest = hashlib.sha256(found.fields["CanonicalRequest"].encode()).hexdigest()
    assert found.fields["StringToSign"].endswith(f"/us-east-1/s3/aws4_request\n{digest}")


def test_neither_a_secret_nor_any_signature_is_told() -> None:
    secrets = (
        ("X-Amz-Security-Token", SEALER.seal(SESSION)),
        ("X-Amz-Server-Side-Encryption-Customer-Key", "Y3VzdG9tZXI="),
        ("X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key", "c291cmNl"),
        ("Cookie", "login=1"),
    )
    secret = SESSION.secret_access_key.reveal()
    head = signed_otherwise(instead("GET", "PUT"), headers=secrets, secret=secret)
    authorization = head.get(b"authorization") or b""
    claimed = authorization.replace(KEY_ID.encode(), SESSION.access_key_id.encode())
    raw = [(name, claimed if name == b"authorization" else v) for name, v in head.headers]
    found = diagnosed(RequestHead(head.method, head.raw_path, head.raw_query, raw))
    assert found.component == "method"
    told = f"{found.error.message} {found.error.fields}"
    for value in (secret, *(value for _, value in secrets)):
        assert value not in told
    right = signed_otherwise(headers=secrets, secret=secret).get(b"authorization") or b""
    for authorization in (claimed, right):
        assert authorization.rpartition(b"=")[2].decode() not in told
    assert "x-amz-security-token:<redacted>" in found.error.fields["CanonicalRequest"]


def test_a_presigned_url_is_diagnosed_without_its_session_token() -> None:
    query = presigned(X_Amz_Expires="60").replace(b"X-Amz-Expires=60", b"X-Amz-Expires=61")
    head = RequestHead(b"GET", b"/reports/a%20b.csv", query, [(b"host", b"gateway:9000")])
    found = diagnosed(head)
    assert found.component == "unknown"
    assert "X-Amz-Signature" not in found.error.fields["CanonicalRequest"]
    head = RequestHead(b"PUT", b"/reports/a%20b.csv", presigned(), [(b"host", b"gateway:9000")])
    assert diagnosed(head).component == "method"


def test_the_token_in_a_presigned_query_is_not_told() -> None:
    token = SEALER.seal(SESSION)
    query = presigned(X_Amz_Security_Token=token)
    head = RequestHead(b"GET", b"/reports/a%20b.csv", query, [(b"host", b"gateway:9000")])
    found = diagnose(s3_error("SignatureDoesNotMatch"), head, INDEX, SEALER, NOW)
    assert found is not None
    assert quote(token, safe="") in query.decode()
    told = found.error.fields["CanonicalRequest"]
    assert "&X-Amz-Security-Token=<redacted>&" in told
    assert quote(token, safe="") not in told


def test_a_right_head_means_that_a_chunk_is_wrong() -> None:
    head = signed_otherwise()
    found = diagnose(s3_error("SignatureDoesNotMatch"), head, INDEX, SEALER, NOW)
    assert found is not None
    assert found.component == "chunk signature"
    assert "CanonicalRequest" not in found.error.fields


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(b"GET", b"/", b"", [(b"host", b"gateway:9000")]),
        RequestHead(b"GET", b"/", b"", [(b"host", b"x"), (b"authorization", b"AWS4-HMAC-SHA256")]),
    ],
    ids=["not signed", "malformed"],
)
def test_what_has_no_claim_has_no_diagnosis(head: RequestHead) -> None:
    assert diagnose(s3_error("SignatureDoesNotMatch"), head, INDEX, SEALER, NOW) is None


def test_a_key_that_has_just_gone_has_no_diagnosis() -> None:
    empty = RouteIndex(Snapshot(settings=SETTINGS), SnapshotSecrets())
    head = signed_otherwise(instead(HOST, "gateway"))
    assert diagnose(s3_error("SignatureDoesNotMatch"), head, empty, SEALER, NOW) is None


def test_a_head_that_is_too_large_to_guess_about_is_returned_all_the_same() -> None:
    large = (("X-Amz-Meta-A", "x" * MAX_EXPLAINED_BYTES),)
    found = diagnosed(signed_otherwise(instead("GET", "HEAD"), headers=large))
    assert found.component == "unknown"
    assert found.error.fields["CanonicalRequest"].startswith("GET")
