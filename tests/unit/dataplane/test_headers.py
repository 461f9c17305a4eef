"""Which headers cross the proxy: allow-lists to the backend, a deny-list to the client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.headers import (
    forwarded_headers,
    is_plainly_forwarded,
    passing_headers,
    response_headers,
    without_aws_chunked,
)
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.operations import BY_NAME, OPERATIONS, Answer
from bucketroute_testing.heads import head, refusal

FORWARDED = [op.name for op in OPERATIONS if op.answer is not Answer.LOCAL]
WRITES = ["PutObject", "CopyObject", "CreateMultipartUpload"]
EACH = pytest.mark.parametrize("name", FORWARDED)
SSE_C = b"x-amz-server-side-encryption-customer-"


def passed(name: str, *headers: Header, is_tls: bool = True) -> list[Header]:
    return forwarded_headers(BY_NAME[name], head("GET", "/", *headers), backend_is_tls=is_tls)


def refused(name: str, *headers: Header, is_tls: bool = True) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        passed(name, *headers, is_tls=is_tls)
    return refusal(caught)


DESCRIPTION = (
    b"cache-control content-disposition content-language content-type expires x-amz-storage-class "
    b"x-amz-tagging x-amz-website-redirect-location x-amz-meta-owner "
    b"x-amz-server-side-encryption x-amz-server-side-encryption-aws-kms-key-id "
    b"x-amz-server-side-encryption-context x-amz-server-side-encryption-bucket-key-enabled"
)
CHECKSUMS = (
    b"x-amz-checksum-crc32 x-amz-checksum-crc32c x-amz-checksum-crc64nvme x-amz-checksum-sha1 "
    b"x-amz-checksum-sha256 x-amz-checksum-sha512 x-amz-checksum-xxhash3 x-amz-checksum-of-2030"
)
READ = b"range if-match if-none-match if-modified-since if-unmodified-since if-range "
OF_CLIENT = (
    b"x-amz-server-side-encryption-customer-algorithm x-amz-server-side-encryption-customer-key "
    b"x-amz-server-side-encryption-customer-key-md5"
)
PASSED = [
    ("3.5.1", "GetObject", READ + b"x-amz-checksum-mode " + OF_CLIENT),
    ("3.5.1", "HeadObject", READ + b"x-amz-checksum-mode " + OF_CLIENT),
    ("3.5.2", "PutObject", DESCRIPTION + b" content-md5 if-match if-none-match"),
    ("3.5.3", "PutObject", CHECKSUMS + b" x-amz-sdk-checksum-algorithm " + OF_CLIENT),
    ("3.5.3", "CreateMultipartUpload", DESCRIPTION + b" x-amz-checksum-algorithm"),
    ("3.5.3", "CreateMultipartUpload", b"x-amz-checksum-type x-amz-sdk-checksum-algorithm"),
    ("3.5.4", "DeleteObject", b"if-match x-amz-if-match-size x-amz-if-match-last-modified-time"),
    ("3.5.5", "CompleteMultipartUpload", b"content-type content-md5 if-match if-none-match"),
    ("3.5.5", "CompleteMultipartUpload", CHECKSUMS + b" x-amz-mp-object-size"),
    ("3.5.7", "CopyObject", DESCRIPTION + b" x-amz-metadata-directive x-amz-tagging-directive"),
    ("3.5.7", "CopyObject", b"x-amz-copy-source-if-match x-amz-copy-source-if-none-match"),
    ("3.5.7", "CopyObject", b"x-amz-copy-source-server-side-encryption-customer-key"),
    ("3.5.7", "UploadPartCopy", b"x-amz-copy-source-range x-amz-copy-source-if-match"),
    ("3.2.10", "UploadPart", CHECKSUMS + b" content-md5 x-amz-sdk-checksum-algorithm"),
    ("3.5.1", "GetObjectAttributes", b"x-amz-object-attributes x-amz-max-parts"),
]


@pytest.mark.rule("3.5.1", "3.5.2", "3.5.3", "3.5.4", "3.5.5", "3.5.7", "3.2.10", "3.2.12")
@pytest.mark.parametrize(
    ("name", "names"), [row[1:] for row in PASSED], ids=[f"{r}-{n}" for r, n, _ in PASSED]
)
def test_an_operation_forwards_what_belongs_to_it(name: str, names: bytes) -> None:
    headers = [(header, b"1") for header in names.split()]
    assert passed(name, *headers) == headers


@EACH
def test_payer_and_expected_owner_pass_everywhere(name: str) -> None:
    """The backend is the one that knows its buckets' owners and who pays for requests."""
    headers = [(b"x-amz-request-payer", b"requester"), (b"x-amz-expected-bucket-owner", b"1" * 12)]
    assert passed(name, *headers) == headers


