"""DeleteObjects: body in, body out, merged result."""

from base64 import b64decode, b64encode
from hashlib import md5, sha256
from xml.etree.ElementTree import Element
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error
from bucketroute_dataplane.core.multidelete import (
    DeleteRequest,
    ObjectIdentifier,
    backend_delete_body,
    integrity_headers,
    merge_delete_result,
    parse_delete,
    split_denied,
    verify_digests,
)
from bucketroute_dataplane.core.names import BucketNames

NAMES = BucketNames(virtual_bucket="data", backend_bucket="acme-prod-7", prefix="red/")


def delete(*objects: str, quiet: str = "") -> bytes:
    return f"<Delete>{quiet}{''.join(objects)}</Delete>".encode()


def named(*keys: str, is_quiet: bool = False) -> DeleteRequest:
    objects = tuple([ObjectIdentifier(key=key) for key in keys])
    return DeleteRequest(objects=objects, is_quiet=is_quiet)


def result(*entries: str) -> bytes:
    return xml.document("DeleteResult", "".join(entries))


def deleted(key: str, extra: str = "") -> str:
    return f"<Deleted><Key>{xml.escape(key)}</Key>{extra}</Deleted>"


def fields(element: Element) -> dict[str, str]:
    return {child.tag: child.text or "" for child in element}


def merge(
    request: DeleteRequest, body: bytes | None, denied: tuple[ObjectIdentifier, ...] = ()
) -> list[tuple[str, dict[str, str]]]:
    root = xml.parse(merge_delete_result(request, denied, body, NAMES))
    return [(entry.tag, fields(entry)) for entry in root]


@pytest.mark.rule("3.8.10")
def test_version_and_conditions_are_carried() -> None:
    body = delete(
        "<Object><Key>a</Key></Object>",
        "<Object><Key>b&amp;c</Key><VersionId>v1</VersionId></Object>",
        "<Object><Key>d</Key><ETag>&quot;e&quot;</ETag><Size>5</Size>"
        "<LastModifiedTime>Tue, 01 Jan 2030 00:00:00 GMT</LastModifiedTime></Object>",
        "<Object><Key>e</Key><VersionId></VersionId><Colour>red</Colour></Object><Shape/>",
    )
    assert parse_delete(body).objects == (
        ObjectIdentifier(key="a"),
        ObjectIdentifier(key="b&c", version_id="v1"),
        ObjectIdentifier(
            key="d",
            conditions=(
                ("ETag", '"e"'),
                ("LastModifiedTime", "Tue, 01 Jan 2030 00:00:00 GMT"),
                ("Size", "5"),
            ),
        ),
        ObjectIdentifier(key="e"),
    )


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [("", False), ("<Quiet>false</Quiet>", False), ("<Quiet> True </Quiet>", True)],
)
def test_quiet_is_read(quiet: str, expected: bool) -> None:
    body = delete("<Object><Key>a</Key></Object>", quiet=quiet)
    assert parse_delete(body).is_quiet is expected


@pytest.mark.rule("3.4.7")
@pytest.mark.parametrize("key", ["a//b", "../x", "./", "/lead", "a/../b", "dir/"])
def test_odd_keys_can_be_deleted(key: str) -> None:
    assert parse_delete(delete(f"<Object><Key>{key}</Key></Object>")).objects[0].key == key


_ONE = "<Object><Key>a</Key></Object>"
_BAD_BODIES = {
    "empty": b"",
    "no-xml": b"a,b",
    "no-objects": delete(),
    "1001-objects": delete(*[_ONE] * 1001),
    "no-key": delete("<Object><VersionId>v</VersionId></Object>"),
    "empty-key": delete("<Object><Key/></Object>"),
    "another-root": b"<Remove>" + _ONE.encode() + b"</Remove>",
    "quiet-is-no-boolean": delete(_ONE, quiet="<Quiet>maybe</Quiet>"),
    "entities": b'<!DOCTYPE d [<!ENTITY k "a">]><Delete><Object><Key>&k;</Key></Object></Delete>',
}


