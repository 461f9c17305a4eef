"""Which headers cross the proxy, in both directions. Allow-lists in, a deny-list out.

Everything that is forwarded to the backend is signed. What is in no list is dropped: hop-by-hop
headers, cookies, the client's own credentials, `x-forwarded-*`, `Accept-Encoding` (a backend must
not compress what we stream) and whatever a future SDK invents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.messages import Header, Headers, RequestHead
from bucketroute_dataplane.core.operations import Operation

MAX_METADATA_BYTES = 2048  # AWS "Working with object metadata"

_SSE_CUSTOMER = b"x-amz-server-side-encryption-customer-"
_SSE_CUSTOMER_MD5 = _SSE_CUSTOMER + b"key-md5"
_COPY_SSE_CUSTOMER = b"x-amz-copy-source-server-side-encryption-customer-"


def _names(text: bytes) -> frozenset[bytes]:
    return frozenset(text.split())


_EVERY = _names(b"x-amz-request-payer x-amz-expected-bucket-owner")
_CONDITIONS = _names(b"if-match if-none-match")
_READ = _CONDITIONS | _names(
    b"range if-range if-modified-since if-unmodified-since x-amz-checksum-mode"
)
_DESCRIPTION = _names(
    b"cache-control content-disposition content-encoding content-language content-type expires "
    b"x-amz-storage-class x-amz-tagging x-amz-website-redirect-location x-amz-acl"
)
_INTEGRITY = _names(b"content-md5 x-amz-sdk-checksum-algorithm")
_COPY = _names(
    b"x-amz-metadata-directive x-amz-tagging-directive x-amz-copy-source-range "
    b"x-amz-source-expected-bucket-owner"
)

# Operation → names and prefixes that it forwards, beside _EVERY. `x-amz-checksum-` is an open
# set: SDKs keep adding algorithms, and the backend is the one to judge them.
_OF_OPERATION: Mapping[str, tuple[frozenset[bytes], tuple[bytes, ...]]] = {
    "ListObjects": (_names(b"x-amz-optional-object-attributes"), ()),
    "ListObjectsV2": (_names(b"x-amz-optional-object-attributes"), ()),
    "ListObjectVersions": (_names(b"x-amz-optional-object-attributes"), ()),
    "ListMultipartUploads": (frozenset(), ()),
    "DeleteObjects": (frozenset(), ()),
    "GetObject": (_READ, (_SSE_CUSTOMER,)),
    "HeadObject": (_READ, (_SSE_CUSTOMER,)),
    "GetObjectAttributes": (
        _names(b"x-amz-object-attributes x-amz-max-parts x-amz-part-number-marker"),
        (_SSE_CUSTOMER,),
    ),
    "GetObjectTagging": (frozenset(), ()),
    "PutObjectTagging": (_INTEGRITY | _names(b"content-type"), (b"x-amz-checksum-",)),
    "DeleteObjectTagging": (frozenset(), ()),
    "PutObject": (
        _CONDITIONS | _DESCRIPTION | _INTEGRITY,
        (b"x-amz-meta-", b"x-amz-checksum-", b"x-amz-server-side-encryption"),
    ),
    "CopyObject": (
        _CONDITIONS | _DESCRIPTION | _COPY,
        (
            b"x-amz-meta-",
            b"x-amz-checksum-",
            b"x-amz-server-side-encryption",
            b"x-amz-copy-source-if-",
            _COPY_SSE_CUSTOMER,
        ),
    ),
    "DeleteObject": (_names(b"if-match"), (b"x-amz-if-match-",)),
    "CreateMultipartUpload": (
        _DESCRIPTION | _names(b"x-amz-sdk-checksum-algorithm"),
        (b"x-amz-meta-", b"x-amz-checksum-", b"x-amz-server-side-encryption"),
    ),
    "UploadPart": (_INTEGRITY, (b"x-amz-checksum-", _SSE_CUSTOMER)),
    "UploadPartCopy": (
        _names(b"x-amz-copy-source-range x-amz-source-expected-bucket-owner"),
        (b"x-amz-copy-source-if-", _COPY_SSE_CUSTOMER, _SSE_CUSTOMER),
    ),
    "CompleteMultipartUpload": (
        _CONDITIONS | _INTEGRITY | _names(b"content-type x-amz-mp-object-size"),
        (b"x-amz-checksum-", _SSE_CUSTOMER),
    ),
    "AbortMultipartUpload": (_names(b"x-amz-if-match-initiated-time"), ()),
    "ListParts": (frozenset(), (_SSE_CUSTOMER,)),
}
_ALLOWED = {name: (names | _EVERY, prefixes) for name, (names, prefixes) in _OF_OPERATION.items()}

# Canned ACLs that keep the object private to its owners; any other would publish it.
_PRIVATE_ACLS = _names(b"private bucket-owner-full-control bucket-owner-read")
# Forwarded by what they hold (see `_checked_special`).
_SPECIAL = _names(b"content-encoding x-amz-acl")
# A header's value is visible text, spaces and tabs (RFC 9110 §5.5). The client leg's parser refuses
# the rest already; here no parser's leniency can put a line end into a backend's request.
_find_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
# A header's name is a token (RFC 9110 §5.6.2), here in lower case.
_is_token = re.compile(rb"[a-z0-9!#$%&'*+\-.^_`|~]+").fullmatch
# Dropping one of these would change what the request means, so it is refused instead.
_REFUSED_PREFIXES = (b"x-amz-grant-", b"x-amz-object-lock-")

# Response headers that stop here, each group with its reason.
_RESPONSE_DENIED = (
    # hop-by-hop (RFC 9110 §7.6.1), or a matter between the proxy and the backend
    _names(
        b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade "
        b"proxy-authenticate proxy-authorization www-authenticate alt-svc "
        b"strict-transport-security content-security-policy"
    )
    # set anew by the proxy
    | _names(b"date server server-timing x-amz-request-id x-amz-id-2 x-amzn-requestid x-amz-cf-id")
    # names the backend, its account or its network
    | _names(
        b"location set-cookie forwarded via x-forwarded-for x-forwarded-host x-forwarded-port "
        b"x-forwarded-proto x-amz-bucket-region x-amz-access-point-alias "
        b"x-amz-server-side-encryption-aws-kms-key-id x-ms-encryption-key-sha256 "
        b"x-goog-encryption-key-sha256"
    )
    # replaced by the client's own value (see `response_headers`)
    | frozenset((_SSE_CUSTOMER_MD5,))
)
# The last: which pages may read an answer is the route's to say (cors.py), and two values are none.
_RESPONSE_DENIED_PREFIXES = (b"x-minio-", b"x-rgw-", b"x-guploader-", b"access-control-")


def forwarded_headers(
    operation: Operation, head: RequestHead, *, backend_is_tls: bool
) -> list[Header]:
    """The client's headers that go to the backend, in their order.

    `aws-chunked` is taken out of Content-Encoding: it is framing, and stored with the object it
    would make strict clients fail on every later read.

    Raises: S3Error MetadataTooLarge; NotImplemented for what cannot be dropped silently;
    InvalidRequest for a customer's encryption key on its way to a plaintext backend, and for a
    value that holds a control character.
    """
    names, prefixes = _ALLOWED[operation.name]
    forwarded = []
    metadata_bytes = 0
    for header in head.headers:
        name, value = header
        if name in names or (prefixes and name.startswith(prefixes)):
            check_name(name)
            check_value(value)
            if name.startswith(b"x-amz-meta-"):
                metadata_bytes += len(name) - len(b"x-amz-meta-") + len(value)
            elif name in _SPECIAL:
                value = _checked_special(name, value)
                if not value:
                    continue
                header = (name, value)
            forwarded.append(header)
        elif name.startswith(_REFUSED_PREFIXES):
            raise s3_error("NotImplemented", f"The header {name.decode()} is not implemented.")
    if metadata_bytes > MAX_METADATA_BYTES:
        raise s3_error("MetadataTooLarge")
    if not backend_is_tls:
        _refuse_customer_keys(forwarded)
    return forwarded


def is_plainly_forwarded(operation: Operation, name: bytes) -> bool:
    """Whether a header of that name either goes on with any value, or is dropped whatever it is."""
    if name.startswith((b"x-amz-meta-", _SSE_CUSTOMER, _COPY_SSE_CUSTOMER, *_REFUSED_PREFIXES)):
        return False
    if name == b"x-amz-tagging":  # it takes a permission of its own
        return False
    names, _ = _ALLOWED[operation.name]
    return name not in _SPECIAL or name not in names


def check_name(name: bytes) -> None:
    """Raises: S3Error InvalidRequest for what is no header's name."""
    if not _is_token(name):
        raise s3_error("InvalidRequest", "The name of a header holds a character that none may.")


