"""The fakes and signers of these tests are honest: shown without the program under test."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.chunk_forms import CHUNK_FORMS, ChunkedUpload, ChunkForm
from bucketroute_testing.clients import RawClient, s3_client, sts_client
from bucketroute_testing.embedded import ROLE_ARN
from bucketroute_testing.gateway import BACKEND_BUCKET, random_key
from bucketroute_testing.minio import AUDIENCE, GATEWAY_SUBJECT, Minio, role_arn
from bucketroute_testing.oidc import OidcIssuer, ProjectedToken
from bucketroute_testing.signing import ChunkedBody, decode_aws_chunked, http_chunked, is_signed_by
from bucketroute_testing.sts import StsBehaviour
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, Framing, MiB, ReadPlan, s3_error

ODD_KEYS = ("a//b", "dir/", "../x", "space and+plus", "unicode/café/naïve.txt", "100%25.txt")
KEY = random_key()


@pytest.fixture
def s3(wire: WireBackend) -> Iterator[Any]:
    with closing(s3_client(wire.endpoint, KEY)) as client:
        yield client


@pytest.mark.parametrize("key", ODD_KEYS)
def test_the_recording_backend_keeps_any_key(s3: Any, key: str) -> None:
    s3.put_object(Bucket="b", Key=key, Body=b"payload", Metadata={"owner": "me"})
    answer = s3.get_object(Bucket="b", Key=key)
    assert (answer["Body"].read(), answer["Metadata"]) == (b"payload", {"owner": "me"})
    assert s3.head_object(Bucket="b", Key=key)["ContentLength"] == 7


def test_the_recording_backend_takes_multipart_copy_and_batch_delete(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="b", Key="a//big")["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(
                Bucket="b", Key="a//big", UploadId=upload, PartNumber=number, Body=body
            )["ETag"],
        }
        for number, body in ((1, b"one"), (2, b"two"))
    ]
    completed = {"Parts": parts}
    s3.complete_multipart_upload(
        Bucket="b", Key="a//big", UploadId=upload, MultipartUpload=completed
    )
    s3.copy_object(Bucket="b", Key="copy", CopySource={"Bucket": "b", "Key": "a//big"})
    assert s3.get_object(Bucket="b", Key="copy")["Body"].read() == b"onetwo"
    s3.delete_objects(Bucket="b", Delete={"Objects": [{"Key": "copy"}, {"Key": "a//big"}]})
    assert s3.list_objects_v2(Bucket="b")["KeyCount"] == 0


def test_the_recording_backend_pages_its_listings(s3: Any, wire: WireBackend) -> None:
    keys = [f"k{number:02d}+ /x" for number in range(7)]
    for key in keys:
        wire.store.put("b", key, b"")
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(Bucket="b", PaginationConfig={"PageSize": 3})
        assert [each["Key"] for page in pages for each in page["Contents"]] == keys
    folded = s3.list_objects_v2(Bucket="b", Delimiter="/")["CommonPrefixes"]
    assert [each["Prefix"] for each in folded] == [key[:-1] for key in keys]


def test_a_recorded_request_is_signed_by_its_sender_and_by_nobody_else(
    s3: Any, wire: WireBackend
) -> None:
    s3.put_object(Bucket="b", Key="a b+c//d", Body=b"x", Metadata={"m": "v"})
    head = wire.only_request("PUT").head
    assert is_signed_by(head, KEY.secret_access_key)
    assert not is_signed_by(head, "another-secret")
    assert {"host", "x-amz-date", "x-amz-meta-m"} <= head.signed_headers


def test_the_framing_is_recorded_as_it_arrived(wire: WireBackend) -> None:
    with RawClient(wire.endpoint) as raw:
        raw.send_head("PUT", "/b/fixed", (("Host", "x"), ("Content-Length", "3")))
        raw.send(b"abc")
        raw.read_response()
        raw.send_head("PUT", "/b/chunked", (("Host", "x"), ("Transfer-Encoding", "chunked")))
        raw.send(http_chunked(b"abcdef", chunk_bytes=4))
        raw.read_response()
    fixed, chunked = wire.requests("PUT")
    assert (fixed.head.framing, fixed.body) == (Framing.CONTENT_LENGTH, b"abc")
    assert (chunked.head.framing, chunked.body) == (Framing.CHUNKED, b"abcdef")
    assert fixed.head.connection_id == chunked.head.connection_id
    assert fixed.head.raw.startswith(b"PUT /b/fixed HTTP/1.1\r\nHost: x\r\n")


def test_scripts_answer_before_the_body_and_cut_connections(wire: WireBackend) -> None:
    wire.script("PUT", "/b/early", s3_error(403, "AccessDenied"), read=ReadPlan(answer_first=True))
    wire.script("PUT", "/b/abort", read=ReadPlan(abort_at_bytes=1))
    wire.script("GET", "/b/short", Answer(body=b"x" * 100, close_after_bytes=10))
    length = ("Content-Length", str(MiB))
    with RawClient(wire.endpoint) as raw:
        raw.send_head("PUT", "/b/early", (("Host", "x"), length))
        assert raw.read_response().error_code == "AccessDenied"
    with RawClient(wire.endpoint) as raw:
        raw.send_head("PUT", "/b/abort", (("Host", "x"), length))
        raw.send(b"x" * 1024)
        assert raw.is_closed_by_peer()
    with RawClient(wire.endpoint) as raw:
        raw.send_head("GET", "/b/short", (("Host", "x"),))
        with pytest.raises(ConnectionError):
            raw.read_response()
    assert not wire.only_request("PUT", "/b/abort").is_complete


def test_a_script_is_spent_after_its_times(s3: Any, wire: WireBackend) -> None:
    wire.store.put("b", "k", b"stored")
    wire.script("GET", "/b/k", s3_error(503, "SlowDown"), times=1)
    with pytest.raises(ClientError, match="SlowDown"):
        s3.get_object(Bucket="b", Key="k")
    assert s3.get_object(Bucket="b", Key="k")["Body"].read() == b"stored"


def test_the_fake_sts_counts_its_calls_in_the_shared_journal(wire: WireBackend) -> None:
    with closing(sts_client(wire.endpoint)) as client:
        answer = client.assume_role_with_web_identity(
            RoleArn=ROLE_ARN, RoleSessionName="session", WebIdentityToken="some-token"
        )
        wire.sts.behaviour = StsBehaviour(error_code="AccessDenied", status=403)
        with pytest.raises(ClientError, match="AccessDenied"):
            client.assume_role_with_web_identity(
                RoleArn=ROLE_ARN, RoleSessionName="session", WebIdentityToken="some-token"
            )
    assert answer["Credentials"]["SessionToken"] == "fake-session-token-1"
    assert [call.form["RoleSessionName"] for call in wire.sts.calls] == ["session", "session"]
    assert len(wire.journal.events(source="sts", kind="call")) == 2


def test_a_projected_token_is_replaced_in_one_step(tmp_path: Path) -> None:
    token = ProjectedToken(directory=tmp_path / "token")
    token.rotate("first")
    with token.path.open() as held:
        token.rotate("second")
        assert (held.read(), token.path.read_text()) == ("first", "second")


@pytest.mark.minio
def test_minio_exchanges_only_tokens_that_its_issuer_signed_for_its_audience(
    minio: Minio, issuer: OidcIssuer
) -> None:
    assert minio.exchange(minio.mint()).session_token
    refused = {
        "audience": issuer.mint(GATEWAY_SUBJECT, "someone-else"),
        "expired": issuer.mint(GATEWAY_SUBJECT, AUDIENCE, lifetime=timedelta(hours=-1)),
        "signature": minio.mint()[:-8] + "AAAAAAAA",
    }
    for token in refused.values():
        with pytest.raises(ClientError):
            minio.exchange(token)


@pytest.mark.minio
def test_minio_lets_only_the_gateways_subject_write(minio: Minio) -> None:
    other = minio.exchange(minio.mint("system:serviceaccount:default:other"))
    with (
        closing(s3_client(minio.endpoint, other)) as client,
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        client.put_object(Bucket=BACKEND_BUCKET, Key="x", Body=b"")


def test_minios_role_arn_is_a_function_of_the_client_id() -> None:
    assert role_arn("minio") == "arn:minio:iam:::role/MHR2BeH2-q1dHO2yx5U9Mf-tP9Q"


@pytest.mark.minio
@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_minio_takes_the_chunk_signers_framing(minio: Minio, form: ChunkForm) -> None:
    payload = hashlib.sha256(b"seed").digest() * 5000
    upload = ChunkedUpload(form=form, key=minio.root, bucket=BACKEND_BUCKET, payload=payload)
    answer = upload.send(minio.endpoint)
    assert answer.status == 200, answer.body
    with closing(s3_client(minio.endpoint, minio.root)) as client:
        stored = client.get_object(Bucket=BACKEND_BUCKET, Key=upload.object_key)["Body"].read()
    assert stored == payload


@pytest.mark.minio
def test_minio_refuses_a_changed_signed_chunk(minio: Minio) -> None:
    form = CHUNK_FORMS["signed"]
    upload = ChunkedUpload(form=form, key=minio.root, bucket=BACKEND_BUCKET, payload=b"abc" * 9)
    answer = upload.send(minio.endpoint, spoil=lambda body: body.replace(b"abc", b"cba"))
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")


def test_chunk_framing_comes_off_again() -> None:
    body = ChunkedBody(payload=b"x" * 100, chunk_bytes=30, trailer=("x-amz-checksum-crc32", "a=="))
    decoded = decode_aws_chunked(body.unsigned())
    assert decoded.payload == b"x" * 100
    assert decoded.trailers == {"x-amz-checksum-crc32": "a=="}
