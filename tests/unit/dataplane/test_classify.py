"""Which operation a head asks for, and that nothing is mistaken for the plain one."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.classify import OPERATION_HEADERS, SUBRESOURCES, classify
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.operations import OPERATIONS, Level, Operation
from bucketroute_testing.heads import refusal

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
COPY = {b"x-amz-copy-source": b"photos/a"}


def name_of(
    method: str, level: Level, *query: str, headers: dict[bytes, bytes] | None = None
) -> str:
    pairs = (item.encode().partition(b"=") for item in query)
    parameters = {name: value for name, _, value in pairs}
    return classify(method.encode(), level, parameters, headers or {}).name


def refused(method: str, level: Level, *query: str, **headers: str) -> tuple[int, str]:
    given_headers = {name.replace("_", "-").encode(): v.encode() for name, v in headers.items()}
    with pytest.raises(S3Error) as caught:
        name_of(method, level, *query, headers=given_headers)
    return refusal(caught)


def known(
    method: str, level: Level, query: dict[bytes, bytes], headers: dict[bytes, bytes]
) -> Operation | None:
    """None where the request is refused as not implemented."""
    try:
        return classify(method.encode(), level, query, headers)
    except S3Error as error:
        if (error.status, error.code) != (501, "NotImplemented"):
            raise
        return None


KNOWN = [
    ("GET", Level.SERVICE, (), "ListBuckets"),
    ("HEAD", Level.BUCKET, (), "HeadBucket"),
    ("PUT", Level.BUCKET, (), "CreateBucket"),
    ("DELETE", Level.BUCKET, (), "DeleteBucket"),
    ("GET", Level.BUCKET, ("location",), "GetBucketLocation"),
    ("GET", Level.BUCKET, ("versioning",), "GetBucketVersioning"),
    ("GET", Level.BUCKET, ("acl",), "GetBucketAcl"),
    ("GET", Level.BUCKET, (), "ListObjects"),
    ("GET", Level.BUCKET, ("list-type=1",), "ListObjects"),
    ("GET", Level.BUCKET, ("list-type=2",), "ListObjectsV2"),
    ("GET", Level.BUCKET, ("list-type=2", "prefix=a/", "delimiter=/"), "ListObjectsV2"),
    ("GET", Level.BUCKET, ("versions", "list-type=2"), "ListObjectVersions"),
    ("GET", Level.BUCKET, ("uploads",), "ListMultipartUploads"),
    ("POST", Level.BUCKET, ("delete",), "DeleteObjects"),
    ("GET", Level.OBJECT, (), "GetObject"),
    ("GET", Level.OBJECT, ("versionId=1", "partNumber=2", "x-id=GetObject"), "GetObject"),
    ("GET", Level.OBJECT, ("response-content-type=a",), "GetObject"),
    ("HEAD", Level.OBJECT, (), "HeadObject"),
    ("GET", Level.OBJECT, ("attributes",), "GetObjectAttributes"),
    ("GET", Level.OBJECT, ("tagging",), "GetObjectTagging"),
    ("PUT", Level.OBJECT, ("tagging",), "PutObjectTagging"),
    ("DELETE", Level.OBJECT, ("tagging",), "DeleteObjectTagging"),
    ("PUT", Level.OBJECT, (), "PutObject"),
    ("PUT", Level.OBJECT, ("x-id=PutObject",), "PutObject"),
    ("DELETE", Level.OBJECT, (), "DeleteObject"),
    ("DELETE", Level.OBJECT, ("versionId=1",), "DeleteObject"),
    ("POST", Level.OBJECT, ("uploads",), "CreateMultipartUpload"),
    ("PUT", Level.OBJECT, ("partNumber=1", "uploadId=u"), "UploadPart"),
    ("POST", Level.OBJECT, ("uploadId=u",), "CompleteMultipartUpload"),
    ("DELETE", Level.OBJECT, ("uploadId=u",), "AbortMultipartUpload"),
    ("GET", Level.OBJECT, ("uploadId=u",), "ListParts"),
]


@pytest.mark.rule("3.3.3", "3.3.4", "3.3.6", "3.3.7", "3.3.8", "3.7.1")
@pytest.mark.parametrize(
    ("method", "level", "query", "name"),
    KNOWN,
    ids=[f"{method}-{level.value}-{'&'.join(query)}" for method, level, query, _ in KNOWN],
)
def test_method_path_and_subresource_name_the_operation(
    method: str, level: Level, query: tuple[str, ...], name: str
) -> None:
    assert name_of(method, level, *query) == name


@pytest.mark.rule("3.3.5")
def test_a_copy_source_makes_an_upload_a_copy() -> None:
    assert name_of("PUT", Level.OBJECT, headers=COPY) == "CopyObject"
    part = name_of("PUT", Level.OBJECT, "partNumber=1", "uploadId=u", headers=COPY)
    assert part == "UploadPartCopy"


def test_a_copy_source_means_nothing_to_other_methods() -> None:
    assert name_of("GET", Level.OBJECT, headers=COPY) == "GetObject"
    assert name_of("PUT", Level.BUCKET, headers=COPY) == "CreateBucket"


def test_the_table_above_names_every_operation() -> None:
    copies = {"CopyObject", "UploadPartCopy"}
    assert {name for *_, name in KNOWN} | copies == {op.name for op in OPERATIONS}


@pytest.mark.rule("3.3.10")
@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(SUBRESOURCES), ids=bytes.decode)
def test_no_subresource_is_ever_mistaken_for_the_plain_operation(
    name: bytes, method: str, level: Level
) -> None:
    """Seen elsewhere: `PUT ?tagging` overwrote the object, `DELETE ?tagging` deleted it."""
    for value in (b"", b"2", b"list-type"):
        for headers in ({}, COPY):
            operation = known(method, level, {name: value}, headers)
            assert operation is None or operation.subresource == name


@pytest.mark.rule("3.3.10")
@pytest.mark.parametrize(
    "operation", [op for op in OPERATIONS if op.subresource], ids=lambda operation: operation.name
)
def test_a_second_subresource_makes_it_no_operation(operation: Operation) -> None:
    assert operation.subresource is not None
    headers = COPY if operation.is_copy else {}
    for other in SUBRESOURCES - {operation.subresource}:
        for query in (
            {operation.subresource: b"", other: b""},
            {other: b"", operation.subresource: b""},
        ):
            assert known(operation.method.decode(), operation.level, query, headers) is None


@pytest.mark.rule("3.3.10")
@given(st.text(st.characters(codec="ascii"), min_size=1), st.sampled_from(METHODS))
def test_parameters_that_are_no_subresource_change_nothing(name: str, method: str) -> None:
    if name.encode() in SUBRESOURCES or method == "POST":
        return
    plain = classify(method.encode(), Level.OBJECT, {}, {})
    assert classify(method.encode(), Level.OBJECT, {name.encode(): b""}, {}) is plain


@pytest.mark.parametrize("name", sorted(OPERATION_HEADERS), ids=bytes.decode)
def test_a_header_that_means_another_operation_is_not_ignored(name: bytes) -> None:
    """An append that is taken for a PutObject would replace the object."""
    assert refused("PUT", Level.OBJECT, **{name.decode(): "1"}) == (501, "NotImplemented")


@pytest.mark.rule("3.3.9")
@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "get", "BREW"])
def test_a_method_that_s3_does_not_know_is_not_allowed(method: str, level: Level) -> None:
    assert refused(method, level) == (405, "MethodNotAllowed")
    assert refused(method, level, "acl") == (405, "MethodNotAllowed")


@pytest.mark.rule("3.3.3", "3.3.9")
@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_the_service_is_only_listed(method: str) -> None:
    assert refused(method, Level.SERVICE) == (405, "MethodNotAllowed")


@pytest.mark.rule("3.3.7")
@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
def test_a_post_without_a_subresource_is_the_browsers_form_which_is_not_implemented(
    level: Level,
) -> None:
    assert refused("POST", level) == (501, "NotImplemented")


@pytest.mark.rule("3.3.11")
def test_creating_an_upload_needs_a_key() -> None:
    assert refused("POST", Level.BUCKET, "uploads") == (501, "NotImplemented")
    assert refused("PUT", Level.BUCKET, "uploadId=u", "partNumber=1") == (501, "NotImplemented")


@pytest.mark.rule("3.2.2")
def test_classifying_is_a_plain_function_of_the_head() -> None:
    assert not inspect.iscoroutinefunction(classify)
    assert list(inspect.signature(classify).parameters) == ["method", "level", "query", "headers"]
