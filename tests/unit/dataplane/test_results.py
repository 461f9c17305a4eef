"""XML answers of a backend about one object, as the client sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.request import parse_request
from bucketroute_dataplane.core.results import rewrite_result
from bucketroute_testing.backend_names import NAMES, SECRET, TAG, TEXT, assert_no_backend_name

REQUEST_ID = "client-request-id"

TARGETS = {
    "CreateMultipartUpload": (b"POST", b"uploads"),
    "CompleteMultipartUpload": (b"POST", b"uploadId=u"),
    "ListParts": (b"GET", b"uploadId=u"),
    "CopyObject": (b"PUT", b""),
    "UploadPartCopy": (b"PUT", b"uploadId=u&partNumber=1"),
    "GetObjectAttributes": (b"GET", b"attributes"),
    "GetObjectTagging": (b"GET", b"tagging"),
    "PutObjectTagging": (b"PUT", b"tagging"),
    "DeleteObjectTagging": (b"DELETE", b"tagging"),
}


def rewrite(
    operation_name: str,
    body: bytes,
    *,
    path: bytes = b"/data/a%20b/%C3%A9",
    is_tls: bool = False,
    domains: tuple[bytes, ...] = (),
    host: bytes = b"gateway.example:9000",
) -> bytes:
    method, query = TARGETS[operation_name]
    headers = [(b"host", host)]
    if "Copy" in operation_name:
        headers.append((b"x-amz-copy-source", b"data/x"))
    head = RequestHead(method, path, query, headers, is_tls=is_tls)
    request = parse_request(head, domains)
    assert request.operation.name == operation_name
    return rewrite_result(request, body, NAMES, request_id=REQUEST_ID)


def error(code: str, message: str = "m", extra: str = "") -> bytes:
    return (
        f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}"
        "<RequestId>backend-request</RequestId><HostId>backend-host-id</HostId></Error>"
    ).encode()


@pytest.mark.rule("3.6.6")
def test_create_names_the_virtual_bucket_and_the_clients_key() -> None:
    body = xml.document(
        "InitiateMultipartUploadResult",
        "<Bucket>acme-prod-7</Bucket><Key>tenants/red/a b/é</Key><UploadId>u&amp;1</UploadId>",
    )
    assert rewrite("CreateMultipartUpload", body) == xml.document(
        "InitiateMultipartUploadResult",
        "<Bucket>data</Bucket><Key>a b/é</Key><UploadId>u&amp;1</UploadId>",
    )


COMPLETE = xml.document(
    "CompleteMultipartUploadResult",
    "<Location>https://acme-prod-7.s3.backend.example/tenants/red/a</Location>"
    "<Bucket>acme-prod-7</Bucket><Key>tenants/red/a</Key><ETag>&quot;e-2&quot;</ETag>"
    "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>",
)


@pytest.mark.rule("3.6.6")
@pytest.mark.parametrize(
    ("is_tls", "host", "path", "domains", "location"),
    [
        (False, b"gw:9000", b"/data/a%20b", (), "http://gw:9000/data/a%20b"),
        (True, b"gw", b"/data/a", (), "https://gw/data/a"),
        (True, b"data.s3.local", b"/a", (b"s3.local",), "https://data.s3.local/a"),
    ],
)
def test_the_location_is_the_url_that_the_client_used(
    is_tls: bool, host: bytes, path: bytes, domains: tuple[bytes, ...], location: str
) -> None:
    result = rewrite(
        "CompleteMultipartUpload", COMPLETE, is_tls=is_tls, host=host, path=path, domains=domains
    )
    root = xml.parse(result)
    assert root.findtext("Location") == location
    assert root.findtext("Bucket") == "data"
    assert root.findtext("Key") in ("a", "a b")
    assert root.findtext("ETag") == '"e-2"'
    assert root.findtext("ChecksumCRC64NVME") == "AAAAAAAAAAA="


@pytest.mark.parametrize(
    "body",
    [
        b" \r\n" * 50 + COMPLETE,
        COMPLETE.replace(b"?>\n", b"?>\n" + b" " * 500),
    ],
)
def test_white_space_that_kept_the_connection_alive_is_tolerated(body: bytes) -> None:
    assert rewrite("CompleteMultipartUpload", body) == rewrite("CompleteMultipartUpload", COMPLETE)


@pytest.mark.rule("3.6.7", "3.6.6")
@pytest.mark.parametrize(
    "operation_name", ["CompleteMultipartUpload", "CopyObject", "UploadPartCopy"]
)
def test_an_error_inside_a_200_stays_an_error_in_the_clients_names(operation_name: str) -> None:
    body = b"\n\n " + error("InternalError", "failed in acme-prod-7", "<Resource>/acme</Resource>")
    assert rewrite(operation_name, body) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code>'
        b"<Message>Internal server error</Message><Resource>/data/a b/\xc3\xa9</Resource>"
        b"<RequestId>client-request-id</RequestId></Error>"
    )


@pytest.mark.parametrize("operation_name", ["CopyObject", "UploadPartCopy"])
def test_copy_results_pass_whole(operation_name: str) -> None:
    root = "CopyObjectResult" if operation_name == "CopyObject" else "CopyPartResult"
    body = xml.document(
        root,
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>",
    )
    assert rewrite(operation_name, body) == body.replace(b"&quot;", b'"')


def test_parts_pass_with_what_is_unknown_unless_it_names_the_backend() -> None:
    part = (
        "<Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size><ChecksumCRC32C>x"
        "</ChecksumCRC32C><Colour>red</Colour></Part>"
    )
    body = xml.document(
        "ListPartsResult",
        "<Bucket>acme-prod-7</Bucket><Key>tenants/red/a</Key><UploadId>u</UploadId>"
        "<Initiator><ID>me</ID><DisplayName>acme-prod-7</DisplayName></Initiator>"
        "<Owner><ID>arn:aws:iam::111122223333:role/r</ID></Owner>"
        f"<acme-prod-7>x</acme-prod-7><RequestId>r</RequestId><Shape>round</Shape>{part}",
    )
    assert rewrite("ListParts", body, path=b"/data/a") == xml.document(
        "ListPartsResult",
        "<Bucket>data</Bucket><Key>a</Key><UploadId>u</UploadId><Initiator><ID>me</ID></Initiator>"
        f"<Owner></Owner><Shape>round</Shape>{part}",
    )


def test_the_key_of_an_encoded_part_list_is_encoded() -> None:
    body = xml.document(
        "ListPartsResult", "<Key>tenants/red/a+b</Key><EncodingType>url</EncodingType>"
    )
    assert b"<Key>a%20b/%C3%A9</Key>" in rewrite("ListParts", body)


@pytest.mark.parametrize(
    "root",
    ["GetObjectAttributesResponse", "GetObjectAttributesOutput", "getObjectAttributesResponse"],
)
def test_attributes_pass_whole_under_the_documented_name(root: str) -> None:
    fields = (
        "<ETag>e</ETag><Checksum><ChecksumSHA256>x</ChecksumSHA256></Checksum>"
        "<ObjectParts><PartsCount>2</PartsCount><Part><PartNumber>1</PartNumber></Part>"
        "</ObjectParts><StorageClass>STANDARD</StorageClass><ObjectSize>5</ObjectSize>"
    )
    answered = rewrite("GetObjectAttributes", xml.document(root, fields))
    assert answered == xml.document("GetObjectAttributesResponse", fields)


def test_tags_are_the_clients_own_text_and_their_key_is_no_object() -> None:
    body = xml.document(
        "Tagging",
        "<TagSet><Tag><Key>Bucket</Key><Value>tenants/red/acme-prod-7</Value></Tag></TagSet>",
    )
    assert rewrite("GetObjectTagging", body) == body


@pytest.mark.parametrize("operation_name", ["PutObjectTagging", "DeleteObjectTagging"])
def test_an_empty_answer_stays_empty_where_there_is_nothing_to_say(operation_name: str) -> None:
    assert rewrite(operation_name, b"") == b""


@pytest.mark.parametrize(
    ("operation_name", "body"),
    [
        ("CompleteMultipartUpload", b""),
        ("CompleteMultipartUpload", b"   "),
        ("CompleteMultipartUpload", COMPLETE[:-9]),
        ("CopyObject", COMPLETE),
        ("CreateMultipartUpload", b"<html/>"),
        ("PutObjectTagging", b"<html/>"),
    ],
)
def test_an_answer_that_is_no_result_is_unavailable_never_success(
    operation_name: str, body: bytes
) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        rewrite(operation_name, body)
    assert caught.value.code == "ServiceUnavailable"


# Text around the names that must not get through, at any place where free text may stand.
_NAME = st.tuples(TEXT, SECRET, TEXT).map("".join)


@pytest.mark.rule("3.6.6")
@given(
    st.sampled_from(["CreateMultipartUpload", "CompleteMultipartUpload", "ListParts"]),
    st.lists(st.tuples(TAG, _NAME)),
)
def test_nothing_of_the_backend_survives_in_a_result(
    operation_name: str, leaks: list[tuple[str, str]]
) -> None:
    root = {"CreateMultipartUpload": "Initiate", "CompleteMultipartUpload": "Complete"}
    tag = root.get(operation_name, "") + "MultipartUploadResult"
    tag = tag if operation_name != "ListParts" else "ListPartsResult"
    leaves = "".join([xml.leaf(tag, text) for tag, text in leaks])
    body = xml.document(tag, f"{leaves}<Owner>{leaves}</Owner>")
    assert_no_backend_name(rewrite(operation_name, body))
