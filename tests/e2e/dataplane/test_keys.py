"""Keys travel byte for byte on every path: put, multipart, copy, get, head, list, batch delete."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote, unquote_plus

import pytest

from bucketroute_testing.corpus import KEYS, KEYS_WITH_EMPTY_SEGMENTS
from bucketroute_testing.embedded import EmbeddedBackend
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_PREFIX,
    BUCKET,
    Gateway,
    moto_backend,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.wire import WireBackend


@pytest.fixture(scope="module")
def moto_gateway(
    moto: EmbeddedBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("keys"), moto_backend(moto)) as running:
        yield running


@pytest.fixture(scope="module")
def wire_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with (
        WireBackend() as wire,
        running_gateway(tmp_path_factory.mktemp("keys"), recording_backend(wire)) as running,
    ):
        yield running


@pytest.mark.rule("3.4.1", "3.4.2", "3.4.3")
@pytest.mark.parametrize("key", KEYS)
def test_a_key_round_trips(gateway: Gateway, key: str) -> None:
    check_round_trip(gateway, key)


@pytest.mark.rule("3.4.6")
@pytest.mark.moto
@pytest.mark.parametrize("key", KEYS_WITH_EMPTY_SEGMENTS)
def test_a_key_with_empty_segments_round_trips_on_moto(moto_gateway: Gateway, key: str) -> None:
    check_round_trip(moto_gateway, key)


@pytest.mark.rule("3.4.6")
@pytest.mark.parametrize("key", [*KEYS, *KEYS_WITH_EMPTY_SEGMENTS])
def test_a_key_round_trips_on_the_recording_backend(wire_gateway: Gateway, key: str) -> None:
    check_round_trip(wire_gateway, key)


@pytest.mark.rule("3.4.1", "3.7.9")
def test_listings_and_batch_delete_keep_every_key(gateway: Gateway) -> None:
    check_listings_and_batch_delete(gateway, "listed/", KEYS)


@pytest.mark.rule("3.4.6", "3.4.7")
@pytest.mark.moto
def test_listings_keep_empty_segments_on_moto(moto_gateway: Gateway) -> None:
    check_listings_and_batch_delete(moto_gateway, "listed/", KEYS_WITH_EMPTY_SEGMENTS)


@pytest.mark.rule("3.4.6", "3.4.7")
def test_listings_keep_every_key_on_the_recording_backend(wire_gateway: Gateway) -> None:
    check_listings_and_batch_delete(wire_gateway, "listed/", (*KEYS, *KEYS_WITH_EMPTY_SEGMENTS))


@pytest.mark.rule("3.4.5")
@pytest.mark.parametrize("key", ["a/../b", "../b", "a/./b", "a/..", ".", "bell\x07", "del\x7f"])
def test_dot_segments_and_control_bytes_are_refused(wire_gateway: Gateway, key: str) -> None:
    target = f"/{BUCKET}/{quote(key, safe='/')}"
    signed = wire_gateway.signer.sign("PUT", f"{wire_gateway.endpoint}{target}")
    with wire_gateway.raw() as raw:
        raw.send_head("PUT", target, (*signed.headers, ("Content-Length", "0")))
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (400, "InvalidRequest")


def check_round_trip(gateway: Gateway, key: str) -> None:
    with closing(gateway.client()) as client, closing(gateway.backend.direct_client()) as direct:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"")
        stored = direct.head_object(Bucket=BACKEND_BUCKET, Key=f"{BACKEND_PREFIX}{key}")
        assert stored["ContentLength"] == 0
        assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 0
        copied_key = f"copies/{key}"
        source = {"Bucket": BUCKET, "Key": key}
        client.copy_object(Bucket=BUCKET, Key=copied_key, CopySource=source)
        assert client.get_object(Bucket=BUCKET, Key=copied_key)["Body"].read() == b""
        check_multipart(client, f"multipart/{key.rstrip('/')}")
        client.delete_object(Bucket=BUCKET, Key=key)
        left = direct.list_objects_v2(Bucket=BACKEND_BUCKET, Prefix=f"{BACKEND_PREFIX}{key}")
    assert [each["Key"] for each in left.get("Contents", [])] == []


def check_multipart(client: Any, key: str) -> None:
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)
    assert upload["Key"] == key
    named = {"Bucket": BUCKET, "Key": key, "UploadId": upload["UploadId"]}
    etag = client.upload_part(**named, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert client.complete_multipart_upload(**named, MultipartUpload=parts)["Key"] == key
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"part"


def check_listings_and_batch_delete(gateway: Gateway, prefix: str, keys: Sequence[str]) -> None:
    wanted = sorted((f"{prefix}{key}" for key in keys), key=str.encode)
    with closing(gateway.client()) as client:
        for key in wanted:
            client.put_object(Bucket=BUCKET, Key=key, Body=b"")
        for version in ("", "list-type=2&"):
            for encoding in ("", "encoding-type=url&"):
                assert listed_keys(gateway, f"{encoding}{version}", prefix) == wanted
        objects = [{"Key": key} for key in wanted]
        answer = client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
        assert sorted((each["Key"] for each in answer["Deleted"]), key=str.encode) == wanted
    assert listed_keys(gateway, "", prefix) == []


def listed_keys(gateway: Gateway, parameters: str, prefix: str) -> list[str]:
    """Keys of a listing asked for by hand: boto3 always asks for encoding-type=url."""
    target = f"/{BUCKET}?{parameters}prefix={quote(prefix, safe='')}"
    signed = gateway.signer.sign("GET", f"{gateway.endpoint}{target}")
    with gateway.raw() as raw:
        raw.send_head("GET", target, signed.headers)
        answer = raw.read_response()
    assert answer.status == 200, answer.body
    found = [node.text or "" for node in ET.fromstring(answer.body).iter() if is_key(node)]
    return [unquote_plus(key) for key in found] if "encoding-type" in parameters else found


def is_key(node: ET.Element) -> bool:
    return node.tag.endswith("}Key")
