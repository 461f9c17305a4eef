"""Just enough S3 in memory for ordinary clients, with any key bytes: `a//b`, `dir/`, `../x` are
keys like others.

Object operations, multipart and copy are here; listings and the batch delete, which speak XML, are
in `wire_store_xml`. Buckets exist as soon as they are named. No versions, no access rules, no
signature check.
"""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote
from xml.sax.saxutils import escape

from bucketroute_testing import wire_store_xml
from bucketroute_testing.signing import decode_aws_chunked
from bucketroute_testing.wire_types import (
    Answer,
    Headers,
    RecordedRequest,
    RequestHead,
    StoredObject,
    s3_error,
)

_KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
)


@dataclass(slots=True)
class _Upload:
    bucket: str
    key: str
    headers: Headers
    parts: dict[int, StoredObject] = field(default_factory=dict)


class MemoryStore:
    """Buckets of objects; `answer` serves one recorded request."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, StoredObject]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._serials = itertools.count(1)

    def put(self, bucket: str, key: str, body: bytes, *, headers: Headers = ()) -> StoredObject:
        """Store an object directly, as a test's arrangement."""
        stored = _stored(body, headers)
        self.buckets.setdefault(bucket, {})[key] = stored
        return stored

    def keys(self, bucket: str) -> list[str]:
        """The keys of a bucket in S3's order: by their UTF-8 bytes."""
        return sorted(self.buckets.get(bucket, {}), key=str.encode)

    def answer(self, request: RecordedRequest) -> Answer:
        """S3's answer to a request whose body is complete."""
        bucket, key = request.head.bucket_and_key
        objects = self.buckets.setdefault(bucket, {})
        serve = self._object_operation(request) if key else self._bucket_operation(request)
        if serve is None:
            return s3_error(501, "NotImplemented")
        answer = serve(request, objects)
        identity: Headers = (
            ("x-amz-request-id", f"BACKEND{next(self._serials):09d}"),
            ("x-amz-id-2", "backend-host-id"),
            ("Server", "backend-server"),
        )
        return Answer(status=answer.status, headers=(*answer.headers, *identity), body=answer.body)

    def _object_operation(self, request: RecordedRequest) -> "_Operation | None":
        head = request.head
        is_part = "uploadId" in head.query
        table: dict[tuple[str, bool], _Operation] = {
            ("GET", False): self._get,
            ("HEAD", False): self._get,
            ("PUT", False): self._put,
            ("PUT", True): self._upload_part,
            ("DELETE", False): self._delete,
            ("DELETE", True): self._abort,
            ("POST", True): self._complete,
        }
        if head.method == "POST" and "uploads" in head.query:
            return self._create_upload
        return table.get((head.method, is_part))

    def _bucket_operation(self, request: RecordedRequest) -> "_Operation | None":
        match request.head.method:
            case "GET":
                return wire_store_xml.list_objects
            case "POST" if "delete" in request.head.query:
                return wire_store_xml.delete_objects
            case "PUT" | "HEAD":
                return lambda *_: Answer()
        return None

    def _get(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        stored = objects.get(request.head.bucket_and_key[1])
        if stored is None:
            return s3_error(404, "NoSuchKey")
        if (request.head.header("if-match") or stored.etag) not in (stored.etag, "*"):
            return s3_error(412, "PreconditionFailed")
        if request.head.header("if-none-match") in (stored.etag, "*"):
            return Answer(status=304, headers=(("ETag", stored.etag),))
        headers = (
            *stored.headers,
            ("ETag", stored.etag),
            ("Last-Modified", format_datetime(stored.modified, usegmt=True)),
            ("Accept-Ranges", "bytes"),
        )
        return _ranged(stored.body, request.head.header("range"), headers)

    def _put(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        bucket, key = request.head.bucket_and_key
        if request.head.header("if-none-match") == "*" and key in objects:
            return s3_error(412, "PreconditionFailed")
        source = self._copy_source(request.head)
        if source is not None:
            objects[key] = _stored(source.body, source.headers)
            return _copied("CopyObjectResult", objects[key])
        body = payload_of(request)
        stored = self.put(bucket, key, body, headers=_kept_headers(request.head))
        return Answer(headers=(("ETag", stored.etag),))

    def _copy_source(self, head: RequestHead) -> StoredObject | None:
        source = head.header("x-amz-copy-source")
        if source is None:
            return None
        bucket, _, key = unquote(source.partition("?")[0]).removeprefix("/").partition("/")
        return self.buckets[bucket][key]

    def _delete(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        objects.pop(request.head.bucket_and_key[1], None)
        return Answer(status=204)

    def _create_upload(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        del objects
        bucket, key = request.head.bucket_and_key
        upload_id = f"upload+{next(self._serials)}/="
        self._uploads[upload_id] = _Upload(
            bucket=bucket, key=key, headers=_kept_headers(request.head)
        )
        return wire_store_xml.document(
            "InitiateMultipartUploadResult",
            f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key>"
            f"<UploadId>{escape(upload_id)}</UploadId>",
        )

    def _upload_part(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        del objects
        upload = self._uploads.get(request.head.query["uploadId"])
        if upload is None:
            return s3_error(404, "NoSuchUpload")
        number = int(request.head.query["partNumber"])
        source = self._copy_source(request.head)
        if source is not None:
            wanted = request.head.header("x-amz-copy-source-range")
            upload.parts[number] = _stored(_ranged(source.body, wanted, ()).body, ())
            return _copied("CopyPartResult", upload.parts[number])
        upload.parts[number] = _stored(payload_of(request), ())
        return Answer(headers=(("ETag", upload.parts[number].etag),))

    def _complete(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        upload = self._uploads.get(request.head.query["uploadId"])
        if upload is None:
            return s3_error(404, "NoSuchUpload")
        named = wire_store_xml.completed_parts(request.body)
        if not named or any(number not in upload.parts for number in named):
            return s3_error(400, "InvalidPart")
        parts = [upload.parts[number] for number in named]
        digest = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts))
        stored = StoredObject(
            body=b"".join(part.body for part in parts),
            etag=f'"{digest.hexdigest()}-{len(parts)}"',
            headers=upload.headers,
            modified=datetime.now(UTC),
        )
        objects[upload.key] = stored
        del self._uploads[request.head.query["uploadId"]]
        return wire_store_xml.document(
            "CompleteMultipartUploadResult",
            f"<Location>http://backend-host/{escape(upload.bucket)}/x</Location>"
            f"<Bucket>{escape(upload.bucket)}</Bucket><Key>{escape(upload.key)}</Key>"
            f"<ETag>{escape(stored.etag)}</ETag>",
        )

    def _abort(self, request: RecordedRequest, objects: "_Objects") -> Answer:
        del objects
        upload = self._uploads.pop(request.head.query["uploadId"], None)
        return s3_error(404, "NoSuchUpload") if upload is None else Answer(status=204)


_Objects = dict[str, StoredObject]
_Operation = Callable[[RecordedRequest, _Objects], Answer]


def payload_of(request: RecordedRequest) -> bytes:
    """The object bytes of an upload: the body, without aws-chunked framing where the request
    declares it.
    """
    if (request.head.header("x-amz-content-sha256") or "").startswith("STREAMING-"):
        return decode_aws_chunked(request.body).payload
    return request.body


def _stored(body: bytes, headers: Headers) -> StoredObject:
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    return StoredObject(body=body, etag=etag, headers=headers, modified=datetime.now(UTC))


def _kept_headers(head: RequestHead) -> Headers:
    kept = [
        (name.lower(), value)
        for name, value in head.headers
        if name.lower() in _KEPT_HEADERS or name.lower().startswith("x-amz-meta-")
    ]
    codings = [coding.strip() for coding in (head.header("content-encoding") or "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "aws-chunked")]
    return (*kept, ("content-encoding", ", ".join(codings))) if codings else tuple(kept)


def _ranged(body: bytes, wanted: str | None, headers: Headers) -> Answer:
    if wanted is None:
        return Answer(headers=headers, body=body)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(len(body) - int(last), 0)
    end = min(int(last), len(body) - 1) if first and last else len(body) - 1
    if start > end:
        return s3_error(416, "InvalidRange")
    content_range = ("Content-Range", f"bytes {start}-{end}/{len(body)}")
    return Answer(status=206, headers=(*headers, content_range), body=body[start : end + 1])


def _copied(root: str, stored: StoredObject) -> Answer:
    modified = stored.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    inner = f"<LastModified>{modified}</LastModified><ETag>{escape(stored.etag)}</ETag>"
    return wire_store_xml.document(root, inner)
