"""List operations, the way back."""

from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.list_query import SHAPES, backend_list_query
from bucketroute_dataplane.core.listing import empty_list_result, rewrite_list_result
from bucketroute_dataplane.core.names import BucketNames, encode_key
from bucketroute_dataplane.core.sealing import SealingRing, TokenSealer

NAMES = BucketNames(virtual_bucket="data", backend_bucket="acme-prod-7", prefix="red/")
BARE = BucketNames(virtual_bucket="data", backend_bucket="acme-prod-7", prefix="")
TOKENS = TokenSealer(SealingRing([b"k" * 32], bytes), "uid-1")
URL = {b"encoding-type": b"url"}
CORPUS = (
    "plain/file.bin",
    "by_country/country_iso=ETH/ETH.pmtiles",
    "spaces in/every segment.txt",
    "specials !('):@+,;$&.bin",
    "unicode/café/naïve.txt",
    "report*.pdf",
    "100%.txt",
    "100%25.txt",
    "tilde~hash#pipe|.bin",
    "brackets[1]{2}.bin",
    "literal-%3D-triplet.txt",
    "a//b",
    "dir/",
    "<&>\"'",
)


def url(name: str) -> str:
    return encode_key(name.encode()).decode()


def key(name: str, size: int = 3, *, encoded: bool = True) -> str:
    shown = url(name) if encoded else xml.escape(name)
    return f"<Contents><Key>{shown}</Key><Size>{size}</Size></Contents>"


def folder(name: str) -> str:
    return f"<CommonPrefixes><Prefix>{url(name)}</Prefix></CommonPrefixes>"


def page(operation_name: str, *parts: str, encoded: bool = True) -> bytes:
    """A backend's page with everything in it that must not get through."""
    head = (
        "<Name>acme-prod-7</Name><Bucket>acme-prod-7</Bucket><Prefix>red/</Prefix>"
        "<Marker>red/m</Marker><StartAfter>red/s</StartAfter><KeyMarker>red/k</KeyMarker>"
        "<MaxKeys>1000</MaxKeys><KeyCount>77</KeyCount>"
    )
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return xml.document(SHAPES[operation_name].root, head + encoding + "".join(parts))


def rewrite(
    operation_name: str,
    *parts: str,
    query: Mapping[bytes, bytes] | None = None,
    names: BucketNames = NAMES,
    encoded: bool = True,
) -> Element:
    body = page(operation_name, *parts, encoded=encoded)
    result = rewrite_list_result(operation_name, body, query or {}, names, TOKENS)
    assert b"acme" not in result
    assert b"red/" not in result
    return xml.parse(result)


def texts(root: Element, path: str) -> list[str]:
    return [element.text or "" for element in root.findall(path)]


TRUNCATED = "<IsTruncated>true</IsTruncated>"


@pytest.mark.rule("3.4.1", "3.7.7", "3.7.9")
def test_corpus_keys_reach_the_client_identically_encoded_or_not() -> None:
    parts = [key("red/" + name) for name in CORPUS]
    plain = rewrite("ListObjectsV2", *parts)
    encoded = rewrite("ListObjectsV2", *parts, query=URL)
    assert texts(plain, "Contents/Key") == list(CORPUS)
    shown = texts(encoded, "Contents/Key")
    assert [unquote(name) for name in shown] == list(CORPUS)
    assert [unquote_plus(name) for name in shown] == list(CORPUS)
    assert shown[3] == "specials%20%21%28%27%29%3A%40%2B%2C%3B%24%26.bin"
    assert encoded.findtext("EncodingType") == "url"
    assert plain.find("EncodingType") is None


@pytest.mark.rule("3.7.9")
@given(st.binary(min_size=1), st.booleans())
def test_every_byte_of_a_key_survives_encoding(name: bytes, wants_url: bool) -> None:
    entry = f"<Contents><Key>red/{encode_key(name).decode()}</Key></Contents>"
    body = page("ListObjects", entry)
    root = rewrite_list_result("ListObjects", body, URL if wants_url else {}, NAMES, TOKENS)
    if wants_url:
        assert b"<Contents><Key>%s</Key></Contents>" % encode_key(name) in root
    else:
        shown = xml.escape(name.decode("utf-8", "surrogateescape")).encode()
        assert b"<Contents><Key>%s</Key></Contents>" % shown in root


def test_a_space_that_the_backend_wrote_as_plus_is_a_space() -> None:
    root = rewrite("ListObjects", "<Contents><Key>red/a+b%2Bc</Key></Contents>")
    assert texts(root, "Contents/Key") == ["a b+c"]


@pytest.mark.rule("3.7.9")
def test_a_backend_that_ignores_encoding_type_is_read_raw() -> None:
    parts = [key("red/" + name, encoded=False) for name in CORPUS]
    root = rewrite("ListObjects", *parts, encoded=False)
    assert texts(root, "Contents/Key") == list(CORPUS)


