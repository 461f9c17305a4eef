"""List operations, the way in."""

import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.list_query import backend_list_query
from bucketroute_dataplane.core.names import BucketNames
from bucketroute_dataplane.core.sealing import SealingRing, TokenSealer

NAMES = BucketNames(virtual_bucket="data", backend_bucket="acme-prod-7", prefix="red/")
BARE = BucketNames(virtual_bucket="data", backend_bucket="acme-prod-7", prefix="")
TOKENS = TokenSealer(SealingRing([b"k" * 32], bytes), "uid-1")
LISTS = ("ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads")


def asked(operation_name: str, names: BucketNames = NAMES, **query: str) -> dict[str, str]:
    """What the backend is asked; `_` in a parameter's name stands for `-`."""
    pairs = backend_list_query(operation_name, raw(**query), names, TOKENS)
    assert pairs is not None
    return {name.decode(): value.decode() for name, value in pairs}


def raw(**query: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode() for name, value in query.items()}


def refused(operation_name: str, **query: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        backend_list_query(operation_name, raw(**query), NAMES, TOKENS)
    assert caught.value.code == "InvalidArgument"
    return caught.value


SELECTORS = {
    "ListObjects": {"max-keys": "1000"},
    "ListObjectsV2": {"list-type": "2", "max-keys": "1000"},
    "ListObjectVersions": {"versions": "", "max-keys": "1000"},
    "ListMultipartUploads": {"uploads": "", "max-uploads": "1000"},
}


@pytest.mark.rule("3.7.2")
@pytest.mark.parametrize(("operation_name", "expected"), SELECTORS.items(), ids=list(SELECTORS))
def test_the_backend_is_asked_for_encoded_keys_and_a_page_of_1000(
    operation_name: str, expected: dict[str, str]
) -> None:
    assert asked(operation_name, BARE) == {**expected, "encoding-type": "url"}


@pytest.mark.rule("3.7.6")
@pytest.mark.parametrize("operation_name", LISTS)
def test_the_prefix_is_the_backends_and_the_clients_taken_verbatim(operation_name: str) -> None:
    assert asked(operation_name)["prefix"] == "red/"
    assert asked(operation_name, prefix="par")["prefix"] == "red/par"
    assert asked(operation_name, prefix="/x//")["prefix"] == "red//x//"


@pytest.mark.rule("3.7.4")
def test_markers_get_the_backends_prefix() -> None:
    assert asked("ListObjects", marker="a")["marker"] == "red/a"
    assert asked("ListObjectsV2", start_after="a")["start-after"] == "red/a"
    for operation_name in ("ListObjectVersions", "ListMultipartUploads"):
        assert asked(operation_name, key_marker="a")["key-marker"] == "red/a"


def test_empty_parameters_are_not_sent() -> None:
    query = asked("ListObjects", BARE, marker="", prefix="", delimiter="", encoding_type="")
    assert query == {"max-keys": "1000", "encoding-type": "url"}


def test_delimiter_owner_and_id_markers_pass() -> None:
    assert asked("ListObjectsV2", delimiter="/", fetch_owner="true").items() >= {
        ("delimiter", "/"),
        ("fetch-owner", "true"),
    }
    versions = asked("ListObjectVersions", key_marker="k", version_id_marker="v1")
    assert versions["version-id-marker"] == "v1"
    uploads = asked("ListMultipartUploads", key_marker="k", upload_id_marker="u1")
    assert uploads["upload-id-marker"] == "u1"


def test_a_version_marker_needs_a_key_and_an_upload_marker_without_one_is_ignored() -> None:
    refused("ListObjectVersions", version_id_marker="v1")
    assert "upload-id-marker" not in asked("ListMultipartUploads", upload_id_marker="u1")


@pytest.mark.rule("3.7.2")
@pytest.mark.parametrize(
    ("value", "sent"), [("1", "1"), ("1000", "1000"), ("1001", "1000"), ("2147483647", "1000")]
)
def test_the_page_size_is_capped_at_1000(value: str, sent: str) -> None:
    assert asked("ListObjectsV2", max_keys=value)["max-keys"] == sent
    assert asked("ListMultipartUploads", max_uploads=value)["max-uploads"] == sent


@pytest.mark.rule("3.7.2")
@pytest.mark.parametrize(
    "value", ["-1", "ten", "1.5", "", " 1", "2147483648", "9" * 5000, "\u0661"]
)
@pytest.mark.parametrize("operation_name", LISTS)
def test_a_page_size_that_is_no_number_is_refused(operation_name: str, value: str) -> None:
    parameter = "max_uploads" if operation_name == "ListMultipartUploads" else "max_keys"
    error = refused(operation_name, **{parameter: value})
    assert error.fields["ArgumentName"] == parameter.replace("_", "-")


@pytest.mark.rule("3.7.2")
@pytest.mark.parametrize("operation_name", LISTS)
def test_a_page_of_nothing_is_not_asked_of_the_backend(operation_name: str) -> None:
    parameter = b"max-uploads" if operation_name == "ListMultipartUploads" else b"max-keys"
    assert backend_list_query(operation_name, {parameter: b"0"}, NAMES, TOKENS) is None


def test_an_encoding_that_s3_does_not_know_is_refused() -> None:
    assert asked("ListObjects", encoding_type="url")["encoding-type"] == "url"
    assert refused("ListObjects", encoding_type="base64").fields["ArgumentName"] == "encoding-type"


@pytest.mark.rule("3.7.3")
def test_the_backend_gets_its_own_token_back_and_no_start_after() -> None:
    token = TOKENS.seal("opaque+token/==", NAMES, b"p")
    query = asked("ListObjectsV2", prefix="p", continuation_token=token, start_after="a")
    assert query["continuation-token"] == "opaque+token/=="
    assert "start-after" not in query


@pytest.mark.rule("3.7.3")
def test_a_token_is_of_no_use_for_another_prefix_route_or_when_altered() -> None:
    foreign = TokenSealer(SealingRing([b"k" * 32], bytes), "uid-2")
    own = TOKENS.seal("t", NAMES, b"p")
    tokens = {
        "another prefix": TOKENS.seal("t", NAMES, b"q"),
        "another route": foreign.seal("t", NAMES, b"p"),
        "altered": own[:-2] + ("AA" if own[-2:] != "AA" else "BB"),
        "the backend's": "t",
        "empty": "",
        "not ASCII": "é",
    }
    for token in tokens.values():
        error = refused("ListObjectsV2", prefix="p", continuation_token=token)
        assert error.message == "The continuation token provided is incorrect"
