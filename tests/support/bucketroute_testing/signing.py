"""SigV4 made by hand for raw requests: seeds, presigned URLs and every aws-chunked form.

Written without the product's own signer, so that the two can disagree: the canonical request comes
from botocore's public `S3SigV4Auth` methods, the chunk signatures from AWS's "Signature
calculations: transferring payload in multiple chunks". Values can be made wrong on purpose; that is
what the parameters are for.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bucketroute_testing.wire_types import Headers, RequestHead

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A caller's key pair, with the session token of temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The headers of a signed request and what its chunks have to be signed with."""

    headers: Headers
    signature: str
    signing_key: bytes
    timestamp: str
    credential_scope: str

    def header_dict(self) -> dict[str, str]:
        return dict(self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs requests as one caller. `service` and `region` are the credential scope's."""

    key: AccessKey
    region: str = "us-east-1"
    service: str = "s3"

    def sign(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        payload_hash: str = UNSIGNED_PAYLOAD,
        at: datetime | None = None,
    ) -> SignedHead:
        """Sign a request whose URL is written as it goes on the wire.

        Args:
            headers: signed and sent in addition to Host, X-Amz-Date, X-Amz-Content-SHA256 and the
                session token.
            payload_hash: the value of X-Amz-Content-SHA256: a hex SHA-256 or a sentinel.
            at: the time of signing; None is now.
        """
        timestamp = (at or datetime.now(UTC)).strftime(_TIMESTAMP)
        sent = {
            "Host": urlsplit(url).netloc,
            "X-Amz-Date": timestamp,
            "X-Amz-Content-SHA256": payload_hash,
            **dict(headers),
        }
        if self.key.session_token is not None:
            sent["X-Amz-Security-Token"] = self.key.session_token
        request = AWSRequest(method=method, url=url, headers=sent)
        request.context["timestamp"] = timestamp
        auth = self._auth()
        to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        signature: str = auth.signature(to_sign, request)
        names = auth.signed_headers(auth.headers_to_sign(request))
        sent["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return SignedHead(
            headers=tuple(sent.items()),
            signature=signature,
            signing_key=signing_key(
                self.key.secret_access_key, timestamp[:8], self.region, self.service
            ),
            timestamp=timestamp,
            credential_scope=auth.credential_scope(request),
        )

    def _auth(self) -> S3SigV4Auth:
        key = self.key
        credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
        return S3SigV4Auth(credentials, self.service, self.region)


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """The derived key of a credential scope. Source: AWS "Create a signed request", step 4."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def is_signed_by(head: RequestHead, secret_access_key: str) -> bool:
    """Whether a recorded request carries a right header signature of this secret, over the bytes
    that arrived.
    """
    fields = dict(
        part.strip().partition("=")[::2]
        for part in (head.header("authorization") or "").partition(" ")[2].split(",")
    )
    if not fields.get("Credential"):
        return False
    _, date, region, service, _ = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    canonical_headers = "".join(f"{name}:{head.header(name) or ''}\n" for name in names)
    flat_query = head.target.partition("?")[2].split("&")
    pairs = sorted(part if "=" in part else f"{part}=" for part in flat_query if part)
    canonical = "\n".join(
        [
            head.method,
            head.path,
            "&".join(pairs),
            canonical_headers,
            fields["SignedHeaders"],
            head.header("x-amz-content-sha256") or "",
        ]
    )
    to_sign = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            head.header("x-amz-date") or "",
            f"{date}/{region}/{service}/aws4_request",
            hashlib.sha256(canonical.encode("latin-1")).hexdigest(),
        ]
    )
    key = signing_key(secret_access_key, date, region, service)
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return hmac.compare_digest(expected, fields["Signature"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedBody:
    """How an aws-chunked body is made of its payload: chunk size, signatures, trailing checksum
    header.
    """

    payload: bytes
    chunk_bytes: int = 64 * 1024
    trailer: tuple[str, str] | None = None

    def pieces(self) -> list[bytes]:
        size = self.chunk_bytes
        return [self.payload[start : start + size] for start in range(0, len(self.payload), size)]

    def unsigned(self) -> bytes:
        """The body of STREAMING-UNSIGNED-PAYLOAD-TRAILER."""
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.pieces()]
        return b"".join([*chunks, b"0\r\n", self._trailer_line(), b"\r\n"])

    def signed(self, seed: SignedHead) -> bytes:
        """The body of STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or of -TRAILER when a trailer is set."""
        previous = seed.signature
        out: list[bytes] = []
        for piece in [*self.pieces(), b""]:
            hashes = f"{EMPTY_SHA256}\n{hashlib.sha256(piece).hexdigest()}"
            previous = _chunk_signature(seed, "PAYLOAD", previous, hashes)
            out.append(f"{len(piece):x};chunk-signature={previous}\r\n".encode())
            if piece:
                out += [piece, b"\r\n"]
        if self.trailer is not None:
            name, value = self.trailer
            hashed = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
            signature = _chunk_signature(seed, "TRAILER", previous, hashed)
            out += [self._trailer_line(), f"x-amz-trailer-signature:{signature}\r\n".encode()]
        return b"".join([*out, b"\r\n"])

    def headers(self) -> Headers:
        """The headers that announce the framing; the payload hash and Content-Length are the
        caller's.
        """
        announced: Headers = (
            ("Content-Encoding", "aws-chunked"),
            ("X-Amz-Decoded-Content-Length", str(len(self.payload))),
        )
        return (
            announced if self.trailer is None else (*announced, ("X-Amz-Trailer", self.trailer[0]))
        )

    def with_chunk_bytes(self, chunk_bytes: int) -> "ChunkedBody":
        return replace(self, chunk_bytes=chunk_bytes)

    def _trailer_line(self) -> bytes:
        return b"" if self.trailer is None else "{}:{}\r\n".format(*self.trailer).encode()


def _chunk_signature(seed: SignedHead, kind: str, previous: str, hashes: str) -> str:
    to_sign = "\n".join(
        [f"AWS4-HMAC-SHA256-{kind}", seed.timestamp, seed.credential_scope, previous, hashes]
    )
    return hmac.digest(seed.signing_key, to_sign.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedChunks:
    """What an aws-chunked body says: its payload and its trailing headers, names in lower case."""

    payload: bytes
    trailers: dict[str, str]


def decode_aws_chunked(body: bytes) -> DecodedChunks:
    """Take the framing off. Signatures are not checked here.

    Raises:
        ValueError: the framing is not aws-chunked, or ends early.
    """
    payload: list[bytes] = []
    position = 0
    while True:
        end = body.index(b"\r\n", position)
        length = int(body[position:end].split(b";")[0], 16)
        position = end + 2
        if length == 0:
            break
        payload.append(body[position : position + length])
        position += length
        if body[position : position + 2] != b"\r\n":
            raise ValueError(f"no CRLF after the chunk at byte {position}")
        position += 2
    return DecodedChunks(payload=b"".join(payload), trailers=_trailers(body[position:]))


def _trailers(rest: bytes) -> dict[str, str]:
    lines = (line for line in rest.decode("latin-1").split("\r\n") if line)
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def http_chunked(body: bytes, *, chunk_bytes: int = 8192) -> bytes:
    """The body in Transfer-Encoding: chunked, cut without regard to what is inside."""
    return join_http_chunks(
        body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)
    )


def join_http_chunks(pieces: Iterable[bytes]) -> bytes:
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return b"".join([*chunks, b"0\r\n\r\n"])
