"""Presigned URLs: what they allow, for how long, and what no longer is what was signed."""

import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bucketroute_testing.clients import RawResponse, object_url
from bucketroute_testing.gateway import BUCKET, Gateway, random_key
from bucketroute_testing.presigning import Presigner
from bucketroute_testing.tenants import READER
from bucketroute_testing.wire_types import Headers

pytestmark = [pytest.mark.minio]
KEY = "signed/for you +.txt"
WEEK_SECONDS = 7 * 24 * 3600


@pytest.fixture(autouse=True)
def s3(minio_gateway: Gateway) -> Iterator[Any]:
    with closing(minio_gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key=KEY, Body=b"for you", ContentType="text/plain")
        yield client


def target_of(gateway: Gateway, presigner: Presigner, method: str = "GET", **signed: Any) -> str:
    return presigner.target(method, object_url(gateway.endpoint, BUCKET, KEY), **signed)


def send(
    gateway: Gateway, target: str, method: str = "GET", *, headers: Headers = (), body: bytes = b""
) -> RawResponse:
    host = ("Host", gateway.endpoint.partition("//")[2])
    length: Headers = (("Content-Length", str(len(body))),) if method == "PUT" else ()
    with gateway.raw() as raw:
        raw.send_head(method, target, (host, *length, *headers))
        raw.send(body)
        return raw.read_response(method)


@pytest.mark.rule("3.10.1")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_url_reads_what_it_names(minio_gateway: Gateway, method: str) -> None:
    target = target_of(minio_gateway, Presigner(key=minio_gateway.key), method)
    answer = send(minio_gateway, target, method)
    assert (answer.status, answer.header("content-length")) == (200, "7")
    assert answer.body == (b"for you" if method == "GET" else b"")


@pytest.mark.rule("3.10.1")
def test_a_url_writes_with_the_headers_that_were_signed(minio_gateway: Gateway, s3: Any) -> None:
    described: Headers = (("Content-Type", "text/csv"), ("x-amz-meta-owner", "me"))
    presigner = Presigner(key=minio_gateway.key)
    target = target_of(minio_gateway, presigner, "PUT", headers=described)
    answer = send(minio_gateway, target, "PUT", headers=described, body=b"written")
    assert answer.status == 200, answer.body
    head = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentType"], head["Metadata"]) == ("text/csv", {"owner": "me"})
    unsigned: Headers = (("Content-Type", "text/csv"), ("x-amz-meta-owner", "somebody else"))
    forged = send(minio_gateway, target, "PUT", headers=unsigned, body=b"forged")
    assert (forged.status, forged.error_code) == (403, "SignatureDoesNotMatch")


@pytest.mark.rule("3.5.1")
def test_a_url_can_say_how_the_answer_is_described(minio_gateway: Gateway) -> None:
    query: Headers = (
        ("response-content-disposition", 'attachment; filename="a b.txt"'),
        ("response-content-type", "application/x-own"),
        ("response-cache-control", "no-store"),
    )
    target = target_of(minio_gateway, Presigner(key=minio_gateway.key), query=query)
    answer = send(minio_gateway, target)
    described = [answer.header(name.removeprefix("response-")) for name, _ in query]
    assert described == [value for _, value in query]


def test_boto3s_urls_work_in_any_http_client(s3: Any) -> None:
    named = {"Bucket": BUCKET, "Key": KEY}
    url = s3.generate_presigned_url("get_object", Params=named, ExpiresIn=60)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"for you"


def url_of_plain_boto3(gateway: Gateway, region: str, **config: Any) -> str:
    """With nothing but what a pod is given."""
    client = boto3.client(
        "s3",
        region_name=region,
        endpoint_url=gateway.endpoint,
        aws_access_key_id=gateway.key.access_key_id,
        aws_secret_access_key=gateway.key.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, **config),
    )
    with closing(client):
        named = {"Bucket": BUCKET, "Key": KEY}
        url: str = client.generate_presigned_url("get_object", Params=named)
    return url.removeprefix(gateway.endpoint)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_boto3s_url_of_version_2_is_refused_with_the_setting_to_change(
    minio_gateway: Gateway, region: str
) -> None:
    answer = send(minio_gateway, url_of_plain_boto3(minio_gateway, region))
    assert (answer.status, answer.error_code) == (400, "InvalidRequest")
    assert b"signature_version s3v4" in answer.body


