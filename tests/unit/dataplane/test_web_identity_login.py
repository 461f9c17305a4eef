"""The calls of STS: how they are told from S3's, their parameters, answers and errors."""

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.parsers import QueryParser
from botocore.session import get_session

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity import (
    access_key_identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.identity_token import VerifiedToken
from bucketroute_dataplane.core.login_errors import (
    STS_ERRORS,
    in_terms_of_s3,
    in_terms_of_sts,
    sts_error,
    sts_error_document,
)
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.session import Session
from bucketroute_dataplane.core.web_identity_login import (
    MAX_FORM_BYTES,
    LoginRequest,
    caller_arn,
    caller_identity_result,
    is_sts_request,
    login_request,
    login_result,
    sts_action,
    sts_parameters,
)
from bucketroute_snapshot import Secret
from bucketroute_testing.identity_tokens import NOW_SECONDS

FORM = b"application/x-www-form-urlencoded"
ROLE = "arn:aws:iam::000000000000:role/team-a.reporter"
GOOD = {"RoleArn": ROLE, "RoleSessionName": "pod-1", "WebIdentityToken": "a.b.c"}
REPORTER = service_account_identity("team-a", "reporter")
SUBJECT = "system:serviceaccount:team-a:reporter"


def head(
    method: bytes = b"POST",
    path: bytes = b"/",
    query: bytes = b"",
    *,
    content_type: bytes | None = FORM,
    length: bytes | None = b"100",
) -> RequestHead:
    headers = [(b"host", b"gateway")]
    headers += [] if content_type is None else [(b"content-type", content_type)]
    headers += [] if length is None else [(b"content-length", length)]
    return RequestHead(method, path, query, headers)


@pytest.mark.rule("3.12.1", "3.12.2")
@pytest.mark.parametrize(
    "request_head",
    [
        head(),
        head(content_type=b"Application/X-WWW-Form-URLencoded; charset=utf-8"),
        head(length=b"%d" % MAX_FORM_BYTES),
        head(b"GET", query=b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"),
        head(b"GET", query=b"Version=2011-06-15&Action=GetCallerIdentity", content_type=None),
        head(query=b"Action=AssumeRoleWithWebIdentity", length=None),
    ],
)
def test_a_call_of_sts_is_known_by_its_head(request_head: RequestHead) -> None:
    assert is_sts_request(request_head)


@pytest.mark.rule("3.12.1", "3.12.2")
@pytest.mark.parametrize(
    "request_head",
    [
        head(path=b"/bucket"),
        head(path=b"/bucket/key", query=b"uploads"),
        head(path=b"/bucket", query=b"Action=AssumeRoleWithWebIdentity"),
        head(query=b"delete"),
        head(content_type=b"multipart/form-data; boundary=x"),
        head(content_type=None),
        head(length=b"%d" % (MAX_FORM_BYTES + 1)),
        head(length=b"9999999999"),
        head(length=b"+10"),
        head(length=None),
        head(b"PUT"),
        head(b"GET", content_type=None, length=None),
        head(b"GET", query=b"prefix=Action=x", content_type=None),
        head(b"GET", query=b"list-type=2&xAction=1", content_type=None),
    ],
)
def test_what_is_s3_s_stays_s3_s(request_head: RequestHead) -> None:
    assert not is_sts_request(request_head)


@pytest.mark.rule("3.12.1")
def test_the_query_wins_and_nothing_is_merged() -> None:
    asked = head(query=b"Action=GetCallerIdentity")
    assert sts_parameters(asked, b"Action=AssumeRoleWithWebIdentity&RoleArn=x") == {
        "Action": "GetCallerIdentity"
    }
    assert sts_parameters(head(), b"Action=X&RoleArn=a%3Ab&N=a+b&F") == {
        "Action": "X",
        "RoleArn": "a:b",
        "N": "a b",
        "F": "",
    }


@pytest.mark.parametrize("form", [b"Action=a&Action=b", b"Action=%ff", b"A%20B=1&A+B=2"])
def test_an_ambiguous_form_is_refused(form: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        sts_parameters(head(), form)
    assert caught.value.code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({}, "MissingAction"), ({"Action": ""}, "MissingAction"), ({"Action": "X"}, "InvalidAction")],
)
def test_another_action_is_refused_in_sts_s_words(parameters: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        sts_action(parameters)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_a_login_is_read() -> None:
    assert login_request({**GOOD, "DurationSeconds": "1800"}) == LoginRequest(
        role_arn=ROLE, session_name="pod-1", token="a.b.c", duration_seconds=1800
    )
    assert "a.b.c" not in repr(login_request(GOOD))


@pytest.mark.rule("3.12.10")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 3600), ("", 3600), ("0", 900), ("900", 900), ("43200", 43200), ("99999", 43200)],
)
def test_the_duration_is_clamped(text: str | None, seconds: int) -> None:
    given = GOOD if text is None else {**GOOD, "DurationSeconds": text}
    assert login_request(given).duration_seconds == seconds