NEVER = (
    b"authorization x-amz-date x-amz-content-sha256 x-amz-security-token cookie host connection "
    b"keep-alive te trailer transfer-encoding upgrade proxy-authorization proxy-connection "
    b"x-forwarded-for x-forwarded-host x-forwarded-proto forwarded via expect accept-encoding "
    b"content-length x-amz-decoded-content-length x-amz-trailer x-amz-copy-source user-agent "
    b"x-amz-bypass-governance-retention x-amz-mfa x-id amz-sdk-request x-unknown x-amz-unknown"
)


@pytest.mark.rule("3.5.8")
@EACH
def test_credentials_framing_and_the_unknown_never_pass(name: str) -> None:
    assert passed(name, *[(header, b"1") for header in NEVER.split()]) == []


@pytest.mark.rule("3.2.19")
@pytest.mark.parametrize("header", [b"if-match", b"if-none-match", b"if-modified-since", b"range"])
def test_a_precondition_does_not_reach_a_part(header: bytes) -> None:
    assert passed("UploadPart", (header, b"*")) == []


@pytest.mark.rule("3.5.3")
@EACH
@pytest.mark.parametrize(
    "header", [b"x-amz-grant-read", b"x-amz-grant-full-control", b"x-amz-object-lock-mode"]
)
def test_what_would_change_the_meaning_if_it_were_dropped_is_refused(
    name: str, header: bytes
) -> None:
    assert refused(name, (header, b"x")) == (501, "NotImplemented")


@pytest.mark.rule("3.5.3")
@pytest.mark.parametrize("name", WRITES)
def test_an_object_cannot_be_made_public_by_an_acl(name: str) -> None:
    for acl in (b"private", b"bucket-owner-full-control", b"bucket-owner-read"):
        assert passed(name, (b"x-amz-acl", acl)) == [(b"x-amz-acl", acl)]
    for acl in (b"public-read", b"public-read-write", b"authenticated-read", b"", b"Private"):
        assert refused(name, (b"x-amz-acl", acl)) == (501, "NotImplemented")
    for pair in ((b"public-read", b"private"), (b"private", b"public-read")):
        headers = [(b"x-amz-acl", acl) for acl in pair]
        assert refused(name, *headers) == (501, "NotImplemented")


@pytest.mark.rule("3.13.4")
@pytest.mark.parametrize("name", WRITES)
def test_metadata_is_at_most_2_kib_without_the_names_prefix(name: str) -> None:
    fits = [(b"x-amz-meta-" + b"n" * 24, b"v" * 1000)] * 2
    assert passed(name, *fits) == fits
    too_large = [*fits, (b"x-amz-meta-a", b"")]
    assert refused(name, *too_large) == (400, "MetadataTooLarge")


@pytest.mark.rule("3.5.1")
@pytest.mark.parametrize(
    "name", ["GetObject", "HeadObject", "PutObject", "UploadPart", "ListParts"]
)
@pytest.mark.parametrize("suffix", [b"algorithm", b"key", b"key-md5"])
def test_a_customers_key_never_goes_over_plaintext(name: str, suffix: bytes) -> None:
    header = (SSE_C + suffix, b"x")
    assert passed(name, header) == [header]
    assert refused(name, header, is_tls=False) == (400, "InvalidRequest")
    copy = (b"x-amz-copy-source-" + SSE_C.removeprefix(b"x-amz-") + suffix, b"x")
    assert refused("CopyObject", copy, is_tls=False) == (400, "InvalidRequest")


def test_encryption_with_the_backends_keys_is_no_matter_of_the_connection() -> None:
    header = (b"x-amz-server-side-encryption", b"aws:kms")
    assert passed("PutObject", header, is_tls=False) == [header]


@pytest.mark.parametrize("value", [b"a\nb", b"a\r\nx-evil: 1", b"\x00", b"a\x7f", b"\x1b[0m"])
def test_a_value_with_a_control_character_is_refused(value: bytes) -> None:
    assert refused("PutObject", (b"x-amz-meta-a", value)) == (400, "InvalidRequest")
    assert refused("GetObject", (b"range", value)) == (400, "InvalidRequest")


def test_tabs_and_bytes_above_ascii_are_text() -> None:
    header = (b"x-amz-meta-a", "é\tü".encode())
    assert passed("PutObject", header) == [header]


CODINGS = [
    (b"aws-chunked", b""),
    (b"aws-chunked,gzip", b"gzip"),
    (b"gzip, aws-chunked", b"gzip"),
    (b"AWS-Chunked , br,gzip", b"br,gzip"),
    (b"gzip", b"gzip"),
    (b"", b""),
    (b",,", b""),
    (b"aws-chunked-not", b"aws-chunked-not"),
]


@pytest.mark.rule("3.5.9")
@pytest.mark.parametrize(("value", "kept"), CODINGS)
def test_aws_chunked_is_taken_out_of_the_content_encoding(value: bytes, kept: bytes) -> None:
    assert without_aws_chunked(value) == kept
    expected = [(b"content-encoding", kept)] if kept else []
    assert passed("CreateMultipartUpload", (b"content-encoding", value)) == expected


