"""XML answers about one object, and error documents: the backend's names → the client's.

Elements that are not known are kept unless they mention the backend's bucket, prefix or host; of
an error document only what a client can act on is kept. The backend's request IDs, host IDs and
endpoints never pass.
Source: AWS "CreateMultipartUpload" and its siblings; "Error responses".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import ERRORS, BackendUnavailableError, S3Error
from bucketroute_dataplane.core.names import BucketNames, encode_key
from bucketroute_dataplane.core.request import S3Request

# Operation → root elements, the first of which the client gets: S3's documentation, S3 itself and
# MinIO (github.com/minio/minio, `getObjectAttributesResponse`) disagree about one of them.
_ROOTS: Mapping[str, tuple[str, ...]] = {
    "CreateMultipartUpload": ("InitiateMultipartUploadResult",),
    "CompleteMultipartUpload": ("CompleteMultipartUploadResult",),
    "ListParts": ("ListPartsResult",),
    "CopyObject": ("CopyObjectResult",),
    "UploadPartCopy": ("CopyPartResult",),
    "GetObjectAttributes": (
        "GetObjectAttributesResponse",
        "GetObjectAttributesOutput",
        "getObjectAttributesResponse",
    ),
    "GetObjectTagging": ("Tagging",),
}
# These may answer success with nothing in it.
_MAY_BE_EMPTY = frozenset(("PutObjectTagging", "DeleteObjectTagging"))

_NEVER = frozenset(("Endpoint", "HostId", "RequestId"))

# Opaque values: digests, times and IDs are the same on both sides, and a bucket named `abc` would
# be found in many of them.
_is_opaque = re.compile(
    "Checksum.*|.*PartNumberMarker|.*Size|ETag|IsTruncated|LastModified|MaxParts|PartNumber"
    "|PartsCount|StorageClass|UploadId|VersionId"
).fullmatch

# What a client can act on, beside Code, BucketName and Key.
_ERROR_FIELDS = frozenset(
    (
        "ActualObjectSize",
        "ArgumentName",
        "ArgumentValue",
        "Condition",
        "ETag",
        "MaxMessageLengthBytes",
        "MaxSizeAllowed",
        "Message",
        "Method",
        "MinSizeAllowed",
        "PartNumber",
        "ProposedSize",
        "RangeRequested",
        "ResourceType",
        "StorageClass",
        "UploadId",
        "VersionId",
    )
)
# The backend's word about the credentials that it was shown, which are not the client's.
_CREDENTIAL_CODES = frozenset(
    (
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    )
)
_is_code = re.compile(r"[A-Z][A-Za-z0-9.]{2,63}").fullmatch
_CODE_BY_STATUS: Mapping[int, str] = {
    400: "InvalidRequest",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    429: "SlowDown",
    500: "InternalError",
    501: "NotImplemented",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


def rewrite_result(
    request: S3Request, body: bytes, names: BucketNames, *, request_id: str
) -> bytes:
    """The client's form of a backend's answer of status 2xx.

    A Complete or a copy may fail after its 200 was sent: an error document is rewritten as one.
    White space in front, which keeps such a connection alive, is dropped.
    Raises: BackendUnavailableError where the answer is neither the operation's result nor an error.
    """
    operation_name, text = request.operation.name, body.strip()
    if not text and operation_name in _MAY_BE_EMPTY:
        return b""
    root = _parse(operation_name, text)
    if root.tag == "Error":
        resource = request.resource
        return rewrite_error(200, text, names, resource=resource, request_id=request_id)
    roots = _ROOTS.get(operation_name, ())
    if root.tag not in roots:
        detail = f"{operation_name}: the backend sent {root.tag[:64]}"
        raise BackendUnavailableError("ServiceUnavailable", detail)
    return xml.document(roots[0], _fields(root, names, _own_fields(request, root, names)))


def _parse(operation_name: str, text: bytes) -> Element:
    try:
        return xml.parse(text)
    except xml.XMLSyntaxError as exc:
        raise BackendUnavailableError("ServiceUnavailable", f"{operation_name}: {exc}") from exc


def _own_fields(request: S3Request, root: Element, names: BucketNames) -> dict[str, str]:
    """What the result says about the object itself; the location is the URL the client used."""
    is_encoded = root.findtext("EncodingType") == "url"
    head = request.head
    scheme, host = b"https" if head.is_tls else b"http", head.get(b"host") or b""
    return {
        "Bucket": names.virtual_bucket,
        "Key": (encode_key(request.key) if is_encoded else request.key).decode(),
        "Location": (b"%s://%s%s" % (scheme, host, head.raw_path)).decode(errors="replace"),
    }


def _fields(element: Element, names: BucketNames, own: Mapping[str, str]) -> str:
    """The children, written. `own` stands for those directly below a result's root."""
    parts = []
    for child in element:
        tag, text = child.tag, child.text or ""
        if tag in own:
            parts.append(xml.leaf(tag, own[tag]))
        elif tag == "TagSet":  # the client's own text, whatever it says
            parts.append(xml.write(child))
        elif tag in _NEVER or names.mentions_backend(tag):
            continue
        elif len(child):
            parts.append(f"<{tag}>{_fields(child, names, {})}</{tag}>")
        elif _is_opaque(tag) or not names.reveals(text):
            parts.append(xml.leaf(tag, text))
    return "".join(parts)


