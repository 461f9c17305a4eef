"""One test per way in which the check of a signed header can have a hole."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.sigv4 import SigningKeys, parse_authorization, verify
from bucketroute_testing.signed_requests import (
    HOST,
    KEY,
    NOW,
    PATH,
    URL,
    check,
    refused,
    replaced,
    signed,
)
from bucketroute_testing.signing import AccessKey, Signer


@pytest.mark.rule("3.10.1")
def test_a_request_without_any_signature_is_anonymous() -> None:
    assert parse_authorization(b"GET", PATH, raw_query=b"versionId=1", headers=HOST) is None


def test_a_signed_request_is_verified_and_says_who_claims_it() -> None:
    claim = parse_authorization(b"GET", PATH, raw_query=b"", headers=signed())
    assert claim is not None
    assert (claim.access_key_id, claim.is_presigned) == ("AKIDEXAMPLE", False)
    assert claim.amz_date == NOW
    assert (claim.scope.date, claim.scope.region, claim.scope.service) == (
        b"20260102",
        b"us-east-1",
        b"s3",
    )
    check(signed())


@pytest.mark.rule("3.10.5", "3.10.9")
def test_another_secret_is_refused() -> None:
    with pytest.raises(S3Error) as caught:
        check(signed(), secret="another")
    assert (caught.value.code, caught.value.status) == ("SignatureDoesNotMatch", 403)


def test_only_a_signature_that_holds_leaves_its_key_in_the_memory() -> None:
    claim = parse_authorization(b"GET", PATH, raw_query=b"", headers=signed())
    assert claim is not None
    keys = SigningKeys()
    with pytest.raises(S3Error):
        verify(claim, "another", now=NOW, keys=keys)
    assert keys.get("another", claim.scope.encoded) is None
    assert verify(claim, KEY.secret_access_key, now=NOW, keys=keys).signing_key == keys.get(
        KEY.secret_access_key, claim.scope.encoded
    )


@pytest.mark.rule("3.10.6")
@pytest.mark.parametrize("offset", [timedelta(minutes=15), -timedelta(minutes=15)])
def test_a_clock_that_is_15_minutes_off_is_still_accepted(offset: timedelta) -> None:
    check(signed(), now=NOW + offset)


@pytest.mark.rule("3.10.6")
@pytest.mark.parametrize("seconds", [901, -901, 86_400 * 365])
def test_a_replay_outside_15_minutes_is_refused(seconds: int) -> None:
    error = refused(signed(), now=NOW + timedelta(seconds=seconds))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)


@pytest.mark.rule("3.10.6")
def test_a_scope_of_another_day_than_x_amz_date_is_refused() -> None:
    headers = signed()
    authorization = dict(headers)[b"authorization"].replace(b"/20260102/", b"/20260101/")
    error = refused(replaced(headers, b"authorization", authorization))
    assert error.code == "AuthorizationHeaderMalformed"
    assert "20260101" in error.message


@pytest.mark.rule("3.10.6")
def test_a_signature_for_another_service_is_refused() -> None:
    assert refused(signed(service="sts")).code == "AuthorizationHeaderMalformed"


@pytest.mark.rule("3.10.6")
def test_a_request_without_a_date_is_refused() -> None:
    error = refused(replaced(signed(), b"x-amz-date", None))
    assert (error.code, error.status) == ("AccessDenied", 403)


@pytest.mark.parametrize("date", [b"20260231T000000Z", b"2026-01-02T03:04:05Z", b"", b"x"])
def test_a_date_that_is_none_is_refused(date: bytes) -> None:
    assert refused(replaced(signed(), b"x-amz-date", date)).code == "AccessDenied"


def test_a_repeated_x_amz_date_is_refused() -> None:
    headers = signed()
    assert refused([*headers, (b"x-amz-date", b"20260102T030405Z")]).code == "AccessDenied"


@pytest.mark.rule("3.10.6")
@pytest.mark.parametrize(
    "date",
    [b"Fri, 02 Jan 2026 03:04:05 GMT", b"Fri, 02 Jan 2026 03:04:05 -0000", b"20260102T030405Z"],
)
def test_a_date_header_stands_in_for_x_amz_date(date: bytes) -> None:
    # x-amz-date is in SignedHeaders of what the signer makes, so only the date itself is read here.
    headers = replaced(replaced(signed(), b"x-amz-date", None), b"date", date)
    authorization = dict(headers)[b"authorization"].replace(b";x-amz-date", b"")
    claim = parse_authorization(
        b"GET", PATH, raw_query=b"", headers=replaced(headers, b"authorization", authorization)
    )
    assert claim is not None
    assert (claim.amz_date, claim.timestamp) == (NOW, b"20260102T030405Z")


@settings(max_examples=300, deadline=None, database=None)
@given(date=st.binary(max_size=40) | st.from_regex(rb"\w+, \d+ Jan \d+ [\d:]+ [+-]\d+"))
def test_no_date_header_breaks_the_parser(date: bytes) -> None:
    headers = replaced(replaced(signed(), b"x-amz-date", None), b"date", date)
    with pytest.raises(S3Error):
        parse_authorization(b"GET", PATH, raw_query=b"", headers=headers)


@pytest.mark.rule("3.10.7")
@pytest.mark.parametrize("name", [b"host", b"x-amz-date", b"x-amz-content-sha256"])
def test_host_and_every_x_amz_header_must_be_in_signed_headers(name: bytes) -> None:
    headers = signed()
    authorization = dict(headers)[b"authorization"]
    before, equals, after = authorization.partition(b"SignedHeaders=")
    names, comma, signature = after.partition(b",")
    kept = b";".join(n for n in names.split(b";") if n != name)
    error = refused(replaced(headers, b"authorization", before + equals + kept + comma + signature))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert name.decode() in error.message


@pytest.mark.rule("3.10.7")
def test_an_x_amz_header_added_on_the_way_is_refused() -> None:
    error = refused([*signed(), (b"x-amz-acl", b"public-read")])
    assert error.code == "AccessDenied"
    assert "x-amz-acl" in error.message


def test_a_header_that_nobody_signed_may_be_added_on_the_way() -> None:
    check([*signed(), (b"via", b"1.1 proxy")])


def test_a_signed_header_that_is_absent_does_not_count_as_empty() -> None:
    headers = replaced(signed(headers=[("x-empty", "")]), b"x-empty", None)
    assert refused(headers).code == "SignatureDoesNotMatch"


@pytest.mark.rule("3.10.4")
def test_a_changed_payload_hash_is_refused() -> None:
    headers = replaced(signed(payload_hash="ab" * 32), b"x-amz-content-sha256", b"cd" * 32)
    assert refused(headers).code == "SignatureDoesNotMatch"


@pytest.mark.rule("3.10.4")
def test_a_missing_payload_hash_is_refused() -> None:
    error = refused(replaced(signed(), b"x-amz-content-sha256", None))
    assert (error.code, error.status) == ("MissingSecurityHeader", 400)


@pytest.mark.rule("3.10.4")
@pytest.mark.parametrize("value", ["", "sha", "AB" * 32, "ab" * 31, "unsigned-payload"])
def test_a_payload_hash_of_another_form_is_refused(value: str) -> None:
    assert refused(signed(payload_hash=value)).code == "InvalidArgument"


def test_the_hash_of_the_body_stands_in_where_a_service_sends_no_payload_hash() -> None:
    body_hash = "ab" * 32
    headers = signed(service="sts", payload_hash=body_hash)
    # The STS clients sign the body's hash without sending the header; so neither is it signed.
    unsent = replaced(headers, b"x-amz-content-sha256", None)
    authorization = dict(unsent)[b"authorization"].replace(b"x-amz-content-sha256;", b"")
    claim = parse_authorization(
        b"GET",
        PATH,
        raw_query=b"",
        headers=replaced(unsent, b"authorization", authorization),
        service=b"sts",
        body_sha256=body_hash.encode(),
    )
    assert claim is not None
    assert claim.payload_hash == body_hash.encode()
    assert claim.canonical_request.endswith(b"host;x-amz-date\n" + body_hash.encode())


@pytest.mark.rule("3.10.6")
def test_any_region_is_accepted() -> None:
    head = Signer(key=KEY, region="mars-north-1").sign("GET", URL, at=NOW)
    check([(name.lower().encode(), value.encode()) for name, value in head.headers])


@pytest.mark.rule("3.10.7")
def test_repeated_headers_are_joined_with_a_comma() -> None:
    headers = replaced(signed(headers=[("x-amz-meta-a", "1,2")]), b"x-amz-meta-a", None)
    check([*headers, (b"x-amz-meta-a", b" 1"), (b"accept", b"*/*"), (b"x-amz-meta-a", b"2 ")])


@pytest.mark.rule("3.10.7")
def test_spaces_around_and_inside_values_are_collapsed() -> None:
    headers = replaced(signed(headers=[("x-amz-meta-a", "a b c")]), b"x-amz-meta-a", None)
    check([*headers, (b"x-amz-meta-a", b"  a   b \t c ")])


@pytest.mark.rule("3.10.3")
def test_query_flags_empty_segments_and_order_do_not_matter() -> None:
    head = Signer(key=KEY).sign("GET", URL + "?b=&a=1&a=0", at=NOW)
    headers = [(name.lower().encode(), value.encode()) for name, value in head.headers]
    check(headers, query=b"&b&&a=0&a=1")


@pytest.mark.parametrize(("sent", "meant"), [(b"a+b", "a%20b"), (b"a%2Bb", "a%2Bb")])
def test_a_plus_in_a_query_is_a_space_and_an_encoded_one_is_a_plus(sent: bytes, meant: str) -> None:
    head = Signer(key=KEY).sign("GET", f"{URL}?prefix={meant}", at=NOW)
    headers = [(name.lower().encode(), value.encode()) for name, value in head.headers]
    check(headers, query=b"prefix=" + sent)


def test_the_session_token_is_part_of_the_claim_and_of_the_signature() -> None:
    key = AccessKey(
        access_key_id="AKIDEXAMPLE", secret_access_key="a-secret", session_token="tok/en=="
    )
    headers = signed(key=key)
    claim = parse_authorization(b"GET", PATH, raw_query=b"", headers=headers)
    assert claim is not None
    assert claim.security_token == b"tok/en=="
    check(headers)
    changed = replaced(headers, b"x-amz-security-token", b"another")
    assert refused(changed).code == "SignatureDoesNotMatch"
    assert "tok/en" not in repr(claim)