@pytest.mark.rule("3.7.13")
def test_all_other_fields_of_an_entry_pass_through() -> None:
    fields = (
        "<LastModified>2024-05-06T07:08:09.123Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
        "<ChecksumType>FULL_OBJECT</ChecksumType><Size>5</Size>"
        "<Owner><ID>o&amp;1</ID><DisplayName>owner</DisplayName></Owner>"
        "<StorageClass>GLACIER</StorageClass>"
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>"
    )
    body = page("ListObjectsV2", f"<Contents><Key>red/k</Key>{fields}</Contents>")
    result = rewrite_list_result("ListObjectsV2", body, {}, NAMES, TOKENS).decode()
    assert f"<Contents><Key>k</Key>{fields.replace('&quot;', chr(34))}</Contents>" in result


ROLE_SESSION = "arn:aws:sts::111122223333:assumed-role/bucketroute/team-a.reports"


def test_an_upload_does_not_tell_which_role_began_it() -> None:
    person = f"<ID>{ROLE_SESSION}</ID><DisplayName>acme-prod-7</DisplayName>"
    upload = (
        f"<Upload><Key>red/k</Key><UploadId>u</UploadId><Initiator>{person}</Initiator>"
        f"<Owner><ID>o</ID>{person}</Owner><StorageClass>STANDARD</StorageClass></Upload>"
    )
    root = rewrite("ListMultipartUploads", upload)
    text = " ".join(root.itertext())
    assert "arn:" not in text
    assert "acme-prod-7" not in text
    assert texts(root, "Upload/Owner/ID") == ["o"]
    assert texts(root, "Upload/StorageClass") == ["STANDARD"]


@pytest.mark.rule("3.7.8", "3.7.16")
def test_the_client_sees_its_own_request_and_the_virtual_bucket() -> None:
    query = {
        b"prefix": b"a b",
        b"delimiter": b"+",
        b"start-after": "é".encode(),
        b"max-keys": b"2000",
        **URL,
    }
    root = rewrite("ListObjectsV2", "<IsTruncated>false</IsTruncated>", query=query)
    assert [(child.tag, child.text) for child in root] == [
        ("Name", "data"),
        ("Prefix", "a%20b"),
        ("StartAfter", "%C3%A9"),
        ("KeyCount", "0"),
        ("MaxKeys", "1000"),
        ("Delimiter", "%2B"),
        ("EncodingType", "url"),
        ("IsTruncated", "false"),
    ]


@pytest.mark.rule("3.7.16")
def test_v1_has_a_marker_and_no_key_count() -> None:
    root = rewrite("ListObjects", query={b"marker": b"m&m"})
    assert root.findtext("Marker") == "m&m"
    assert not root.findall("KeyCount") + root.findall("Delimiter")
    assert rewrite("ListObjects").findtext("Marker") == ""
    assert rewrite("ListObjectsV2").find("StartAfter") is None


@pytest.mark.rule("3.7.7")
def test_keys_and_prefixes_outside_the_routes_prefix_are_never_shown() -> None:
    parts = (key("reddish/x"), key("red/in"), key("blue/x"), folder("other/"), folder("red/a/"))
    root = rewrite("ListObjectsV2", *parts)
    assert texts(root, "Contents/Key") == ["in"]
    assert texts(root, "CommonPrefixes/Prefix") == ["a/"]
    assert root.findtext("KeyCount") == "2"


@pytest.mark.rule("3.7.11", "3.7.12")
def test_the_prefixs_own_object_is_hidden_before_keys_are_counted() -> None:
    root = rewrite("ListObjectsV2", key("red/", 0), key("red/a"), folder("red/"))
    assert texts(root, "Contents/Key") == ["a"]
    assert root.findtext("KeyCount") == "1"


@pytest.mark.rule("3.7.11")
def test_an_empty_marker_beside_its_common_prefix_is_hidden_and_a_real_object_is_not() -> None:
    parts = (key("red/a/", 0), key("red/b/", 9), folder("red/a/"), folder("red/b/"))
    root = rewrite("ListObjectsV2", *parts)
    assert texts(root, "Contents/Key") == ["b/"]
    assert texts(root, "CommonPrefixes/Prefix") == ["a/", "b/"]


@pytest.mark.rule("3.7.11")
def test_a_folder_marker_under_its_own_listing_stays_as_s3_shows_it() -> None:
    root = rewrite("ListObjectsV2", key("red/dir/", 0), query={b"prefix": b"dir/"})
    assert texts(root, "Contents/Key") == ["dir/"]


@pytest.mark.rule("3.7.3", "3.7.10")
def test_the_next_token_is_sealed_and_leads_the_backend_on() -> None:
    following = "<NextContinuationToken>red/k+/=</NextContinuationToken>"
    query = {b"prefix": b"p", **URL}
    root = rewrite("ListObjectsV2", TRUNCATED, following, query=query)
    token = root.findtext("NextContinuationToken")
    assert token is not None
    again = {**query, b"continuation-token": token.encode()}
    pairs = backend_list_query("ListObjectsV2", again, NAMES, TOKENS)
    assert pairs is not None
    assert (b"continuation-token", b"red/k+/=") in pairs
    assert rewrite("ListObjectsV2", query=again).findtext("ContinuationToken") == token


