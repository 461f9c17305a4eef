"""Large bodies in plaintext are moved by the kernel, and are the same bytes as ever."""

import hashlib
import re
import ssl
from contextlib import closing
from urllib.request import urlopen

import pytest

from bucketroute_testing.clients import RawResponse, object_url
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BUCKET,
    Gateway,
    GatewayOptions,
    StartGateway,
    recording_backend,
)
from bucketroute_testing.processes import wait_until
from bucketroute_testing.tls import CertificateFiles
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import MiB

BODY = payload(MiB) * 64
# All but what came with the head.
MOVED_BYTES = len(BODY) - MiB


def moved_bytes(gateway: Gateway) -> float:
    context = None if gateway.ca is None else ssl.create_default_context(cafile=str(gateway.ca))
    with urlopen(f"{gateway.endpoint}/-/metrics", context=context) as answer:
        text = answer.read().decode()
    found = re.search(r"^bucketroute_dataplane_moved_bytes_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def put(gateway: Gateway, key: str, body: bytes, *, is_hashed: bool = False) -> RawResponse:
    """boto3 would sign the body's hash over http."""
    url = object_url(gateway.endpoint, BUCKET, key)
    signed = gateway.signer.sign("PUT", url).headers
    length = ("Content-Length", str(len(body)))
    headers = gateway.put_headers(key, body) if is_hashed else (*signed, length)
    with gateway.raw(timeout_seconds=60) as raw:
        raw.send_head("PUT", f"/{BUCKET}/{key}", headers)
        raw.send(body)
        return raw.read_response("PUT")


def get(gateway: Gateway, key: str) -> RawResponse:
    signed = gateway.signer.sign("GET", object_url(gateway.endpoint, BUCKET, key))
    with gateway.raw(timeout_seconds=60) as raw:
        raw.send_head("GET", f"/{BUCKET}/{key}", signed.headers)
        return raw.read_response("GET")


def check_both_ways(gateway: Gateway) -> tuple[float, float]:
    """What was moved of an upload and of a download of BODY, whose bytes are right."""
    assert get(gateway, "absent").status == 404  # credentials are here, and a connection is idle
    start = moved_bytes(gateway)
    assert put(gateway, "large", BODY).status == 200
    between = moved_bytes(gateway)
    answer = get(gateway, "large")
    assert (answer.status, len(answer.body)) == (200, len(BODY))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BODY).digest()
    return between - start, moved_bytes(gateway) - between


@pytest.mark.rule("3.2.9")
def test_64_mib_are_moved_over_http(gateway: Gateway) -> None:
    up, down = check_both_ways(gateway)
    assert min(up, down) > MOVED_BYTES
    with closing(gateway.client()) as client:
        client.delete_object(Bucket=BUCKET, Key="large")


def test_64_mib_are_copied_over_https(tls_gateway: Gateway) -> None:
    assert check_both_ways(tls_gateway) == (0, 0)
    with closing(tls_gateway.client()) as client:
        client.delete_object(Bucket=BUCKET, Key="large")


@pytest.mark.rule("3.2.16")
def test_a_moved_upload_leaves_with_its_exact_length(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(wire))
    up, _ = check_both_ways(gateway)
    assert up > MOVED_BYTES
    sent = wire.only_request("PUT")
    assert sent.head.header("content-length") == str(len(BODY))
    assert sent.head.header("transfer-encoding") is None
    assert sent.body_sha256 == hashlib.sha256(BODY).hexdigest()


def test_a_body_whose_hash_is_signed_is_copied(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(wire))
    assert put(gateway, "hashed", BODY, is_hashed=True).status == 200
    assert moved_bytes(gateway) == 0
    assert wire.only_request("PUT").body_sha256 == hashlib.sha256(BODY).hexdigest()


@pytest.mark.rule("3.2.17")
def test_a_moved_upload_that_ends_early_is_no_object(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(wire))
    get(gateway, "absent")
    signed = gateway.signer.sign("PUT", object_url(gateway.endpoint, BUCKET, "short")).headers
    with gateway.raw() as raw:
        length = ("Content-Length", str(len(BODY)))
        raw.send_head("PUT", f"/{BUCKET}/short", (*signed, length))
        raw.send(BODY[: 32 * MiB])
        wait_until(
            lambda: moved_bytes(gateway) > 30 * MiB, deadline_seconds=20, what="half is moved"
        )
        raw.shut_down_sending()
        assert raw.is_closed_by_peer()
    wait_until(lambda: bool(wire.requests("PUT")), deadline_seconds=5, what="its end is recorded")
    assert not wire.only_request("PUT").is_complete
    assert wire.store.keys(BACKEND_BUCKET) == []


@pytest.mark.rule("3.2.17")
def test_what_follows_a_moved_upload_is_no_part_of_it(
    wire: WireBackend, start_gateway: StartGateway
) -> None:
    gateway = start_gateway(recording_backend(wire))
    get(gateway, "absent")
    signed = gateway.signer.sign("PUT", object_url(gateway.endpoint, BUCKET, "long")).headers
    with gateway.raw() as raw:
        length = ("Content-Length", str(len(BODY)))
        raw.send_head("PUT", f"/{BUCKET}/long", (*signed, length))
        raw.send(BODY + b"too much\r\n\r\n")
        answer = raw.read_response("PUT")
        assert answer.status == 200
        # It may be read before the answer is out, or after.
        if answer.header("connection") != "close":
            assert raw.read_response("GET").status == 400
    assert moved_bytes(gateway) > MOVED_BYTES
    assert wire.only_request("PUT").body_sha256 == hashlib.sha256(BODY).hexdigest()


def test_tls_on_the_clients_leg_alone_is_enough_to_copy(
    wire: WireBackend, start_gateway: StartGateway, certificate: CertificateFiles
) -> None:
    gateway = start_gateway(recording_backend(wire), GatewayOptions(tls=certificate))
    assert check_both_ways(gateway) == (0, 0)
