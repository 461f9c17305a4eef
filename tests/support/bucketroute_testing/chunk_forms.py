"""Every way in which S3 clients frame an upload in chunks, as a table and as a request on the wire.

Who sends which: minio-go, the Java and the .NET SDK the signed ones over http; botocore over https
the unsigned trailer inside Transfer-Encoding: chunked, with no Content-Length at all.
"""

import base64
import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bucketroute_testing.clients import RawClient, RawResponse, object_url
from bucketroute_testing.signing import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
    UNSIGNED_TRAILER,
    AccessKey,
    ChunkedBody,
    SignedHead,
    Signer,
    http_chunked,
)
from bucketroute_testing.wire_types import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkForm:
    """One way of framing an upload: the payload hash sentinel, a trailer or none, the HTTP framing
    around it.
    """

    sentinel: str
    has_trailer: bool
    is_http_chunked: bool


CHUNK_FORMS = {
    f"{name}{'-te' if is_http_chunked else ''}": ChunkForm(
        sentinel=sentinel, has_trailer=has_trailer, is_http_chunked=is_http_chunked
    )
    for name, sentinel, has_trailer in (
        ("signed", SIGNED_CHUNKS, False),
        ("signed-trailer", SIGNED_CHUNKS_TRAILER, True),
        ("unsigned-trailer", UNSIGNED_TRAILER, True),
    )
    for is_http_chunked in (False, True)
}


def crc32_of(payload: bytes) -> str:
    """The value of `x-amz-checksum-crc32`: base64 of the big-endian CRC-32."""
    return base64.b64encode(zlib.crc32(payload).to_bytes(4, "big")).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedUpload:
    """A PutObject, or with a `query` an UploadPart, in one of the forms.

    `crc32` and `decoded_length` override what the headers and the trailer claim of the payload.
    """

    form: ChunkForm
    key: AccessKey
    bucket: str
    payload: bytes
    object_key: str = "chunked.bin"
    query: str = ""
    chunk_bytes: int = 64 * 1024
    crc32: str | None = None
    decoded_length: int | None = None
    headers: Headers = ()

    def send(
        self,
        endpoint: str,
        *,
        ca: Path | None = None,
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> RawResponse:
        """Sign and send it on a connection of its own; `spoil` changes the body after signing."""
        url = object_url(endpoint, self.bucket, self.object_key, self.query)
        body = self._body()
        seed = self._sign(url, body)
        data = spoil(
            body.unsigned() if self.form.sentinel == UNSIGNED_TRAILER else body.signed(seed)
        )
        is_te = self.form.is_http_chunked
        framing = ("Transfer-Encoding", "chunked") if is_te else ("Content-Length", str(len(data)))
        with RawClient(endpoint, ca=ca) as raw:
            raw.send_head("PUT", url.removeprefix(endpoint), (*seed.headers, framing))
            # Refused before the end of the body, the answer is there to be read all the same.
            with contextlib.suppress(ConnectionError):
                raw.send(http_chunked(data) if is_te else data)
            return raw.read_response("PUT")

    def _body(self) -> ChunkedBody:
        crc32 = self.crc32 or crc32_of(self.payload)
        trailer = ("x-amz-checksum-crc32", crc32) if self.form.has_trailer else None
        return ChunkedBody(payload=self.payload, chunk_bytes=self.chunk_bytes, trailer=trailer)

    def _sign(self, url: str, body: ChunkedBody) -> SignedHead:
        headers = dict(body.headers())
        if self.decoded_length is not None:
            headers["X-Amz-Decoded-Content-Length"] = str(self.decoded_length)
        return Signer(key=self.key).sign(
            "PUT",
            url,
            headers=(*headers.items(), *self.headers),
            payload_hash=self.form.sentinel,
        )