NEXT_MARKERS = {
    "key-last": ([folder("red/a/"), key("red/b")], "b"),
    "prefix-last": ([key("red/b"), folder("red/c d/")], "c%20d/"),
    "not-the-backends-own": ([key("red/b+c"), "<NextMarker>red/b+c[x]</NextMarker>"], "b%2Bc"),
    "hidden-key-last": ([key("red/b/", 0), folder("red/b/")], "b/"),
    "nothing-on-the-page": (["<NextMarker>red/z%25</NextMarker>"], "z%25"),
}


@pytest.mark.rule("3.7.5")
@pytest.mark.parametrize(("parts", "expected"), NEXT_MARKERS.values(), ids=list(NEXT_MARKERS))
def test_next_marker_is_the_last_name_stripped_and_encoded(parts: list[str], expected: str) -> None:
    assert rewrite("ListObjects", TRUNCATED, *parts, query=URL).findtext("NextMarker") == expected


@pytest.mark.rule("3.7.5")
def test_the_last_page_has_no_next_marker() -> None:
    assert rewrite("ListObjects", key("red/b")).find("NextMarker") is None
    assert rewrite("ListObjects", TRUNCATED).find("NextMarker") is None


def test_names_compare_as_bytes_of_utf_8() -> None:
    root = rewrite("ListObjects", TRUNCATED, key("red/\U00010000"), folder("red/\uffee/"))
    assert root.findtext("NextMarker") == "\U00010000"


def test_versions_and_delete_markers_keep_their_order_and_markers() -> None:
    root = rewrite(
        "ListObjectVersions",
        "<Version><Key>red/a%2B</Key><VersionId>1</VersionId><IsLatest>true</IsLatest></Version>",
        "<DeleteMarker><Key>red/b</Key><VersionId>2</VersionId></DeleteMarker>",
        "<Version><Key>red/b</Key><VersionId>1</VersionId></Version>",
        "<Version><Key>red/</Key><VersionId>9</VersionId></Version>",
        "<Version><VersionId>9</VersionId></Version>",
        "<NextKeyMarker>red/b%2Bb</NextKeyMarker><NextVersionIdMarker>1+1</NextVersionIdMarker>",
        query={b"key-marker": b"a+", b"version-id-marker": b"0+0", **URL},
    )
    assert [child.tag for child in root][-3:] == ["Version", "DeleteMarker", "Version"]
    assert texts(root, "Version/Key") == ["a%2B", "b"]
    assert (root.findtext("KeyMarker"), root.findtext("VersionIdMarker")) == ("a%2B", "0+0")
    following = (root.findtext("NextKeyMarker"), root.findtext("NextVersionIdMarker"))
    assert following == ("b%2Bb", "1+1")


def test_uploads_are_listed_under_the_virtual_bucket() -> None:
    root = rewrite(
        "ListMultipartUploads",
        "<Upload><Key>red/a</Key><UploadId>u&amp;1</UploadId></Upload>",
        "<NextKeyMarker>red/a</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker>",
        query={b"max-uploads": b"7"},
    )
    assert root.findtext("Bucket") == "data"
    assert root.findtext("MaxUploads") == "7"
    assert [child.text for child in root.findall("Upload/*")] == ["a", "u&1"]
    assert (root.findtext("NextKeyMarker"), root.findtext("NextUploadIdMarker")) == ("a", "u1")


def test_empty_markers_of_a_last_page_are_left_out() -> None:
    empty = "<NextKeyMarker></NextKeyMarker><NextUploadIdMarker></NextUploadIdMarker>"
    for names in (NAMES, BARE):
        root = rewrite("ListMultipartUploads", empty, names=names)
        assert not {"NextKeyMarker", "NextUploadIdMarker"} & {child.tag for child in root}


@pytest.mark.rule("3.7.2")
def test_the_page_of_nothing_is_complete_and_echoes_the_request() -> None:
    query = {b"max-keys": b"0", b"prefix": b"p&", b"continuation-token": b"t"}
    root = xml.parse(empty_list_result("ListObjectsV2", query, NAMES))
    assert [(child.tag, child.text) for child in root] == [
        ("Name", "data"),
        ("Prefix", "p&"),
        ("KeyCount", "0"),
        ("MaxKeys", "0"),
        ("IsTruncated", "false"),
    ]
    v1 = xml.parse(empty_list_result("ListObjects", {b"max-keys": b"0"}, NAMES))
    assert v1.find("KeyCount") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"<html/>", b"<ListBucketResult>", b"<Error><Code>X</Code></Error>"],
)
def test_an_answer_that_is_no_list_is_never_an_empty_page(body: bytes) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        rewrite_list_result("ListObjectsV2", body, {}, NAMES, TOKENS)
    assert caught.value.code == "ServiceUnavailable"