def rewrite_error(
    status: int, body: bytes, names: BucketNames, *, resource: str, request_id: str
) -> bytes:
    """The client's form of a backend's error document."""
    error = backend_error(status, body, names, is_object=resource.count("/") > 1)
    return xml.error_document(error, resource=resource, request_id=request_id)


def backend_error(
    status: int, body: bytes, names: BucketNames, *, is_object: bool = True
) -> S3Error:
    """The error that a client sees for a backend's answer that is no success.

    The status is the backend's, except where it would make the client doubt its own credentials
    or follow a redirect to the backend: both are 502.
    """
    root = _parse_error(body)
    code = root.findtext("Code", "").strip() if root is not None else ""
    if code in _CREDENTIAL_CODES:
        detail = f"the backend refuses the credentials that BucketRoute has: {code}"
        return _generic("BackendAuthenticationFailed", detail=detail)
    if 300 <= status < 400:
        return _generic("BadGateway")
    is_clean = code in ERRORS or (_is_code(code) and not names.mentions_backend(code))
    if root is None or not is_clean:
        return _generic(_code_of(status, is_object=is_object), status)
    hidden = [child.text for child in root if child.tag in ("RequestId", "HostId") and child.text]
    fields = dict(_error_fields(root, names, hidden))
    message = fields.pop("Message", "") or _fallback_message(code, status, is_object=is_object)
    missing = "the backend has no such bucket" if code == "NoSuchBucket" else None
    return S3Error(code, status, message, fields=fields, detail=missing)


def _parse_error(body: bytes) -> Element | None:
    try:
        root = xml.parse(body.strip())
    except xml.XMLSyntaxError:
        return None
    if root.tag == "ErrorResponse":  # the form of STS and of some gateways
        return root.find("Error")
    return root if root.tag == "Error" else None


def _error_fields(
    root: Element, names: BucketNames, hidden: list[str]
) -> Iterator[tuple[str, str]]:
    for child in root:
        tag, text = child.tag, child.text or ""
        if tag == "BucketName":
            yield tag, names.virtual_bucket
        elif tag == "Key":
            key = names.from_backend_key(text)
            if key is not None:
                yield tag, key
        elif tag in _ERROR_FIELDS and not _is_revealing(text, names, hidden):
            yield tag, text


def _is_revealing(text: str, names: BucketNames, hidden: list[str]) -> bool:
    return names.reveals(text) or any(secret in text for secret in hidden)


def _code_of(status: int, *, is_object: bool) -> str:
    if status == 404 and not is_object:
        return "NoSuchBucket"
    default = "InvalidRequest" if 400 <= status < 500 else "InternalError"
    return _CODE_BY_STATUS.get(status, default)


def _fallback_message(code: str, status: int, *, is_object: bool) -> str:
    known = code if code in ERRORS else _code_of(status, is_object=is_object)
    return ERRORS[known].message


def _generic(code: str, status: int | None = None, *, detail: str | None = None) -> S3Error:
    spec = ERRORS[code]
    return S3Error(code, status or spec.status, spec.message, detail=detail)
