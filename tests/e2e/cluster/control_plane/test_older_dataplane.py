"""An upgrade begins with the operator: data planes of the schema before keep their routes.

The operator is today's. The data plane is a real process of a commit whose snapshots have the
schema before, with the libraries of its own time. The class uses a field that it does not know.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucketroute_snapshot import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION
from bucketroute_testing.cluster import Json, wait_until
from bucketroute_testing.older_dataplane import OlderDataplane
from bucketroute_testing.operator_beside import (
    CLASS,
    NAMESPACE,
    OLDER_POD,
    PODS,
    Surroundings,
    class_with,
    set_ready,
)
from bucketroute_testing.operator_world import World
from bucketroute_testing.route_churn import churned_route

SECONDS = 60.0
BOOT = f"bucketroute-boot-{CLASS}"
BOOT_KEY = "snapshot.ndjson.gz"


@pytest.fixture(scope="module")
def newer_field(world: World) -> Iterator[None]:
    world.cluster.apply(class_with(signatureDiagnostics="Enabled"))
    yield
    world.cluster.apply(class_with())


@pytest.fixture
def older(
    world: World, surroundings: Surroundings, newer_field: None, tmp_path: Path
) -> Iterator[OlderDataplane]:
    """It is one of the gateway's ready pods."""
    process = OlderDataplane(
        tmp_path,
        class_name=CLASS,
        config_url=f"https://localhost:{world.operator.config_port}",
        ca_file=surroundings.authority_file(tmp_path),
        token_file=surroundings.token_files[OLDER_POD],
    )
    with process:
        set_ready(world.cluster, *PODS, OLDER_POD)
        wait_until(
            lambda: states(world).get(OLDER_POD), lambda found: found == "Synced", seconds=SECONDS
        )
        yield process
        set_ready(world.cluster, *PODS)


def states(world: World) -> dict[str, str]:
    """Of the data planes that count, as the class tells."""
    status = world.cluster.get("bucketrouteclass", CLASS)["status"]
    return {pod["name"]: pod["state"] for pod in status["dataPlanes"]["pods"]}


def open_route(name: str, tenant: str) -> Json:
    """One that anybody may list."""
    found = churned_route(name, tenant, CLASS)
    found["spec"]["access"] = [
        {"subjects": [{"kind": "Anonymous"}], "permissions": ["List"]},
    ]
    return found


def await_ready(world: World, name: str) -> None:
    world.cluster.await_condition(
        "bucketroute", name, world.tenant, is_now=("Ready", "True"), seconds=SECONDS
    )


def boot_content(world: World) -> bytes:
    """What new pods boot from; the operator writes it every ten seconds at most."""
    encoded = world.cluster.get("configmap", BOOT, NAMESPACE)["binaryData"][BOOT_KEY]
    return gzip.decompress(base64.b64decode(encoded))


def test_there_is_a_schema_before() -> None:
    assert OLDEST_SCHEMA_VERSION == SCHEMA_VERSION - 1


def test_it_follows_todays_operator(world: World, older: OlderDataplane) -> None:
    """`Ready` means that this pod, too, has acknowledged the route."""
    world.cluster.apply(open_route("older-one", world.tenant))
    await_ready(world, "older-one")
    assert older.serves("older-one"), older.log_text()
    world.cluster.apply(open_route("older-two", world.tenant))
    await_ready(world, "older-two")
    assert older.serves("older-two"), older.log_text()
    where = ("--namespace", world.tenant)
    world.cluster.kubectl("delete", "bucketroute", "older-two", *where)
    wait_until(lambda: older.serves("older-two"), lambda serves: not serves, seconds=SECONDS)
    assert older.serves("older-one")


def test_it_boots_from_what_todays_operator_left(
    world: World, surroundings: Surroundings, newer_field: None, tmp_path: Path
) -> None:
    """As a pod that is made anew while the operator is away."""
    world.cluster.apply(open_route("older-boot", world.tenant))
    await_ready(world, "older-boot")
    boot = tmp_path / "boot"
    boot.mkdir()
    content = wait_until(
        lambda: boot_content(world), lambda found: b"older-boot" in found, seconds=SECONDS
    )
    (boot / BOOT_KEY).write_bytes(gzip.compress(content))
    process = OlderDataplane(
        tmp_path,
        class_name=CLASS,
        config_url="https://127.0.0.1:9",  # discard: nobody answers
        ca_file=surroundings.authority_file(tmp_path),
        token_file=surroundings.token_files[OLDER_POD],
        boot_directory=boot,
    )
    with process:
        assert process.serves("older-boot"), process.log_text()
