"""SDKs of other languages find the credentials of a pod with a sidecar by its variables alone."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from bucketroute_snapshot import Route, Snapshot
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BACKEND_BUCKET
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.pods import Pod, SidecarFiles
from bucketroute_testing.sidecar_bench import SidecarBench, role_at, routes, wire_routes
from bucketroute_testing.tools import PYARROW, built_program, run_client
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import MiB

_PYARROW = """
import os
from pyarrow import fs
s3 = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL_S3"])
with s3.open_output_stream("own/arrow") as stream:
    stream.write(b"arrow")
print(s3.open_input_stream("own/arrow").read())
"""


@pytest.fixture
def bench(tmp_path: Path, issuer: OidcIssuer) -> SidecarBench:
    return SidecarBench(tmp_path, issuer)


@pytest_asyncio.fixture
async def operator(bench: SidecarBench) -> AsyncIterator[OperatorEnd]:
    async with bench.operator.listening():
        yield bench.operator


@pytest.fixture
def files(bench: SidecarBench) -> SidecarFiles:
    return bench.new_pod()


def run_rclone(files: SidecarFiles, pod: Pod, *arguments: str) -> str:
    """AWS's SDK for Go, which finds the credentials by itself (`env_auth`)."""
    remote = {"TYPE": "s3", "PROVIDER": "Minio", "ENV_AUTH": "true", "ENDPOINT": pod.endpoint}
    return run_client(
        built_program("rclone"),
        *arguments,
        environment={
            **files.application_environment(pod),
            "RCLONE_CONFIG": str(files.folder / "rclone.conf"),
            **{f"RCLONE_CONFIG_BR_{name}": value for name, value in remote.items()},
        },
        directory=files.folder,
    )


@pytest.mark.rclone
async def test_the_sdk_for_go_finds_the_credentials(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator.publish("1.1", wire_routes(wire))

    def act(pod: Pod) -> str:
        (files.folder / "source").write_text("go")
        run_rclone(files, pod, "copyto", str(files.folder / "source"), "br:own/go")
        return run_rclone(files, pod, "cat", "br:own/go")

    assert await bench.in_pod(files, act) == "go"


async def test_the_sdk_for_c_plus_plus_finds_the_credentials(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator.publish("1.1", wire_routes(wire))

    def act(pod: Pod) -> str:
        return run_client(
            PYARROW.program(),
            *("-c", _PYARROW),
            environment=files.application_environment(pod),
            directory=files.folder,
        )

    assert (await bench.in_pod(files, act)).strip() == "b'arrow'"


def at_the_backend(route: Route) -> Route:
    assert route.backend is not None
    return replace(route, backend=replace(route.backend, bucket=BACKEND_BUCKET))


def minio_routes(minio: Minio) -> Snapshot:
    """`own`, with which the pod may do everything, and `closed`, which admits nobody."""
    auth = role_at(minio.endpoint, minio.role_arn)
    snapshot = routes(minio.endpoint, auth, closed="", own="sidecar/")
    closed, own = (at_the_backend(route) for route in snapshot.routes)
    may = (*own.access[0].actions, "s3:DeleteObject")
    access = (replace(own.access[0], actions=may),)
    return replace(snapshot, routes=(replace(closed, access=()), replace(own, access=access)))


@pytest.mark.minio
@pytest.mark.parametrize(
    "sdk",
    [
        pytest.param(name, marks=getattr(pytest.mark, name))
        for name in ("gosdk", "jssdk", "javasdk")
    ],
)
async def test_an_sdk_of_aws_moves_objects(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, minio: Minio, sdk: str
) -> None:
    operator.publish("1.1", minio_routes(minio))
    # This MinIO's role trusts one subject; whose the token is does not matter here.
    (files.folder / "tokens" / "sts").write_text(minio.mint())
    source, copy = files.folder / "source", files.folder / "copy"
    source.write_bytes(payload(12 * MiB))

    def act(pod: Pod) -> str:
        return run_client(
            built_program(sdk),
            *("own", "closed", str(source), str(copy)),
            environment=files.application_environment(pod),
            directory=files.folder,
        )

    seen = json.loads(await bench.in_pod(files, act))
    assert (seen["greeting"], seen["size"]) == ("hello", 12 * MiB)
    assert seen["keys"] == [f"{sdk}/{name}" for name in ("large +ü", "small", "whole")]
    assert copy.read_bytes() == source.read_bytes()
    assert seen["missing"] == "NoSuchKey NoSuchKey 404"
    assert seen["denied"].endswith(" AccessDenied 403")
