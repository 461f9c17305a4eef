"""The table of operations: what each row says of the body, the action and the parameters."""

import pytest

from bucketroute_dataplane.core.authorize import ANONYMOUS_ACTIONS
from bucketroute_dataplane.core.classify import SUBRESOURCES
from bucketroute_dataplane.core.headers import forwarded_headers
from bucketroute_dataplane.core.operations import (
    BY_NAME,
    OPERATIONS,
    Answer,
    BodyMode,
    Level,
    MiB,
    Operation,
)
from bucketroute_testing.heads import head

EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@pytest.mark.rule("3.2.1")
def test_exactly_the_multipart_controls_batch_delete_and_tagging_are_buffered() -> None:
    assert {op.name for op in OPERATIONS if op.body is BodyMode.BUFFERED} == {
        "CreateMultipartUpload",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObjects",
        "PutObjectTagging",
    }


def test_exactly_objects_and_parts_are_streamed() -> None:
    assert {op.name for op in OPERATIONS if op.body is BodyMode.STREAMED} == {
        "PutObject",
        "UploadPart",
    }


@pytest.mark.rule("3.2.5")
@EACH
def test_every_buffered_body_and_no_other_has_a_bound(operation: Operation) -> None:
    is_bounded = 0 < operation.body_limit_bytes <= 4 * MiB
    assert is_bounded is (operation.body is BodyMode.BUFFERED)


@pytest.mark.rule("3.2.5")
def test_the_longest_lists_fit_into_their_bounds() -> None:
    part = (
        b"<Part><PartNumber>10000</PartNumber><ETag>&quot;%s&quot;</ETag>"
        b"<ChecksumSHA256>%s</ChecksumSHA256></Part>" % (b"e" * 32, b"c" * 44)
    )
    assert 10_000 * len(part) < BY_NAME["CompleteMultipartUpload"].body_limit_bytes
    entry = b"<Object><Key>%s</Key><VersionId>%s</VersionId></Object>" % (b"k" * 1024, b"v" * 64)
    assert 1_000 * len(entry) < BY_NAME["DeleteObjects"].body_limit_bytes


@EACH
def test_an_operation_is_answered_here_exactly_when_it_needs_no_action(
    operation: Operation,
) -> None:
    assert (operation.action is None) is (operation.answer is Answer.LOCAL)


@EACH
def test_a_version_needs_an_action_of_its_own(operation: Operation) -> None:
    """Otherwise a grant for the current object would reach every old one."""
    takes_version = b"versionId" in operation.query or operation.name == "DeleteObjects"
    assert takes_version is (operation.versioned_action is not None)
    assert operation.versioned_action != operation.action or operation.action is None


@EACH
def test_only_reading_and_listing_can_be_granted_to_anybody(operation: Operation) -> None:
    if operation.action in ANONYMOUS_ACTIONS:
        assert operation.method in (b"GET", b"HEAD")
        assert operation.is_idempotent


@EACH
def test_a_request_that_may_be_sent_twice_changes_nothing(operation: Operation) -> None:
    if operation.is_idempotent:
        assert operation.method in (b"GET", b"HEAD")
        assert operation.body is BodyMode.NONE


@EACH
def test_the_selector_of_an_operation_is_a_known_subresource(operation: Operation) -> None:
    assert operation.subresource is None or operation.subresource in SUBRESOURCES


@EACH
def test_no_forwarded_parameter_is_another_operations_selector(operation: Operation) -> None:
    """A parameter of S3's that is forwarded must not change what the backend understands."""
    assert operation.query & SUBRESOURCES <= {operation.subresource}


@EACH
def test_every_forwarded_operation_has_its_list_of_headers(operation: Operation) -> None:
    if operation.answer is Answer.LOCAL:
        with pytest.raises(KeyError):
            forwarded_headers(operation, head("GET", "/"), backend_is_tls=True)
    else:
        assert forwarded_headers(operation, head("GET", "/"), backend_is_tls=True) == []


def test_names_are_unique_and_copies_go_to_objects() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    assert {op.name for op in OPERATIONS if op.is_copy} == {"CopyObject", "UploadPartCopy"}
    assert all(op.level is Level.OBJECT for op in OPERATIONS if op.is_copy)
