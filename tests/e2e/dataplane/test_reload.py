"""`serve` follows its files within a second, all or nothing, and disturbs nothing in flight."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BACKEND_NAME,
    BUCKET,
    Gateway,
    StartGateway,
    random_key,
    recording_backend,
)
from bucketroute_testing.manifests import (
    AccessRule,
    Manifest,
    RouteBackend,
    access_key_secret,
    bucket_route,
    write_manifests,
)
from bucketroute_testing.processes import wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Answer, KiB

RELOAD_SECONDS = 1.0


@pytest.fixture
def gateway(wire: WireBackend, start_gateway: StartGateway) -> Gateway:
    running = start_gateway(recording_backend(wire))
    with closing(running.client()) as client:
        client.put_object(Bucket=BUCKET, Key="k", Body=b"before")
    return running


def second_route() -> Manifest:
    placed = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix="second/")
    return bucket_route("second", placed, [AccessRule(access_keys=["writer"])])


def answers(client: Any, bucket: str) -> bool:
    try:
        client.list_objects_v2(Bucket=bucket)
    except ClientError:
        return False
    return True


def seconds_until(client: Any, bucket: str, *, is_served: bool) -> float:
    return wait_until(
        lambda: answers(client, bucket) is is_served, deadline_seconds=10, what="the reload"
    )


def test_a_new_route_is_served_and_a_removed_one_is_gone(gateway: Gateway) -> None:
    path = gateway.manifest_file.with_name("second.yaml")
    with closing(gateway.client()) as client:
        write_manifests(path, second_route())
        assert seconds_until(client, "second", is_served=True) < RELOAD_SECONDS
        path.unlink()
        assert seconds_until(client, "second", is_served=False) < RELOAD_SECONDS
        with pytest.raises(client.exceptions.NoSuchBucket):
            client.list_objects_v2(Bucket="second")
        assert answers(client, BUCKET)


def test_a_revoked_grant_takes_effect(gateway: Gateway) -> None:
    *others, route = gateway.manifests
    spec = route["spec"]
    assert isinstance(spec, dict)
    with closing(gateway.client()) as client:
        access = [AccessRule(access_keys=["writer"], permissions=["Delete"]).manifest()]
        changed = {**route, "spec": {**spec, "access": access}}
        write_manifests(gateway.manifest_file, *others, changed)
        assert seconds_until(client, BUCKET, is_served=False) < RELOAD_SECONDS
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_object(Bucket=BUCKET, Key="k")


def test_a_changed_secret_takes_effect(gateway: Gateway) -> None:
    old: Manifest = gateway.manifests[0]
    changed = AccessKey(
        access_key_id=gateway.key.access_key_id,
        secret_access_key=random_key().secret_access_key,
    )
    secret = access_key_secret("writer", changed)
    assert secret["metadata"] == old["metadata"]
    write_manifests(gateway.manifest_file, secret, *gateway.manifests[1:])
    with closing(gateway.client(changed)) as client:
        assert seconds_until(client, BUCKET, is_served=True) < RELOAD_SECONDS
    with (
        closing(gateway.client()) as client,
        pytest.raises(ClientError, match="SignatureDoesNotMatch"),
    ):
        client.list_objects_v2(Bucket=BUCKET)


SLIPS: dict[str, tuple[str, str]] = {
    "beside the rules": ("backend:", "bakend:"),
    "in a rule": ("permissions:", "permisions:"),
    "in the caller's kind": ("kind: AccessKey", "kind: AccesKey"),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_callers_of_a_route_with_a_slip_learn_that_it_is_out_of_order(
    gateway: Gateway, slip: tuple[str, str]
) -> None:
    whole = gateway.manifest_file.read_text()
    assert slip[0] in whole
    with closing(gateway.client()) as client:
        replace_text(gateway.manifest_file, whole.replace(*slip))
        seconds_until(client, BUCKET, is_served=False)
        for call in (client.list_objects_v2, client.head_bucket):
            with pytest.raises(ClientError) as failed:
                call(Bucket=BUCKET)
            assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        replace_text(gateway.manifest_file, whole)
        seconds_until(client, BUCKET, is_served=True)


def replace_text(path: Path, text: str) -> None:
    """At once: a file that is seen empty holds no route at all."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_broken_file_stops_no_other_route(gateway: Gateway) -> None:
    broken = gateway.manifest_file.with_name("broken.yaml")
    broken.write_text("kind: [unclosed\n")
    write_manifests(gateway.manifest_file.with_name("second.yaml"), second_route())
    with closing(gateway.client()) as client:
        assert seconds_until(client, "second", is_served=True) < RELOAD_SECONDS
        assert answers(client, BUCKET)
    wait_until(
        lambda: "broken.yaml" in gateway.process.log_text(),
        deadline_seconds=5,
        what="a finding that names the file",
    )


def test_a_download_in_flight_survives_a_reload(gateway: Gateway, wire: WireBackend) -> None:
    slow = Answer(generated_bytes=64 * KiB, dribble_bytes=KiB, dribble_seconds=0.03)
    wire.script("GET", "*/slow", slow)
    with closing(gateway.client()) as client:
        body = client.get_object(Bucket=BUCKET, Key="slow")["Body"]
        first = body.read(KiB)
        gateway.manifest_file.unlink()
        seconds_until(client, BUCKET, is_served=False)
        assert len(first + body.read()) == 64 * KiB
