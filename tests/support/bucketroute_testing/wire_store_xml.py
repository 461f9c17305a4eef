"""The XML half of the recording backend's store: listings, batch delete, a Complete's parts."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import islice
from urllib.parse import quote
from xml.sax.saxutils import escape

from bucketroute_testing.wire_types import Answer, RecordedRequest, StoredObject

_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_KEYS = 1000

Encode = Callable[[str], str]


def document(root: str, inner: str) -> Answer:
    """A 200 with an S3 XML document; `inner` is escaped already."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_XMLNS}">{inner}</{root}>'
    return Answer(headers=(("Content-Type", "application/xml"),), body=text.encode())


def completed_parts(body: bytes) -> list[int]:
    """The part numbers that a CompleteMultipartUpload body names, in its order."""
    found = ET.fromstring(body).iter()
    return [int(node.text or "0") for node in found if node.tag.endswith("PartNumber")]


def delete_objects(request: RecordedRequest, objects: dict[str, StoredObject]) -> Answer:
    """DeleteObjects: every key is gone afterwards, as S3 has it, also those that never were."""
    nodes = [node for node in ET.fromstring(request.body).iter() if node.tag.endswith("Key")]
    keys = [node.text or "" for node in nodes]
    for key in keys:
        objects.pop(key, None)
    deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
    return document("DeleteResult", deleted)


def list_objects(request: RecordedRequest, objects: dict[str, StoredObject]) -> Answer:
    """ListObjects V1 and V2; the continuation token is the last key, in clear, as MinIO's is."""
    query = request.head.query
    is_v2 = query.get("list-type") == "2"
    encode: Encode = _url if query.get("encoding-type") == "url" else str
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker", "")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(int(query.get("max-keys", _MAX_KEYS)), _MAX_KEYS)
    entries = _entries(objects, prefix, delimiter)
    wanted = ((name, key) for name, key in entries.items() if name.encode() > after.encode())
    page = list(islice(wanted, limit + 1))
    is_truncated, page = len(page) > limit, page[:limit]
    token = page[-1][0] if page else ""
    parts = [
        f"<Name>{escape(request.head.bucket_and_key[0])}</Name>",
        f"<Prefix>{escape(encode(prefix))}</Prefix><MaxKeys>{limit}</MaxKeys>",
        f"<Delimiter>{escape(encode(delimiter))}</Delimiter>" if delimiter else "",
        "<EncodingType>url</EncodingType>" if encode is _url else "",
        f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>",
        f"<KeyCount>{len(page)}</KeyCount>" if is_v2 else "",
        _next(token, encode, is_v2=is_v2) if is_truncated else "",
        *(_entry(name, key, objects, encode) for name, key in page),
    ]
    return document("ListBucketResult", "".join(parts))


def _entries(
    objects: dict[str, StoredObject], prefix: str, delimiter: str
) -> dict[str, str | None]:
    """What a listing names, in order: a key maps to itself, a common prefix to None."""
    entries: dict[str, str | None] = {}
    for key in sorted(objects, key=str.encode):
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if found:
            entries[prefix + head + delimiter] = None
        else:
            entries[key] = key
    return entries


def _entry(name: str, key: str | None, objects: dict[str, StoredObject], encode: Encode) -> str:
    if key is None:
        return f"<CommonPrefixes><Prefix>{escape(encode(name))}</Prefix></CommonPrefixes>"
    stored = objects[key]
    modified = stored.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(encode(key))}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.body)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _next(token: str, encode: Encode, *, is_v2: bool) -> str:
    if is_v2:
        return f"<NextContinuationToken>{escape(token)}</NextContinuationToken>"
    return f"<NextMarker>{escape(encode(token))}</NextMarker>"


def _url(text: str) -> str:
    return quote(text, safe="/")
