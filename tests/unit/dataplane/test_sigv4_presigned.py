"""One test per way in which the check of a presigned URL can have a hole."""

from datetime import timedelta

import pytest

from bucketroute_dataplane.core.sigv4 import parse_authorization
from bucketroute_testing.signed_requests import (
    HOST,
    NOW,
    PATH,
    check,
    presigned,
    refused,
    signed,
)


@pytest.mark.rule("3.10.1")
def test_a_presigned_url_is_verified_until_it_expires() -> None:
    query = presigned(expires="60")
    check(HOST, query=query, now=NOW + timedelta(seconds=60))
    error = refused(HOST, query=query, now=NOW + timedelta(seconds=61))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "expired" in error.message


@pytest.mark.rule("3.10.1")
def test_a_presigned_url_of_the_future_is_refused_beyond_the_skew() -> None:
    query = presigned()
    check(HOST, query=query, now=NOW - timedelta(minutes=15))
    error = refused(HOST, query=query, now=NOW - timedelta(minutes=15, seconds=1))
    assert (error.code, error.message) == ("AccessDenied", "Request is not valid yet.")


@pytest.mark.rule("3.10.1")
@pytest.mark.parametrize(
    "expires", ["604801", "0", "-1", "1e3", "", " 60", "1_0", "9" * 50, "\u0663"]
)
def test_a_presigned_url_lives_from_one_second_to_seven_days(expires: str) -> None:
    error = refused(HOST, query=presigned(expires=expires))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)


@pytest.mark.rule("3.10.1", "3.13.5")
def test_a_presigned_url_may_live_for_seven_days() -> None:
    check(HOST, query=presigned(expires="604800"), now=NOW + timedelta(days=7))


@pytest.mark.rule("3.10.1")
def test_header_and_query_signature_together_are_refused() -> None:
    error = refused(signed(), query=presigned())
    assert (error.code, error.status) == ("InvalidRequest", 400)


@pytest.mark.rule("3.10.1")
@pytest.mark.parametrize(
    "name",
    ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders"],
)
def test_a_presigned_url_must_have_all_its_parameters(name: str) -> None:
    query = presigned(without=[f"X-Amz-{name}"])
    assert refused(HOST, query=query).code == "AuthorizationQueryParametersError"


def test_a_presigned_url_without_its_signature_is_refused_and_not_anonymous() -> None:
    query = presigned().partition(b"&X-Amz-Signature")[0]
    assert refused(HOST, query=query).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    "query",
    [
        presigned(X_Amz_Algorithm="AWS4-ECDSA-P256-SHA256"),
        presigned(X_Amz_Date="yesterday"),
        presigned(X_Amz_Credential="AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request"),
        presigned(X_Amz_Credential="AKIDEXAMPLE"),
        presigned(service="sts"),
        presigned(extra=[("X-Amz-Expires", "60")]),
    ],
    ids=["algorithm", "date", "another day", "credential", "service", "repeated"],
)
def test_malformed_presigned_parameters_are_refused(query: bytes) -> None:
    assert refused(HOST, query=query).code == "AuthorizationQueryParametersError"


@pytest.mark.rule("3.10.1")
def test_a_parameter_added_to_a_presigned_url_is_refused() -> None:
    error = refused(HOST, query=presigned() + b"&response-content-type=text%2Fhtml")
    assert error.code == "SignatureDoesNotMatch"


@pytest.mark.rule("3.10.7")
def test_an_x_amz_header_beside_a_presigned_url_must_be_signed() -> None:
    header = ("x-amz-acl", "private")
    headers = [*HOST, (b"x-amz-acl", b"private")]
    check(headers, query=presigned(headers=[header]))
    assert refused(headers, query=presigned()).code == "AccessDenied"


@pytest.mark.rule("3.10.7")
def test_a_presigned_url_must_sign_the_host() -> None:
    query = presigned(X_Amz_SignedHeaders="range")
    error = refused([*HOST, (b"range", b"bytes=0-1")], query=query)
    assert error.code == "AccessDenied"


@pytest.mark.rule("3.10.4")
@pytest.mark.parametrize("payload_hash", ["ab" * 32, "UNSIGNED-PAYLOAD"])
def test_a_presigned_payload_hash_may_be_a_signed_header(payload_hash: str) -> None:
    header = ("x-amz-content-sha256", payload_hash)
    query = presigned(headers=[header])
    headers = [*HOST, (b"x-amz-content-sha256", payload_hash.encode())]
    claim = parse_authorization(b"GET", PATH, raw_query=query, headers=headers)
    assert claim is not None
    assert claim.payload_hash == payload_hash.encode()
    check(headers, query=query)


@pytest.mark.rule("3.10.4")
def test_a_presigned_payload_hash_may_be_a_parameter_but_not_contradict_the_header() -> None:
    hoisted = presigned(extra=[("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")])
    check(HOST, query=hoisted)
    headers = [*HOST, (b"x-amz-content-sha256", b"ab" * 32)]
    assert refused(headers, query=hoisted).code == "AuthorizationQueryParametersError"


def test_the_session_token_of_a_presigned_url_is_part_of_the_claim() -> None:
    query = presigned(extra=[("X-Amz-Security-Token", "tok/en==")])
    claim = parse_authorization(b"GET", PATH, raw_query=query, headers=HOST)
    assert claim is not None
    assert claim.security_token == b"tok/en=="
    check(HOST, query=query)