@pytest.mark.rule("3.8.6", "3.8.11")
@pytest.mark.parametrize("body", _BAD_BODIES.values(), ids=list(_BAD_BODIES))
def test_anything_but_1_to_1000_keys_is_malformed(body: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        parse_delete(body)
    assert (caught.value.code, caught.value.status) == ("MalformedXML", 400)


@pytest.mark.rule("3.8.6")
def test_1000_keys_are_accepted() -> None:
    assert len(parse_delete(delete(*[_ONE] * 1000)).objects) == 1000


@pytest.mark.rule("3.4.9")
def test_a_key_that_no_object_can_have_is_refused() -> None:
    with pytest.raises(S3Error) as caught:
        parse_delete(delete(f"<Object><Key>{'a' * 1025}</Key></Object>"))
    assert caught.value.code == "KeyTooLongError"


@pytest.mark.rule("3.8.4")
def test_denied_keys_are_taken_out() -> None:
    allowed, denied = split_denied(named("a", "b", "c"), lambda item: item.key != "b")
    assert (*allowed, *denied) == named("a", "c", "b").objects


@pytest.mark.rule("3.8.7", "3.8.10")
def test_the_backends_body_has_backend_keys_versions_and_is_never_quiet() -> None:
    objects = [
        ObjectIdentifier(key="a<b", version_id="v&1"),
        ObjectIdentifier(key="c", conditions=(("ETag", '"e"'),)),
    ]
    root = xml.parse(backend_delete_body(objects, NAMES))
    assert root.tag == "Delete"
    assert root.findtext("Quiet") == "false"
    assert [fields(element) for element in root.findall("Object")] == [
        {"Key": "red/a<b", "VersionId": "v&1"},
        {"Key": "red/c", "ETag": '"e"'},
    ]


@pytest.mark.rule("3.8.9")
@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Z")), min_size=1))
def test_keys_are_escaped_both_ways(key: str) -> None:
    body = backend_delete_body([ObjectIdentifier(key=key)], NAMES)
    assert parse_delete(body).objects[0].key == "red/" + key
    merged = merge(named(key), result(deleted("red/" + key)))
    assert merged == [("Deleted", {"Key": key})]


@pytest.mark.rule("3.8.7")
def test_the_backends_body_goes_with_its_md5() -> None:
    ((name, value),) = integrity_headers(b"<Delete/>")
    assert name == b"content-md5"
    assert b64decode(value) == md5(b"<Delete/>", usedforsecurity=False).digest()


@pytest.mark.rule("3.8.4")
def test_denied_keys_are_errors_beside_what_was_deleted() -> None:
    refused = ObjectIdentifier(key="b", version_id="v1")
    request = DeleteRequest(objects=(ObjectIdentifier(key="a"), refused), is_quiet=False)
    merged = merge(request, result(deleted("red/a")), (refused,))
    assert merged == [
        ("Deleted", {"Key": "a"}),
        (
            "Error",
            {"Key": "b", "VersionId": "v1", "Code": "AccessDenied", "Message": "Access Denied"},
        ),
    ]


@pytest.mark.rule("3.8.5")
def test_all_denied_needs_no_backend() -> None:
    request = named("a", "b")
    merged = merge(request, None, request.objects)
    assert [(tag, entry["Key"], entry["Code"]) for tag, entry in merged] == [
        ("Error", "a", "AccessDenied"),
        ("Error", "b", "AccessDenied"),
    ]


@pytest.mark.rule("3.8.7")
def test_quiet_hides_successes_and_never_errors() -> None:
    refused = ObjectIdentifier(key="c")
    request = DeleteRequest(objects=(*named("a", "b").objects, refused), is_quiet=True)
    failed = "<Error><Key>red/b</Key><Code>InternalError</Code><Message>m</Message></Error>"
    merged = merge(request, result(deleted("red/a"), failed), (refused,))
    assert [(tag, entry["Key"]) for tag, entry in merged] == [("Error", "b"), ("Error", "c")]


def test_versions_and_delete_markers_are_passed() -> None:
    extra = (
        "<VersionId>v1</VersionId><DeleteMarker>true</DeleteMarker>"
        "<DeleteMarkerVersionId>v2</DeleteMarkerVersionId>"
    )
    assert merge(named("a"), result(deleted("red/a", extra))) == [
        (
            "Deleted",
            {"Key": "a", "VersionId": "v1", "DeleteMarker": "true", "DeleteMarkerVersionId": "v2"},
        )
    ]


@pytest.mark.parametrize("told", ["acme-prod-7", "arn:aws:sts::111122223333:assumed-role/r/s"])
def test_a_message_that_names_the_backend_or_the_role_is_replaced(told: str) -> None:
    failed = (
        f"<Error><Key>red/a</Key><Code>AccessDenied</Code><Message>no right on {told}"
        "</Message><Where>red/a</Where></Error>"
    )
    ((_, entry),) = merge(named("a"), result(failed))
    assert entry == {
        "Key": "a",
        "Code": "AccessDenied",
        "Message": "The object could not be deleted.",
        "Where": "",
    }


@pytest.mark.rule("3.8.8")
def test_a_key_that_the_backend_says_nothing_about_is_no_success() -> None:
    merged = merge(named("a", "b", is_quiet=True), result(deleted("red/a")))
    assert [(tag, entry["Key"], entry["Code"]) for tag, entry in merged] == [
        ("Error", "b", "InternalError")
    ]


@pytest.mark.rule("3.8.8", "3.8.10")
def test_each_version_of_a_key_needs_its_own_answer() -> None:
    objects = tuple([ObjectIdentifier(key="a", version_id=version) for version in ("1", "2")])
    request = DeleteRequest(objects=objects, is_quiet=False)
    merged = merge(request, result(deleted("red/a", "<VersionId>1</VersionId>")))
    assert [(tag, entry["VersionId"]) for tag, entry in merged] == [
        ("Deleted", "1"),
        ("Error", "2"),
    ]


def test_a_key_named_twice_is_answered_once_or_twice() -> None:
    request = named("a", "a")
    assert len(merge(request, result(deleted("red/a")))) == 1
    assert len(merge(request, result(deleted("red/a"), deleted("red/a")))) == 2


@pytest.mark.rule("3.8.9")
def test_what_was_not_sent_and_unknown_elements_are_left_out_of_the_result() -> None:
    entries = ("<Extra/>", deleted("blue/a"), deleted("red/z"), "<Deleted/>", deleted("red/a"))
    assert merge(named("a"), result(*entries)) == [("Deleted", {"Key": "a"})]


@pytest.mark.rule("3.8.8")
@pytest.mark.parametrize("body", [b"", b"OK", b"<DeleteResult>", b"<Error><Code>X</Code></Error>"])
def test_an_answer_that_is_no_result_is_unavailable_never_success(body: bytes) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        merge(named("a"), body)
    assert caught.value.code == "ServiceUnavailable"


BODY = b"<Delete>...</Delete>"
_MD5 = b64encode(md5(BODY, usedforsecurity=False).digest())
_CRC32 = b64encode(crc32(BODY).to_bytes(4, "big"))
_SHA256 = b64encode(sha256(BODY).digest())


@pytest.mark.rule("3.8.11")
def test_what_the_client_states_about_its_body_holds() -> None:
    verify_digests(
        [
            (b"content-md5", _MD5),
            (b"x-amz-checksum-crc32", _CRC32),
            (b"x-amz-checksum-sha256", _SHA256),
            (b"x-amz-checksum-algorithm", b"CRC32"),
            (b"x-amz-sdk-checksum-algorithm", b"CRC32"),
        ],
        BODY,
    )
    verify_digests([(b"host", b"x")], BODY)


@pytest.mark.rule("3.8.11")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (b"content-md5", b64encode(bytes(16)), "BadDigest"),
        (b"content-md5", b"!", "InvalidDigest"),
        (b"x-amz-checksum-crc32", b64encode(bytes(4)), "BadDigest"),
        (b"x-amz-checksum-sha256", _CRC32, "InvalidDigest"),
        (b"x-amz-checksum-rot13", _CRC32, "NotImplemented"),
    ],
)
def test_a_body_that_does_not_match_is_refused(name: bytes, value: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        verify_digests([(name, value)], BODY)
    assert caught.value.code == code