@given(st.lists(st.sampled_from([b"gzip", b"br", b"aws-chunked", b"AWS-CHUNKED"])))
def test_every_other_coding_stays_in_its_order(codings: list[bytes]) -> None:
    kept = [coding for coding in codings if coding.lower() != b"aws-chunked"]
    assert without_aws_chunked(b", ".join(codings)) == b",".join(kept)


# -- towards the client ------------------------------------------------------------------------

DENIED = (
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade "
    b"proxy-authenticate proxy-authorization www-authenticate set-cookie forwarded "
    b"x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port via "
    b"x-amz-server-side-encryption-aws-kms-key-id x-ms-encryption-key-sha256 "
    b"x-goog-encryption-key-sha256 server date x-amz-id-2 x-amz-request-id alt-svc location "
    b"x-amz-bucket-region x-minio-deployment-id x-rgw-object-type x-guploader-uploadid "
    b"server-timing"
)
SHOWN = (
    b"etag content-length content-type content-range accept-ranges last-modified cache-control "
    b"content-encoding content-disposition x-amz-version-id x-amz-delete-marker x-amz-meta-a "
    b"x-amz-checksum-crc32 x-amz-mp-parts-count x-amz-storage-class x-amz-tagging-count expires "
    b"x-amz-server-side-encryption x-amz-server-side-encryption-customer-algorithm retry-after"
)


@pytest.mark.rule("3.6.1", "3.6.3")
@pytest.mark.parametrize("name", DENIED.split(), ids=bytes.decode)
def test_hop_by_hop_headers_and_the_backends_names_stop_here(name: bytes) -> None:
    assert list(response_headers([(name, b"1")], head("GET", "/"))) == []


@pytest.mark.rule("3.6.1")
def test_everything_else_reaches_the_client() -> None:
    headers = [(name, b"1") for name in SHOWN.split()]
    assert list(response_headers(headers, head("GET", "/"))) == headers


@pytest.mark.rule("3.6.2")
def test_repeated_headers_stay_repeated() -> None:
    headers = [(b"x-amz-meta-a", b"1"), (b"etag", b"e"), (b"x-amz-meta-a", b"2")]
    assert list(response_headers(headers, head("GET", "/"))) == headers


@pytest.mark.rule("3.6.4")
def test_the_digest_of_a_customers_key_is_answered_with_the_clients_own() -> None:
    digest = SSE_C + b"key-md5"
    asked = head("GET", "/", (digest, b"of the client"))
    assert list(response_headers([(digest, b"of the backend")], asked)) == [
        (digest, b"of the client")
    ]
    assert list(response_headers([(digest, b"of the backend")], head("GET", "/"))) == []


KNOWN_NAMES = (
    b"accept cache-control connection content-disposition content-encoding content-language "
    b"content-length content-md5 content-type cookie date expect expires host if-match "
    b"if-modified-since if-none-match if-range if-unmodified-since origin range te user-agent "
    b"x-amz-acl x-amz-checksum-crc32 x-amz-checksum-mode x-amz-content-sha256 x-amz-date "
    b"x-amz-expected-bucket-owner x-amz-grant-read x-amz-meta-a x-amz-object-lock-mode "
    b"x-amz-request-payer x-amz-sdk-checksum-algorithm x-amz-server-side-encryption "
    b"x-amz-server-side-encryption-aws-kms-key-id "
    b"x-amz-server-side-encryption-customer-key x-amz-storage-class x-amz-tagging x-unknown"
).split()
ODD_VALUES = (b"", b"private", b"public-read", b"aws-chunked", b"gzip,aws-chunked", b"x" * 3000)


@pytest.mark.parametrize("name", ["GetObject", "HeadObject", "PutObject"])
def test_a_header_is_called_plain_only_if_its_value_decides_nothing(name: str) -> None:
    """What the hot path relies on: one value stands for all others."""

    def outcome(header: bytes, value: bytes) -> list[Header] | str:
        try:
            return passed(name, (header, value), is_tls=False)
        except S3Error as error:
            return error.code

    for header in KNOWN_NAMES:
        found = [outcome(header, value) for value in ODD_VALUES]
        always = [[(header, value)] for value in ODD_VALUES]
        if is_plainly_forwarded(BY_NAME[name], header):
            assert found == always or not any(found), header
    assert is_plainly_forwarded(BY_NAME[name], b"x-amz-request-payer")


@given(
    st.lists(
        st.sampled_from(
            b"content-length content-type etag x-amz-request-id server date via x-minio-a "
            b"x-amz-meta-a access-control-allow-origin connection last-modified".split()
        )
    )
)
def test_what_passes_by_its_name_is_what_passes(names: list[bytes]) -> None:
    backend = [(name, b"%d" % number) for number, name in enumerate(names)]
    passing = passing_headers(tuple(names))
    assert passing is not None
    kept = [h for h in response_headers(backend, head("GET", "/")) if h[0] != b"content-length"]
    assert [backend[index] for index in passing] == kept


def test_the_digest_of_a_customers_key_does_not_pass_by_its_name() -> None:
    assert passing_headers((b"etag", SSE_C + b"key-md5")) is None