def has_control(value: bytes) -> bool:
    """Whether a header's value holds a character that no header may hold."""
    return _find_control(value) is not None


def check_value(value: bytes) -> None:
    """Raises: S3Error InvalidRequest for a header value that holds a control character."""
    if has_control(value):
        raise s3_error("InvalidRequest", "A header holds a control character.")


def _checked_special(name: bytes, value: bytes) -> bytes:
    """What goes out of the two headers whose value decides; empty for nothing.

    A header that repeats is looked at each time: a public ACL must not hide behind a private one.
    """
    if name == b"content-encoding":
        return without_aws_chunked(value)
    if value not in _PRIVATE_ACLS:
        raise s3_error("NotImplemented", "Only private canned ACLs are supported.")
    return value


def _refuse_customer_keys(forwarded: Headers) -> None:
    if any(name.startswith((_SSE_CUSTOMER, _COPY_SSE_CUSTOMER)) for name, _ in forwarded):
        raise s3_error(
            "InvalidRequest",
            "Requests with a customer-provided encryption key need a backend that is reached by "
            "a secure connection.",
        )


def response_headers(backend: Headers, head: RequestHead) -> Iterator[Header]:
    """What of a backend's response headers the client sees; repeated headers stay repeated.

    The customer-key digest is answered with the client's own value, which SDKs compare.
    """
    for header in backend:
        name = header[0]
        if name not in _RESPONSE_DENIED and not name.startswith(_RESPONSE_DENIED_PREFIXES):
            yield header
        elif name == _SSE_CUSTOMER_MD5:
            own = head.get(name)
            if own is not None:
                yield (name, own)


@lru_cache(maxsize=256)
def passing_headers(names: tuple[bytes, ...]) -> tuple[int, ...] | None:
    """Which of a backend's response headers `response_headers` lets through, by their names alone.

    Content-Length is left out: it is framing. None where the client's own headers have a say.
    """
    if _SSE_CUSTOMER_MD5 in names:
        return None
    nobody = RequestHead(b"", b"", b"", ())
    return tuple(
        index
        for index, name in enumerate(names)
        if name != b"content-length" and any(response_headers([(name, b"")], nobody))
    )


def without_aws_chunked(value: bytes) -> bytes:
    """A Content-Encoding value less the `aws-chunked` token, which is framing and no coding."""
    codings = [coding.strip() for coding in value.split(b",")]
    return b",".join(c for c in codings if c and c.lower() != b"aws-chunked")
