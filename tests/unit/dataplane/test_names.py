"""Keys on the wire and on both sides of a route."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.names import (
    BucketNames,
    check_key,
    encode_key,
    encode_query_value,
)

NAMES = BucketNames(
    virtual_bucket="data",
    backend_bucket="acme-prod-7",
    prefix="tenants/red/",
    backend_host="s3.backend.example:9443",
)

CORPUS = {
    "plain/file.bin": b"plain/file.bin",
    "by_country/country_iso=ETH/ETH.pmtiles": b"by_country/country_iso%3DETH/ETH.pmtiles",
    "spaces in/every segment.txt": b"spaces%20in/every%20segment.txt",
    "specials !('):@+,;$&.bin": b"specials%20%21%28%27%29%3A%40%2B%2C%3B%24%26.bin",
    "unicode/café/naïve.txt": b"unicode/caf%C3%A9/na%C3%AFve.txt",
    "report*.pdf": b"report%2A.pdf",
    "100%.txt": b"100%25.txt",
    "100%25.txt": b"100%2525.txt",
    "tilde~hash#pipe|.bin": b"tilde~hash%23pipe%7C.bin",
    "brackets[1]{2}.bin": b"brackets%5B1%5D%7B2%7D.bin",
    "literal-%3D-triplet.txt": b"literal-%253D-triplet.txt",
}


@pytest.mark.rule("3.4.1", "3.4.2")
@pytest.mark.parametrize(("key", "encoded"), CORPUS.items(), ids=list(CORPUS))
def test_corpus_keys_are_encoded_once_with_the_strict_set(key: str, encoded: bytes) -> None:
    assert encode_key(key.encode()) == encoded


@given(st.binary())
def test_encoded_keys_decode_to_themselves_and_hold_only_unreserved(key: bytes) -> None:
    encoded = encode_key(key)
    assert unquote_to_bytes(encoded) == key
    assert not set(encoded) - set(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%"
    )


@pytest.mark.rule("3.4.8")
def test_query_values_cannot_inject_a_parameter() -> None:
    assert encode_query_value(b"abc-._~1") == b"abc-._~1"
    assert encode_query_value(b"a/b&uploads=#") == b"a%2Fb%26uploads%3D%23"


@pytest.mark.rule("3.4.6")
@pytest.mark.parametrize("key", [b"a//b", b"dir/", b"a//", b"..a/b..", b"a" * 1024])
def test_keys_that_s3_knows_are_accepted(key: bytes) -> None:
    check_key(key)


@pytest.mark.rule("3.4.5")
@pytest.mark.parametrize(
    "key", [b".", b"..", b"a/../b", b"./a", b"a/.", b"a\x00b", b"a\nb", b"a\x7fb"]
)
def test_dot_segments_and_control_bytes_are_refused(key: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        check_key(key)
    assert caught.value.code == "InvalidRequest"


@pytest.mark.rule("3.13.5")
def test_a_key_longer_than_1024_bytes_is_refused() -> None:
    with pytest.raises(S3Error) as caught:
        check_key("é".encode() * 513)
    assert caught.value.code == "KeyTooLongError"


@pytest.mark.rule("3.4.10")
def test_the_prefix_is_put_in_front_and_taken_off_exactly() -> None:
    assert NAMES.to_backend_key("a/b") == "tenants/red/a/b"
    assert NAMES.from_backend_key("tenants/red/a/b") == "a/b"
    assert NAMES.from_backend_key("tenants/red") is None
    assert NAMES.from_backend_key("tenants/redder/a") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The bucket acme-prod-7 is gone", True),
        ("ACME-PROD-7", True),
        ("no key tenants/red/x", True),
        ("no key tenants%2Fred%2Fx", True),
        ("folder tenants/red", True),
        ("try s3.backend.example", True),
        ("Access Denied", False),
        ("the bucket data", False),
        ("tenants", False),
    ],
)
def test_text_that_mentions_the_backend_is_recognised(text: str, expected: bool) -> None:
    assert NAMES.mentions_backend(text) is expected


def test_a_bucket_of_the_same_name_on_both_sides_reveals_nothing() -> None:
    names = BucketNames(virtual_bucket="data", backend_bucket="data", prefix="")
    assert not names.mentions_backend("the bucket data")


def test_a_short_folder_is_looked_for_with_its_slash() -> None:
    names = BucketNames(virtual_bucket="data", backend_bucket="acme", prefix="a/")
    assert names.mentions_backend("a/key")
    assert not names.mentions_backend("a key")
