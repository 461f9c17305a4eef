"""A pod's sidecar: the real program, the operator's real config server, and an application that has
nothing but boto3 and the variables of such a pod.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from bucketroute_snapshot import (
    StaticAuth,
)
from bucketroute_testing.clients import s3_client, sts_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.minio import Minio, MinioSettings
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.pods import Pod, SidecarFiles, ask
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.sidecar_bench import (
    BACKEND_BUCKET,
    READY_SECONDS,
    SUBJECT,
    SidecarBench,
    await_ready,
    put,
    role_at,
    routes,
    wire_routes,
)
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend

SOMEBODY_ELSE = "system:serviceaccount:team-b:app"
# What a workload may do: everything below its own subject, nothing elsewhere.
_OWN_FOLDER = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:*"],
            "Resource": [f"arn:aws:s3:::{BACKEND_BUCKET}/${{jwt:sub}}/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BACKEND_BUCKET}"],
            "Condition": {"StringLike": {"s3:prefix": ["${jwt:sub}/*"]}},
        },
    ],
}
_APPLICATION = """
import boto3, hashlib, io
s3 = boto3.client("s3")
body = bytes(range(256)) * (9 * 2**20 // 256)
s3.put_object(Bucket="own", Key="a/small", Body=b"hello")
s3.upload_fileobj(io.BytesIO(body), "own", "a/large")
assert s3.get_object(Bucket="own", Key="a/small")["Body"].read() == b"hello"
found = s3.get_object(Bucket="own", Key="a/large")["Body"].read()
assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="own", PaginationConfig={"PageSize": 1})
print([item["Key"] for page in pages for item in page["Contents"]])
"""
_WRITE = """
import boto3
from botocore.exceptions import ClientError
try:
    boto3.client("s3").put_object(Bucket=__import__("os").environ["BUCKET"], Key="k", Body=b"x")
    print("written")
except ClientError as error:
    print(error.response["Error"]["Code"])