@pytest.mark.rule("3.12.4", "3.12.21")
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"RoleArn": ""}, "InvalidParameterValue"),
        ({"WebIdentityToken": ""}, "InvalidParameterValue"),
        ({"RoleArn": "team-a.reporter"}, "ValidationError"),
        ({"RoleArn": "arn:aws:s3:::bucket"}, "ValidationError"),
        ({"RoleSessionName": "x"}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleSessionName": "x" * 65}, "ValidationError"),
        ({"DurationSeconds": "soon"}, "ValidationError"),
        ({"DurationSeconds": "-1"}, "ValidationError"),
        ({"DurationSeconds": "1e3"}, "ValidationError"),
        ({"DurationSeconds": "٣"}, "ValidationError"),
        ({"Policy": "{}"}, "ValidationError"),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/x"}, "ValidationError"),
    ],
)
def test_a_parameter_that_is_not_good_is_refused(changed: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        login_request({**GOOD, **changed})
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_the_session_name_may_be_left_out_and_minio_s_roles_are_taken() -> None:
    request = login_request({"RoleArn": "arn:minio:iam:::role/x-_1", "WebIdentityToken": "t"})
    assert request.session_name == "session"


def parsed(operation: str, body: bytes, status: int = 200) -> dict[str, Any]:
    """As botocore reads it, with the shapes of AWS's own service model."""
    shape = get_session().get_service_model("sts").operation_model(operation).output_shape
    answer = {"status_code": status, "headers": {}, "body": body}
    read: dict[str, Any] = QueryParser().parse(answer, shape)
    return read


@pytest.mark.rule("3.12.19")
def test_the_answer_to_a_login_is_what_botocore_reads() -> None:
    token = VerifiedToken(
        identity=REPORTER, subject=SUBJECT, audience="bucketroute", issuer="https://k8s?a&b"
    )
    session = Session(
        identity=REPORTER,
        session_name="pod-1",
        access_key_id="ASIAEXAMPLE",
        secret_access_key=Secret("a/secret+"),
        expires_at=NOW_SECONDS,
    )
    body = login_result(token, session, "sealed", request_id="R1")
    read = parsed("AssumeRoleWithWebIdentity", body)
    assert read.pop("AssumedRoleUser")["Arn"] == (
        "arn:aws:sts::000000000000:assumed-role/team-a.reporter/pod-1"
    )
    assert read == {
        "Credentials": {
            "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": "a/secret+",
            "SessionToken": "sealed",
            "Expiration": datetime.fromtimestamp(NOW_SECONDS, UTC),
        },
        "SubjectFromWebIdentityToken": SUBJECT,
        "Audience": "bucketroute",
        "Provider": "https://k8s?a&b",
        "ResponseMetadata": {"RequestId": "R1", "HTTPStatusCode": 200, "HTTPHeaders": {}},
    }
    assert ElementTree.fromstring(body).tag.startswith("{https://sts.amazonaws.com/doc/2011-06-15/")


@pytest.mark.rule("3.12.3")
def test_the_caller_s_identity_is_what_botocore_reads() -> None:
    read = parsed("GetCallerIdentity", caller_identity_result(REPORTER, "pod-1", request_id="R1"))
    assert read["Account"] == "000000000000"
    assert read["Arn"] == "arn:aws:sts::000000000000:assumed-role/team-a.reporter/pod-1"
    assert read["UserId"].startswith("AROA")
    assert read["UserId"].endswith(":pod-1")


def test_names_in_arns_are_those_of_the_caller() -> None:
    assert caller_arn(access_key_identity("team-a", "laptop"), None) == (
        "arn:aws:iam::000000000000:user/team-a/laptop"
    )
    external = oidc_identity("https://id.example.com", "repo:acme/app:ref:refs/heads/main")
    assert caller_arn(external, "ci").endswith("/repo_acme_app_ref_refs_heads_main/ci")
    key = caller_identity_result(access_key_identity("a", "k"), None, request_id="R")
    assert parsed("GetCallerIdentity", key)["UserId"].startswith("AIDA")


@pytest.mark.rule("3.12.20")
@pytest.mark.parametrize("code", sorted(STS_ERRORS))
def test_an_error_is_what_botocore_reads(code: str) -> None:
    error = sts_error(code, "a <b> & c")
    body = sts_error_document(error, request_id="R1")
    read = parsed("AssumeRoleWithWebIdentity", body, error.status)
    assert read["Error"] == {"Type": "Sender", "Code": code, "Message": "a <b> & c"}
    assert read["ResponseMetadata"]["RequestId"] == "R1"


def test_an_error_of_ours_is_the_receiver_s() -> None:
    assert b"<Type>Receiver</Type>" in sts_error_document(
        s3_error("ServiceUnavailable"), request_id="R"
    )


@pytest.mark.parametrize(
    ("code", "renamed", "status"),
    [
        ("ExpiredToken", "ExpiredToken", 403),
        ("InvalidAccessKeyId", "InvalidClientTokenId", 403),
        ("InvalidToken", "InvalidClientTokenId", 403),
        ("RequestTimeTooSkewed", "SignatureDoesNotMatch", 403),
        ("AuthorizationHeaderMalformed", "IncompleteSignature", 400),
        ("SignatureDoesNotMatch", "SignatureDoesNotMatch", 403),
        ("SlowDown", "SlowDown", 503),
    ],
)
def test_signature_errors_have_sts_s_names(code: str, renamed: str, status: int) -> None:
    error = in_terms_of_sts(s3_error(code))
    assert (error.code, error.status) == (renamed, status)


@pytest.mark.parametrize(
    ("code", "renamed", "status"),
    [
        ("ExpiredTokenException", "ExpiredToken", 400),
        ("InvalidIdentityToken", "InvalidToken", 400),
        ("IDPCommunicationError", "ServiceUnavailable", 503),
    ],
)
def test_a_bearer_token_is_refused_in_s3_s_names(code: str, renamed: str, status: int) -> None:
    error = in_terms_of_s3(sts_error(code))
    assert (error.code, error.status) == (renamed, status)


def test_other_errors_keep_their_names() -> None:
    error = with_retry_after(s3_error("SlowDown"))
    assert in_terms_of_s3(error) is error
    assert in_terms_of_sts(error).retry_after_seconds == 7


def with_retry_after(error: S3Error) -> S3Error:
    error.retry_after_seconds = 7
    return error
