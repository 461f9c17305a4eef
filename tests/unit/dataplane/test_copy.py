"""x-amz-copy-source, and which backends copy between each other."""

from dataclasses import replace

import pytest

from bucketroute_dataplane.core.copy import CopySource, parse_copy_source, same_backend
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_snapshot import Backend, UnsignedAuth

SOURCES = {
    "plain": (b"data/a/b.txt", b"a/b.txt", None),
    "leading-slash": (b"/data/a", b"a", None),
    "encoded-slashes": (b"%2Fdata%2Fa%2Fb", b"a/b", None),
    "decoded-once": (b"/data/literal-%253D", b"literal-%3D", None),
    "plus-is-a-plus": (b"data/a+b%20c", b"a+b c", None),
    "utf-8": (b"data/caf%C3%A9", "café".encode(), None),
    "question-mark": (b"data/what%3F", b"what?", None),
    "double-slash": (b"data//a//", b"/a//", None),
    "version": (b"data/a?versionId=v%2F1%26", b"a", b"v/1&"),
    "empty-version": (b"data/a?versionId=", b"a", None),
    "null-version": (b"data/a?versionId=null", b"a", b"null"),
}


@pytest.mark.rule("3.3.12")
@pytest.mark.parametrize(("value", "key", "version_id"), SOURCES.values(), ids=list(SOURCES))
def test_copy_source_is_bucket_key_and_version(
    value: bytes, key: bytes, version_id: bytes | None
) -> None:
    assert parse_copy_source(value) == CopySource(bucket="data", key=key, version_id=version_id)


REFUSED = {
    "empty": (b"", "InvalidArgument"),
    "no-key": (b"data", "InvalidArgument"),
    "empty-key": (b"/data/", "InvalidArgument"),
    "empty-bucket": (b"//a", "InvalidArgument"),
    "no-utf-8": (b"data/%FF", "InvalidArgument"),
    "version-no-utf-8": (b"data/a?versionId=%FF", "InvalidArgument"),
    "another-parameter": (b"data/a?acl", "InvalidArgument"),
    "two-parameters": (b"data/a?versionId=1&acl", "InvalidArgument"),
    "dot-segment": (b"data/a/%2E%2E/b", "InvalidRequest"),
    "control-byte": (b"data/a%0A", "InvalidRequest"),
    "too-long": (b"data/" + b"a" * 1025, "KeyTooLongError"),
    "access-point": (
        b"arn:aws:s3:us-east-1:111122223333:accesspoint/p/object/a",
        "NotImplemented",
    ),
    "encoded-access-point": (
        b"arn%3Aaws%3As3%3Aus-east-1%3A111122223333%3Aaccesspoint/p/object/a",
        "NotImplemented",
    ),
}


@pytest.mark.rule("3.3.12", "3.4.9")
@pytest.mark.parametrize(("value", "code"), REFUSED.values(), ids=list(REFUSED))
def test_a_source_that_names_no_object_is_refused(value: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy_source(value)
    assert caught.value.code == code


@pytest.mark.rule("3.9.3", "3.9.4")
def test_one_backend_is_the_same_endpoint_and_region_whatever_bucket_and_credentials() -> None:
    backend = Backend(
        endpoint="https://s3.example", bucket="one", region="eu-west-1", auth=UnsignedAuth()
    )
    assert same_backend(backend, replace(backend, bucket="two", prefix="p/"))
    assert not same_backend(backend, replace(backend, region="eu-west-2"))
    assert not same_backend(backend, replace(backend, endpoint="https://s3.example:444"))
