"""The exchange's form, its answer, and what a failure tells the client and the cache."""

from urllib.parse import parse_qs

import pytest

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.sts import (
    StsAnswer,
    StsRefusal,
    StsUnavailable,
    client_error,
    exchange_form,
    parse_sts_answer,
    role_session_name,
)
from bucketroute_dataplane.core.web_identity_token import parse_web_identity_token
from bucketroute_snapshot import Secret
from bucketroute_testing.web_identity import (
    SIGNATURE,
    credentials_document,
    error_document,
    projected_token,
    secret_of,
    web_identity_auth,
)

NOW = 1_800_000_000.0
POLICY = '{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/a+b*"}]}'


def _parse(
    body: bytes, *, status: int = 200, retry_after: str | None = None
) -> Credentials | StsRefusal | StsUnavailable:
    return parse_sts_answer(StsAnswer(status=status, body=body, retry_after=retry_after), now=NOW)


def _refusal(code: str, *, status: int = 400, retry_after: str | None = None) -> StsRefusal:
    failure = _parse(error_document(code), status=status, retry_after=retry_after)
    assert isinstance(failure, StsRefusal)
    return failure


def _unavailable(body: bytes, *, status: int = 200) -> StsUnavailable:
    failure = _parse(body, status=status)
    assert isinstance(failure, StsUnavailable)
    return failure


@pytest.mark.rule("3.11.2")
def test_the_form_holds_every_parameter_encoded_once() -> None:
    token = parse_web_identity_token(projected_token())
    form = exchange_form(web_identity_auth(session_policy=POLICY), token)
    assert parse_qs(form.decode(), strict_parsing=True) == {
        "Action": ["AssumeRoleWithWebIdentity"],
        "Version": ["2011-06-15"],
        "RoleArn": ["arn:aws:iam::123456789012:role/uploads"],
        "RoleSessionName": ["team-a.uploads"],
        "WebIdentityToken": [projected_token()],
        "DurationSeconds": ["3600"],
        "Policy": [POLICY],
    }


@pytest.mark.rule("3.11.2")
def test_without_a_session_policy_the_form_has_none() -> None:
    token = parse_web_identity_token(projected_token())
    assert b"Policy" not in exchange_form(web_identity_auth(), token)


@pytest.mark.rule("3.11.3")
@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("team-a.uploads", "team-a.uploads"),
        ("system:serviceaccount:a/b c", "system_serviceaccount_a_b_c"),
        ("+=,.@_-", "+=,.@_-"),
        ("ü" * 70, "_" * 64),
        ("x", "bucketroute"),
        ("", "bucketroute"),
    ],
)
def test_session_names_fit_the_sts(name: str, fitted: str) -> None:
    assert role_session_name(name) == fitted


@pytest.mark.rule("3.11.4", "3.11.6")
def test_an_answer_with_all_four_fields_is_credentials() -> None:
    assert _parse(credentials_document(7, expires_at=NOW + 900)) == Credentials(
        access_key_id="ASIA0000000000000007",
        secret_access_key=Secret(secret_of(7)),
        session_token=Secret("session-token-7"),
        expires_at=NOW + 900,
    )


@pytest.mark.parametrize(
    "expiration",
    ["2027-01-15T08:15:00Z", "2027-01-15T09:15:00.000+01:00", "2027-01-15T08:15:00"],
)
def test_expiration_is_read_in_any_zone(expiration: str) -> None:
    credentials = _parse(credentials_document(expires_at=NOW, expiration=expiration))
    assert isinstance(credentials, Credentials)
    assert credentials.expires_at == NOW + 900