"""


@pytest.fixture(scope="module")
def workloads_minio(
    tmp_path_factory: pytest.TempPathFactory, issuer: OidcIssuer
) -> Iterator[Minio]:
    """One whose only role lets each subject into the folder of its own name."""
    directory = tmp_path_factory.mktemp("minio")
    running = Minio(MinioSettings(directory=directory, issuer=issuer, policy=_OWN_FOLDER))
    try:
        running.create_bucket(BACKEND_BUCKET)
        yield running
    finally:
        running.stop()


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


@pytest.mark.minio
async def test_an_application_without_any_credential_moves_objects_as_its_service_account(
    bench: SidecarBench, workloads_minio: Minio, operator: OperatorEnd, files: SidecarFiles
) -> None:
    auth = role_at(workloads_minio.endpoint, workloads_minio.role_arn)
    prefixes = {"own": f"{SUBJECT}/", "foreign": f"{SOMEBODY_ELSE}/"}
    operator.publish("1.1", routes(workloads_minio.endpoint, auth, **prefixes))

    def act(pod: Pod) -> tuple[str, str]:
        return files.run(pod, _APPLICATION), files.run(pod, _WRITE, BUCKET="foreign")

    listed, refused = await bench.in_pod(files, act)
    assert listed.strip() == "['a/large', 'a/small']"
    # The route allows it; MinIO does not, since the token is not team-b's.
    assert refused.strip() == "AccessDenied"
    with closing(s3_client(workloads_minio.endpoint, workloads_minio.root)) as s3:
        found = s3.list_objects_v2(Bucket=BACKEND_BUCKET)["Contents"]
    assert [item["Key"] for item in found] == [f"{SUBJECT}/a/large", f"{SUBJECT}/a/small"]
    assert operator.words == 0, "what a sidecar says must not count"


async def test_it_waits_for_the_operator_and_says_so(
    bench: SidecarBench, files: SidecarFiles, wire: WireBackend
) -> None:
    bench.operator.publish("1.1", wire_routes(wire))
    port, is_alone = free_port(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> str:
        with files.running(operator_port=port, ca=bench.operator.ca_file.read_text()) as pod:
            wait_until(
                lambda: "not ready without a configuration" in pod.process.log_text(),
                deadline_seconds=READY_SECONDS,
                what="a line in the log",
            )
            assert (pod.probe("live"), pod.probe("ready")) == (0, 1)
            status, answer = ask(pod, files.authorization.read_text())
            assert (status, answer["code"]) == (503, "ServiceUnavailable")
            loop.call_soon_threadsafe(is_alone.set)
            await_ready(pod)
            return put(pod, files.credentials(pod))

    pod = asyncio.create_task(asyncio.to_thread(run))
    await asyncio.wait({pod, asyncio.create_task(is_alone.wait())}, return_when="FIRST_COMPLETED")
    async with bench.operator.listening(port):
        assert await pod == "written"


async def test_after_a_restart_applications_go_on_though_the_operator_is_away(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator.publish("1.1", wire_routes(wire))

    def begin(pod: Pod) -> tuple[AccessKey, str]:
        saved = files.folder / "state" / "snapshot.ndjson.gz"
        wait_until(saved.exists, deadline_seconds=READY_SECONDS, what="the snapshot is kept")
        return files.credentials(pod), files.authorization.read_text()

    held, authorization = await bench.in_pod(files, begin)
    outcome = await bench.in_pod(files, lambda pod: put(pod, held), operator_port=free_port())
    assert outcome == "written"
    assert files.authorization.read_text() == authorization


async def test_only_who_can_read_the_pod_s_file_gets_credentials(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator.publish("1.1", wire_routes(wire))

    def act(pod: Pod) -> dict[str, tuple[int, str]]:
        right = files.authorization.read_text()
        attempts = {
            "none": ask(pod, None),
            "wrong": ask(pod, right[:-1]),
            "bearer": ask(pod, f"Bearer {right}"),
            "another method": ask(pod, right, method="PUT"),
        }
        return {name: (status, answer["code"]) for name, (status, answer) in attempts.items()}

    assert await bench.in_pod(files, act) == {
        "none": (403, "AccessDenied"),
        "wrong": (403, "AccessDenied"),
        "bearer": (403, "AccessDenied"),
        "another method": (405, "MethodNotAllowed"),
    }
    assert files.authorization.stat().st_mode & 0o777 == 0o444


async def test_other_proof_than_the_pod_s_own_is_refused(
    bench: SidecarBench,
    operator: OperatorEnd,
    wire: WireBackend,
    issuer: OidcIssuer,
) -> None:
    operator.publish("1.1", wire_routes(wire))
    here, elsewhere = bench.new_pod("here"), bench.new_pod("elsewhere")
    stolen = await bench.in_pod(elsewhere, elsewhere.credentials)

    def log_in(pod: Pod) -> str:
        token = issuer.mint(SUBJECT, "bucketroute")
        with closing(sts_client(pod.endpoint)) as sts, pytest.raises(ClientError) as caught:
            sts.assume_role_with_web_identity(
                RoleArn="arn:aws:iam::000000000000:role/x", RoleSessionName="s1",
                WebIdentityToken=token,
            )  # fmt: skip
        return str(caught.value.response["Error"]["Code"])

    def act(pod: Pod) -> list[str]:
        own = here.credentials(pod)
        wrong = AccessKey(
            access_key_id=own.access_key_id,
            secret_access_key="wrong",
            session_token=own.session_token,
        )
        unknown = AccessKey(access_key_id="AKIDUNKNOWN", secret_access_key="x")
        return [*(put(pod, key) for key in (own, wrong, stolen, unknown)), log_in(pod)]

    assert await bench.in_pod(here, act) == [
        "written",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "InvalidAccessKeyId",
        "InvalidIdentityToken",
    ]


async def test_a_bucket_that_needs_a_secret_says_that_sidecars_have_none(
    bench: SidecarBench, operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    auth = StaticAuth(namespace="team-a", secret_name="keys")
    operator.publish("1.1", routes(wire.endpoint, auth, own="own/"))

    def act(pod: Pod) -> dict[str, Any]:
        with (
            closing(s3_client(pod.endpoint, files.credentials(pod))) as s3,
            pytest.raises(ClientError) as caught,
        ):
            s3.get_object(Bucket="own", Key="k")
        return dict(caught.value.response)

    answer = await bench.in_pod(files, act)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert answer["Error"]["Code"] == "ServiceUnavailable"
    assert "no sidecar is given" in answer["Error"]["Message"]
