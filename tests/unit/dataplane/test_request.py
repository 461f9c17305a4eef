"""Heads read as S3 requests: bucket, key and parameters, decoded exactly once."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.names import encode_key
from bucketroute_dataplane.core.request import bucket_of, parse_query, parse_request
from bucketroute_testing.heads import head, refusal, s3_request

DOMAINS = (b"s3.test", b"other.example")
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1).filter(
    lambda key: not {".", ".."} & set(key.split("/")) and len(key.encode()) <= 1024
)


def refused(method: str, target: str) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        s3_request(method, target)
    return refusal(caught)


PATHS = [
    ("/", "", b"", "ListBuckets"),
    ("//", "", b"", "ListBuckets"),
    ("/photos", "photos", b"", "ListObjects"),
    ("/photos/", "photos", b"", "ListObjects"),
    ("//photos/a", "photos", b"a", "GetObject"),
    ("/photos/a/b/c", "photos", b"a/b/c", "GetObject"),
    ("/photos/a//b", "photos", b"a//b", "GetObject"),
    ("/photos//a", "photos", b"/a", "GetObject"),
    ("/photos/dir/", "photos", b"dir/", "GetObject"),
    ("/photos/a%2Fb", "photos", b"a/b", "GetObject"),
    ("/photos/100%25.txt", "photos", b"100%.txt", "GetObject"),
    ("/photos/100%2525.txt", "photos", b"100%25.txt", "GetObject"),
    ("/photos/a+b", "photos", b"a+b", "GetObject"),
]


@pytest.mark.rule("3.3.1", "3.2.22", "3.3.4")
@pytest.mark.parametrize(("target", "bucket", "key", "name"), PATHS, ids=[p[0] for p in PATHS])
def test_the_path_names_bucket_and_key(target: str, bucket: str, key: bytes, name: str) -> None:
    request = s3_request("GET", target)
    assert (request.bucket, request.key, request.operation.name) == (bucket, key, name)


HOSTS = [
    (b"photos.s3.test", "/a/b", "photos", b"a/b"),
    (b"photos.s3.test:9000", "/a", "photos", b"a"),
    (b"Photos.S3.TEST", "/a", "photos", b"a"),
    (b"a.b.s3.test", "/k", "a.b", b"k"),
    (b"photos.other.example", "/a", "photos", b"a"),
    (b"photos.s3.test", "/", "photos", b""),
    (b"photos.s3.test", "//a", "photos", b"/a"),
    (b"s3.test", "/photos/a", "photos", b"a"),
    (b"s3.test:9000", "/photos/a", "photos", b"a"),
    (b"evils3.test", "/photos/a", "photos", b"a"),
    (b"127.0.0.1:9000", "/photos/a", "photos", b"a"),
    (b"[::1]:9000", "/photos/a", "photos", b"a"),
    (b"[::1]", "/photos/a", "photos", b"a"),
]


@pytest.mark.rule("3.3.2")
@pytest.mark.parametrize(
    ("host", "target", "bucket", "key"), HOSTS, ids=[f"{h[0].decode()}{h[1]}" for h in HOSTS]
)
def test_the_host_names_the_bucket_under_one_of_the_domains(
    host: bytes, target: str, bucket: str, key: bytes
) -> None:
    request = parse_request(head("GET", target, (b"host", host)), DOMAINS)
    assert (request.bucket, request.key) == (bucket, key)
    assert bucket_of(request.head, DOMAINS) == bucket


def test_without_domains_the_host_means_nothing() -> None:
    request = parse_request(head("GET", "/photos/a", (b"host", b"photos.s3.test")))
    assert (request.bucket, request.key) == ("photos", b"a")


@pytest.mark.rule("3.4.1", "3.2.22")
@given(KEYS)
def test_every_key_comes_out_of_the_path_as_it_was_put_in(key: str) -> None:
    raw = encode_key(key.encode()).decode()
    assert s3_request("GET", f"/photos/{raw}").key == key.encode()


@pytest.mark.rule("3.2.21")
def test_the_raw_path_and_query_stay_beside_what_was_decoded() -> None:
    request = s3_request("GET", "/photos/a%20b?prefix=%2f")
    assert (request.head.raw_path, request.head.raw_query) == (b"/photos/a%20b", b"prefix=%2f")
    assert request.key == b"a b"


@pytest.mark.rule("3.4.5")
@pytest.mark.parametrize("segment", [".", "..", "%2e%2e", "a/../b", "./a", "a/.", "%00", "a%0Ab"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_key_with_a_dot_segment_or_a_control_byte_is_refused(method: str, segment: str) -> None:
    assert refused(method, f"/photos/{segment}") == (400, "InvalidRequest")


@pytest.mark.rule("3.13.4")
def test_a_key_holds_at_most_1024_bytes_of_utf8() -> None:
    assert s3_request("PUT", f"/photos/{'k' * 1024}").key == b"k" * 1024
    assert s3_request("PUT", f"/photos/{quote('é') * 512}").key == "é".encode() * 512
    assert refused("PUT", f"/photos/{'k' * 1025}") == (400, "KeyTooLongError")
    assert refused("PUT", f"/photos/{quote('é') * 513}") == (400, "KeyTooLongError")


@pytest.mark.parametrize("target", ["*", "http://host/photos/a", "", "photos"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert refused("GET", target) == (400, "InvalidURI")


@pytest.mark.parametrize("target", ["/photos/%FF", "/%C3", "/photos?prefix=%FF", "/photos/é%FF"])
def test_what_is_not_utf8_is_refused(target: str) -> None:
    assert refused("GET", target) == (400, "InvalidURI")


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))
    )
)
def test_a_query_is_decoded_once(query: dict[str, str]) -> None:
    raw = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items()
    )
    decoded = {name.encode(): value.encode() for name, value in query.items()}
    assert parse_query(raw.encode()) == decoded


def test_flags_empty_parts_and_plus_signs_are_read_as_s3_reads_them() -> None:
    assert parse_query(b"uploads&&a=b+c&") == {b"uploads": b"", b"a": b"b c"}


@pytest.mark.rule("3.10.13")
@pytest.mark.parametrize("query", ["prefix=a/&prefix=b/", "prefix=a/&%70refix=b/", "acl&acl"])
def test_a_parameter_that_repeats_is_refused(query: str) -> None:
    """The authorised prefix and the forwarded one must be the same."""
    assert refused("GET", f"/photos?{query}") == (400, "InvalidArgument")


@pytest.mark.rule("3.3.6")
@pytest.mark.parametrize("number", ["1", "9999", "10000"])
def test_a_part_number_is_between_1_and_10000(number: str) -> None:
    request = s3_request("PUT", f"/photos/a?partNumber={number}&uploadId=u")
    assert request.operation.name == "UploadPart"


@pytest.mark.rule("3.3.6")
@pytest.mark.parametrize(
    "number", ["0", "10001", "100000", "99999999999999999999", "-1", "1.5", "x", "", "²"]
)
def test_any_other_part_number_is_an_invalid_argument(number: str) -> None:
    target = f"/photos/a?partNumber={quote(number)}&uploadId=u"
    assert refused("PUT", target) == (400, "InvalidArgument")


@pytest.mark.rule("3.3.6")
def test_a_part_needs_its_number() -> None:
    assert refused("PUT", "/photos/a?uploadId=u") == (400, "InvalidRequest")


def test_a_part_number_needs_an_upload() -> None:
    """Otherwise a part would replace the object."""
    assert refused("PUT", "/photos/a?partNumber=1") == (400, "InvalidRequest")
    with pytest.raises(S3Error) as caught:
        s3_request("PUT", "/photos/a?partNumber=1", (b"x-amz-copy-source", b"photos/b"))
    assert refusal(caught) == (400, "InvalidRequest")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_an_empty_upload_id_is_refused(method: str) -> None:
    assert refused(method, "/photos/a?uploadId=&partNumber=1") == (400, "InvalidArgument")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_version_is_refused_where_none_is_taken(method: str) -> None:
    target = "/photos/a?versionId=3" + ("&uploads" if method == "POST" else "")
    assert refused(method, target) == (400, "InvalidArgument")


PRESIGNED = "X-Amz-Algorithm=A&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Signature=s"


@pytest.mark.rule("3.10.1", "3.5.3")
def test_headers_in_a_presigned_url_are_read_as_headers() -> None:
    """The SDK for JavaScript writes metadata there."""
    host = (b"host", b"gateway")
    target = f"/photos/a?{PRESIGNED}&x-amz-meta-Owner=me%20too&X-Amz-Acl=private"
    request = s3_request("PUT", target, host)
    hoisted = [(b"x-amz-meta-owner", b"me too"), (b"x-amz-acl", b"private")]
    assert list(request.head.headers) == [host, *hoisted]
    assert request.head.raw_query == target.partition("?")[2].encode()


@pytest.mark.rule("3.3.10")
def test_a_copy_source_in_a_presigned_url_is_no_upload_of_nothing() -> None:
    copy = s3_request("PUT", f"/photos/a?{PRESIGNED}&x-amz-copy-source=photos%2Fb")
    assert copy.operation.name == "CopyObject"
    assert copy.head.get(b"x-amz-copy-source") == b"photos/b"
    append = f"/photos/a?{PRESIGNED}&x-amz-write-offset-bytes=1"
    assert refused("PUT", append) == (501, "NotImplemented")


@pytest.mark.parametrize(
    "query",
    [
        PRESIGNED,
        f"{PRESIGNED}&X-Amz-Security-Token=t&X-Amz-Content-Sha256=h&X-Amz-Expires=1",
        f"{PRESIGNED}&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32",
        "x-amz-meta-owner=me",
    ],
    ids=["signature", "whole signature", "checksum of nothing", "not presigned"],
)
def test_no_other_parameter_becomes_a_header(query: str) -> None:
    assert s3_request("PUT", f"/photos/a?{query}").head.headers == ()


@pytest.mark.parametrize(
    "parameter",
    [
        "x-amz-meta-a%3A%201%0D%0Acontent-length%3A%200%0D%0A%0D%0Az=1",
        "x-amz-meta-a%0Ab=1",
        "x-amz-meta-a%20b=1",
        "x-amz-meta-a%3Ab=1",
        "x-amz-meta-%C3%A9=1",
        "x-amz-meta-a%00=1",
        "x-amz-meta-a=1%0D%0Ax-evil%3A%201",
        "x-amz-if-match-a%0D%0Ab=1",
    ],
)
def test_what_cannot_be_a_header_does_not_become_one(parameter: str) -> None:
    """No parser of HTTP has seen it, and it would be written into the backend's request."""
    target = f"/photos/a?{PRESIGNED}&{parameter}"
    assert refused("PUT", target) == (400, "InvalidRequest")


