"""Error documents of a backend, as the client sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import ERRORS
from bucketroute_dataplane.core.names import BucketNames
from bucketroute_dataplane.core.results import backend_error, rewrite_error
from bucketroute_testing.backend_names import NAMES, SECRET, TAG, TEXT, assert_no_backend_name

REQUEST_ID = "client-request-id"


def error(code: str, message: str = "m", extra: str = "") -> bytes:
    return (
        f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}"
        "<RequestId>backend-request</RequestId><HostId>backend-host-id</HostId></Error>"
    ).encode()


def rewritten(status: int, body: bytes, resource: str = "/data/a") -> dict[str, str]:
    document = rewrite_error(status, body, NAMES, resource=resource, request_id=REQUEST_ID)
    root = xml.parse(document)
    assert root.tag == "Error"
    return {child.tag: child.text or "" for child in root}


@pytest.mark.rule("3.6.6", "3.13", "3.13.3")
def test_an_error_keeps_code_message_and_what_a_client_acts_on() -> None:
    extra = (
        "<BucketName>acme-prod-7</BucketName><Key>tenants/red/k</Key><PartNumber>3</PartNumber>"
        "<Resource>/acme-prod-7/tenants/red/k</Resource><Endpoint>s3.backend.example</Endpoint>"
        "<Region>eu-west-1</Region><Unknown>x</Unknown>"
    )
    assert rewritten(404, error("NoSuchKey", "gone &amp; away", extra)) == {
        "Code": "NoSuchKey",
        "Message": "gone & away",
        "BucketName": "data",
        "Key": "k",
        "PartNumber": "3",
        "Resource": "/data/a",
        "RequestId": REQUEST_ID,
    }


def test_a_key_outside_the_prefix_is_dropped() -> None:
    assert "Key" not in rewritten(404, error("NoSuchKey", extra="<Key>tenants/blue/k</Key>"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no bucket acme-prod-7", "Access Denied"),
        ("no key tenants/red/x", "Access Denied"),
        ("see s3.backend.example", "Access Denied"),
        ("see request backend-request", "Access Denied"),
        ("User: arn:aws:sts::111122223333:assumed-role/r/s may not", "Access Denied"),
        ("", "Access Denied"),
        ("no", "no"),
    ],
)
def test_a_message_that_reveals_the_backend_is_replaced(message: str, expected: str) -> None:
    assert rewritten(403, error("AccessDenied", message))["Message"] == expected


@pytest.mark.rule("3.13.3")
def test_a_code_that_is_not_in_our_catalogue_is_kept() -> None:
    shown = rewritten(409, error("OperationAborted", "a conflict in acme-prod-7"))
    assert shown["Code"] == "OperationAborted"
    assert shown["Message"] == ERRORS["InvalidRequest"].message


@pytest.mark.parametrize(
    ("status", "resource", "code"),
    [
        (400, "/data/a", "InvalidRequest"),
        (401, "/data/a", "AccessDenied"),
        (403, "/data/a", "AccessDenied"),
        (404, "/data/a", "NoSuchKey"),
        (404, "/data", "NoSuchBucket"),
        (405, "/data/a", "MethodNotAllowed"),
        (412, "/data/a", "PreconditionFailed"),
        (416, "/data/a", "InvalidRange"),
        (418, "/data/a", "InvalidRequest"),
        (429, "/data/a", "SlowDown"),
        (500, "/data/a", "InternalError"),
        (501, "/data/a", "NotImplemented"),
        (503, "/data/a", "ServiceUnavailable"),
        (507, "/data/a", "InternalError"),
        (200, "/data/a", "InternalError"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><head></head></html>",
        b"nginx: acme-prod-7",
        b"<Error/>",
        b"<Error><Code>acme-prod-7</Code></Error>",
        b"<Error><Code>Not a code</Code></Error>",
        b"<!DOCTYPE html><html><body>s3.backend.example</body></html>",
    ],
)
def test_what_is_no_s3_error_becomes_the_generic_one_of_its_status(
    status: int, resource: str, code: str, body: bytes
) -> None:
    shown = rewritten(status, body, resource)
    assert shown == {
        "Code": code,
        "Message": ERRORS[code].message,
        "Resource": resource,
        "RequestId": REQUEST_ID,
    }


def test_a_code_that_names_the_backend_is_not_shown() -> None:
    names = BucketNames(virtual_bucket="data", backend_bucket="secret", prefix="")
    assert backend_error(400, error("SecretBucket"), names).code == "InvalidRequest"


def test_the_error_of_a_gateway_in_the_sts_form_is_read() -> None:
    body = (
        b"<ErrorResponse><Error><Code>SlowDown</Code><Message>m</Message></Error></ErrorResponse>"
    )
    assert rewritten(503, body)["Code"] == "SlowDown"
    assert rewritten(503, b"<ErrorResponse/>")["Code"] == "ServiceUnavailable"


def test_the_status_is_the_backends() -> None:
    assert backend_error(412, error("PreconditionFailed"), NAMES).status == 412
    assert backend_error(418, b"", NAMES).status == 418


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "ExpiredToken", "InvalidAccessKeyId"])
def test_the_backends_doubts_about_our_credentials_are_not_the_clients(code: str) -> None:
    shown = backend_error(403, error(code, "StringToSign …"), NAMES)
    assert (shown.status, shown.code) == (502, "BackendAuthenticationFailed")
    assert shown.detail == f"the backend refuses the credentials that BucketRoute has: {code}"
    assert code not in shown.message


def test_the_log_tells_a_bucket_that_the_backend_lacks_from_a_route_that_is_not_there() -> None:
    shown = backend_error(404, error("NoSuchBucket"), NAMES)
    assert (shown.status, shown.code) == (404, "NoSuchBucket")
    assert shown.detail == "the backend has no such bucket"


def test_a_redirect_to_the_backend_is_never_passed_on() -> None:
    body = error("PermanentRedirect", extra="<Endpoint>s3.backend.example</Endpoint>")
    shown = backend_error(301, body, NAMES)
    assert (shown.status, shown.code) == (502, "BadGateway")


# Text around the names that must not get through, at any place where free text may stand.
_ID = st.sampled_from(["backend-request", "backend-host-id"])
_LEAK = st.tuples(TEXT, SECRET | _ID, TEXT).map("".join)


def assert_nothing_of_the_backend(document: bytes) -> None:
    assert_no_backend_name(document)
    shown = document.lower()
    assert b"backend-request" not in shown
    assert b"backend-host-id" not in shown


@pytest.mark.rule("3.6.6")
@given(
    st.integers(300, 599),
    st.sampled_from(["NoSuchKey", "AccessDenied", "Odd", "acme-prod-7", ""]),
    st.lists(st.tuples(TAG, _LEAK)),
)
def test_nothing_of_the_backend_survives_in_an_error(
    status: int, code: str, leaks: list[tuple[str, str]]
) -> None:
    extra = "".join([xml.leaf(tag, text) for tag, text in leaks])
    body = error(code, "backend-request", extra)
    document = rewrite_error(status, body, NAMES, resource="/data/a", request_id=REQUEST_ID)
    assert_nothing_of_the_backend(document)