@pytest.mark.rule("3.11.4")
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (credentials_document(expires_at=NOW + 900, access_key_id=""), "AccessKeyId"),
        (credentials_document(expires_at=NOW + 900, access_key_id="A/B"), "AccessKeyId"),
        (credentials_document(expires_at=NOW + 900, secret_access_key=""), "SecretAccessKey"),
        (credentials_document(expires_at=NOW + 900, session_token=""), "SessionToken"),
        (credentials_document(expires_at=NOW + 900, session_token="a&#10;b"), "SessionToken"),
        (credentials_document(expires_at=NOW + 900, expiration=""), "Expiration"),
        (credentials_document(expires_at=NOW + 900, expiration="soon"), "ISO 8601"),
        (credentials_document(expires_at=NOW + 5), "clocks"),
        (b"", "not XML"),
        (b"<html>It works!</html>", "neither credentials nor an error"),
        (b'{"Credentials": {}}', "not XML"),
        (credentials_document(expires_at=NOW + 900)[:-10], "not XML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><Error><Code>&b;</Code></Error>", "document type"),
        (b"<a>" * 40 + b"</a>" * 40, "nested too deep"),
        (b"<Error><Code>A</Code><Code>B</Code></Error>", "stands twice"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_credentials(body: bytes, detail: str) -> None:
    failure = _unavailable(body)
    assert detail in failure.detail
    assert client_error(failure, retry_after_seconds=3).code == "ServiceUnavailable"


@pytest.mark.rule("3.11.4")
def test_credentials_count_only_with_status_200() -> None:
    assert "500" in _unavailable(credentials_document(expires_at=NOW + 900), status=500).detail


@pytest.mark.rule("3.11.4")
def test_an_error_document_is_an_error_whatever_its_status() -> None:
    assert _refusal("AccessDenied", status=200).code == "AccessDenied"


def test_a_bare_error_document_is_understood() -> None:
    failure = _parse(b"<Error><Code>AccessDenied</Code></Error>", status=403)
    assert failure == StsRefusal(
        code="AccessDenied", message="", retryable=False, negative_cache_seconds=30.0
    )


@pytest.mark.rule("3.11.5")
@pytest.mark.parametrize(
    ("code", "status", "client_code", "client_status"),
    [
        ("AccessDenied", 403, "AccessDenied", 403),
        ("InvalidIdentityToken", 400, "BackendAuthenticationFailed", 502),
        ("ExpiredTokenException", 400, "BackendAuthenticationFailed", 502),
        ("PackedPolicyTooLarge", 400, "BackendAuthenticationFailed", 502),
        ("InvalidParameterValue", 400, "BackendAuthenticationFailed", 502),
        ("Throttling", 400, "SlowDown", 503),
    ],
)
def test_the_client_sees_the_code_of_a_refusal_and_none_of_its_words(
    code: str, status: int, client_code: str, client_status: int
) -> None:
    error = client_error(_refusal(code, status=status), retry_after_seconds=3)
    assert (error.code, error.status) == (client_code, client_status)
    assert (code in error.message) is (client_code == "BackendAuthenticationFailed")
    assert "told by the STS" not in str(error)
    assert code in (error.detail or "")


@pytest.mark.rule("3.11.5")
def test_an_sts_out_of_order_is_503_with_its_story_for_the_log_alone() -> None:
    failure = _unavailable(error_document("InternalFailure"), status=500)
    error = client_error(failure, retry_after_seconds=3)
    assert isinstance(error, BackendUnavailableError)
    assert (error.status, error.retry_after_seconds) == (503, 3)
    assert "told by the STS" in error.detail
    assert "told by the STS" not in str(error)


@pytest.mark.rule("3.11.5")
def test_a_code_that_is_not_one_never_reaches_the_client() -> None:
    failure = _refusal("&lt;script&gt; and more")
    assert failure.code == "Unknown"


@pytest.mark.rule("3.11.16")
@pytest.mark.parametrize(
    "code", ["AccessDenied", "InvalidIdentityToken", "ExpiredTokenException", "ValidationError"]
)
def test_refusals_for_good_are_remembered_for_30_seconds(code: str) -> None:
    failure = _refusal(code, retry_after="1")
    assert (failure.retryable, failure.negative_cache_seconds) == (False, 30.0)


@pytest.mark.rule("3.11.16")
@pytest.mark.parametrize(
    "code", ["Throttling", "ThrottlingException", "SlowDown", "InvalidParameterValue"]
)
def test_refusals_that_may_pass_are_left_to_the_back_off(code: str) -> None:
    failure = _refusal(code)
    assert (failure.retryable, failure.negative_cache_seconds) == (True, 0.0)


@pytest.mark.rule("3.11.16")
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("86400", 60.0),
        ("Fri, 15 Jan 2027 08:00:09 GMT", 9.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(retry_after: str, seconds: float) -> None:
    assert _refusal("Throttling", retry_after=retry_after).negative_cache_seconds == seconds


def test_too_many_requests_by_status_is_throttling() -> None:
    assert _refusal("Whatever", status=429).retryable


def test_a_token_that_the_sts_repeats_is_masked_before_the_message_is_cut() -> None:
    message = "x" * 450 + f" the token {projected_token()} is bad\n"
    failure = _parse(error_document("InvalidIdentityToken", message), status=400)
    assert isinstance(failure, StsRefusal)
    assert "the token *** is bad" in failure.message
    assert SIGNATURE not in failure.message


def test_a_message_is_cut() -> None:
    failure = _parse(error_document("InvalidIdentityToken", "x" * 5000), status=400)
    assert isinstance(failure, StsRefusal)
    assert failure.message == "x" * 512


def test_secrets_do_not_show_in_any_repr() -> None:
    document = credentials_document(expires_at=NOW + 900)
    shown = repr(_parse(document))
    assert secret_of(1) not in shown
    assert "session-token-1" not in shown