def test_a_header_in_the_url_and_in_the_request_is_one_too_many() -> None:
    target = f"/photos/a?{PRESIGNED}&x-amz-meta-owner=me"
    with pytest.raises(S3Error) as caught:
        s3_request("PUT", target, (b"x-amz-meta-owner", b"you"))
    assert refusal(caught) == (400, "InvalidRequest")


ACTIONS = [
    ("GET", "/photos/a", "s3:GetObject"),
    ("GET", "/photos/a?versionId=3", "s3:GetObjectVersion"),
    ("GET", "/photos/a?versionId=null", "s3:GetObjectVersion"),
    ("GET", "/photos/a?versionId=", "s3:GetObject"),
    ("HEAD", "/photos/a?versionId=3", "s3:GetObjectVersion"),
    ("DELETE", "/photos/a", "s3:DeleteObject"),
    ("DELETE", "/photos/a?versionId=3", "s3:DeleteObjectVersion"),
    ("PUT", "/photos/a?tagging&versionId=3", "s3:PutObjectVersionTagging"),
    ("PUT", "/photos/a", "s3:PutObject"),
    ("GET", "/photos", "s3:ListBucket"),
    ("GET", "/photos?versions", "s3:ListBucketVersions"),
    ("HEAD", "/photos", None),
]


@pytest.mark.parametrize(
    ("method", "target", "action"), ACTIONS, ids=[f"{a[0]}{a[1]}" for a in ACTIONS]
)
def test_a_named_version_needs_the_action_for_versions(
    method: str, target: str, action: str | None
) -> None:
    assert s3_request(method, target).action == action


def test_error_documents_name_the_path_that_the_client_asked_for() -> None:
    assert s3_request("GET", "/photos/a%20b").resource == "/photos/a b"
    assert s3_request("GET", "/").resource == "/"