@pytest.mark.parametrize(
    ("region", "config"),
    [("us-east-1", {"signature_version": "s3v4"}), ("eu-central-1", {}), ("us-east-2", {})],
    ids=["told so", "by the region", "by another region"],
)
def test_boto3s_url_is_of_version_4_where_the_documents_say_so(
    minio_gateway: Gateway, region: str, config: Any
) -> None:
    url = url_of_plain_boto3(minio_gateway, region, **config)
    assert send(minio_gateway, url).status == 200


REFUSED: dict[str, tuple[Presigner, int, str]] = {
    "expired": (
        Presigner(key=READER, age=timedelta(minutes=10), expires_seconds=300),
        403,
        "AccessDenied",
    ),
    "not valid yet": (Presigner(key=READER, age=timedelta(minutes=-16)), 403, "AccessDenied"),
    "for more than a week": (
        Presigner(key=READER, expires_seconds=WEEK_SECONDS + 1),
        400,
        "AuthorizationQueryParametersError",
    ),
    "for no time": (
        Presigner(key=READER, expires_seconds=-1),
        400,
        "AuthorizationQueryParametersError",
    ),
    "by nobody we know": (Presigner(key=random_key()), 403, "InvalidAccessKeyId"),
}


@pytest.mark.rule("3.10.1")
@pytest.mark.parametrize(("presigner", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_urls_that_are_refused(
    minio_gateway: Gateway, presigner: Presigner, status: int, code: str
) -> None:
    answer = send(minio_gateway, target_of(minio_gateway, presigner))
    assert (answer.status, answer.error_code) == (status, code)


def test_a_url_is_good_for_a_week_and_to_its_last_second(minio_gateway: Gateway) -> None:
    presigner = Presigner(
        key=minio_gateway.key, age=timedelta(days=6, hours=23), expires_seconds=WEEK_SECONDS
    )
    assert send(minio_gateway, target_of(minio_gateway, presigner)).status == 200


TAMPERED = {
    "another key": lambda target: target.replace("signed/for", "signed/foe"),
    "another lifetime": lambda target: target.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"),
    "another parameter": lambda target: f"{target}&versionId=null",
    "another signature": lambda target: target[:-4] + "0000",
}


@pytest.mark.rule("3.10.1")
@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_changed_url_is_refused(minio_gateway: Gateway, tamper: Any) -> None:
    changed = tamper(target_of(minio_gateway, Presigner(key=minio_gateway.key)))
    answer = send(minio_gateway, changed)
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")


def test_a_url_is_for_its_method_only(minio_gateway: Gateway) -> None:
    target = target_of(minio_gateway, Presigner(key=minio_gateway.key))
    answer = send(minio_gateway, target, "PUT", body=b"written")
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")


@pytest.mark.rule("3.10.1")
def test_a_url_and_an_authorization_header_exclude_each_other(minio_gateway: Gateway) -> None:
    target = target_of(minio_gateway, Presigner(key=minio_gateway.key))
    signed = minio_gateway.signer.sign("GET", f"{minio_gateway.endpoint}{target}")
    with minio_gateway.raw() as raw:
        raw.send_head("GET", target, signed.headers)
        answer = raw.read_response()
    assert (answer.status, answer.error_code) == (400, "InvalidRequest")


def test_a_url_allows_no_more_than_its_signer(minio_gateway: Gateway) -> None:
    target = target_of(minio_gateway, Presigner(key=READER), "PUT")
    answer = send(minio_gateway, target, "PUT", body=b"written")
    assert (answer.status, answer.error_code) == (403, "AccessDenied")
