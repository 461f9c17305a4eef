"""The checksum table against botocore's own classes, and checks of stated digests."""

from base64 import b64encode
from hashlib import md5, sha256

import pytest
from botocore import httpchecksum
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.checksums import (
    checksum_algorithm,
    content_md5_check,
    decode_digest,
    encode_digest,
    payload_sha256_check,
)
from bucketroute_dataplane.core.errors import S3Error

ORACLES = {
    "crc32": httpchecksum.Crc32Checksum,
    "crc32c": httpchecksum.CrtCrc32cChecksum,
    "crc64nvme": httpchecksum.CrtCrc64NvmeChecksum,
    "sha1": httpchecksum.Sha1Checksum,
    "sha256": httpchecksum.Sha256Checksum,
    "sha512": httpchecksum.Sha512Checksum,
    "xxhash64": httpchecksum.CrtXxhash64Checksum,
    "xxhash3": httpchecksum.CrtXxhash3Checksum,
    "xxhash128": httpchecksum.CrtXxhash128Checksum,
}


@pytest.mark.rule("3.2.10")
@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=30, deadline=None, database=None)
@given(pieces=st.lists(st.binary(max_size=100), max_size=4))
def test_each_algorithm_agrees_with_botocore_in_whatever_pieces(
    name: str, pieces: list[bytes]
) -> None:
    algorithm = checksum_algorithm(b"x-amz-checksum-" + name.encode())
    assert algorithm is not None
    ours, oracle = algorithm.new(), ORACLES[name]()
    for wrap, piece in zip([bytes, bytearray, memoryview, bytes], pieces, strict=False):
        ours.update(wrap(piece))
        oracle.update(piece)
    assert encode_digest(ours.digest()).decode() == oracle.b64digest()
    assert ours.digest() == ours.digest()
    assert len(ours.digest()) == algorithm.digest_bytes
    assert len(encode_digest(ours.digest())) == algorithm.value_bytes


@pytest.mark.parametrize(
    ("name", "check_value"),
    [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")],
)
def test_crcs_give_the_check_value_of_their_definition(name: str, check_value: str) -> None:
    algorithm = checksum_algorithm(b"x-amz-checksum-" + name.encode())
    assert algorithm is not None
    hasher = algorithm.new()
    hasher.update(memoryview(b"__123456789")[2:])
    assert hasher.digest().hex() == check_value


def test_md5_is_hashlibs() -> None:
    algorithm = checksum_algorithm(b"x-amz-checksum-md5")
    assert algorithm is not None
    hasher = algorithm.new()
    hasher.update(b"hello")
    assert hasher.digest() == md5(b"hello").digest()
    assert algorithm.value_bytes == len("1B2M2Y8AsgTpgAmY7PhCfg==")


@pytest.mark.parametrize("header", [b"x-amz-checksum-type", b"x-amz-checksum-crc99", b"crc32"])
def test_an_unknown_name_has_no_algorithm(header: bytes) -> None:
    assert checksum_algorithm(header) is None


@pytest.mark.parametrize("value", [b"AAAA", b"AAAAAA=", b"AAA AAA==", b"\xff", b""])
def test_a_digest_of_another_length_or_alphabet_is_none(value: bytes) -> None:
    assert decode_digest(value, 4) is None


def test_content_md5_accepts_the_body_that_it_states() -> None:
    check = content_md5_check(b64encode(md5(b"hello").digest()) + b" ")
    check.update(b"he")
    check.update(memoryview(b"llo"))
    check.verify()


def test_content_md5_refuses_another_body() -> None:
    check = content_md5_check(b64encode(md5(b"hello").digest()))
    check.update(b"hellO")
    with pytest.raises(S3Error) as caught:
        check.verify()
    assert (caught.value.code, caught.value.status) == ("BadDigest", 400)


def test_a_malformed_content_md5_is_refused_at_once() -> None:
    with pytest.raises(S3Error, match="InvalidDigest"):
        content_md5_check(b"not base64")


@pytest.mark.rule("3.10.4")
def test_a_body_that_differs_from_its_payload_hash_is_refused() -> None:
    payload_hash = sha256(b"hello").hexdigest().encode()
    right, wrong = payload_sha256_check(payload_hash), payload_sha256_check(payload_hash)
    right.update(b"hello")
    right.verify()
    wrong.update(b"hellO")
    with pytest.raises(S3Error) as caught:
        wrong.verify()
    assert (caught.value.code, caught.value.status) == ("XAmzContentSHA256Mismatch", 400)
