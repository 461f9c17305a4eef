"""A pod's sidecar: the real program, the operator's real config server, and an application that has
nothing but boto3 and the variables of such a pod.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from bucketroute_snapshot import (
    AccessRule,
    Backend,
    BackendProfile,
    ClassSettings,
    NetworkScope,
    Route,
    RouteState,
    ServiceAccountSubject,
    Snapshot,
    StaticAuth,
    WebIdentityAuth,
)
from bucketroute_snapshot.model import BackendAuth
from bucketroute_testing.clients import s3_client, sts_client
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.minio import AUDIENCE, Minio, MinioSettings
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.operator_objects import review_of
from bucketroute_testing.pods import Pod, SidecarFiles, ask
from bucketroute_testing.processes import free_port, wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire import WireBackend

SUBJECT = "system:serviceaccount:team-a:app"
SOMEBODY_ELSE = "system:serviceaccount:team-b:app"
BACKEND_BUCKET = "acme-workloads"
READY_SECONDS = 20.0
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
def operator_end(tmp_path: Path) -> OperatorEnd:
    directory = tmp_path / "operator"
    directory.mkdir()
    return OperatorEnd(directory)


@pytest_asyncio.fixture
async def operator(operator_end: OperatorEnd) -> AsyncIterator[OperatorEnd]:
    async with operator_end.listening():
        yield operator_end


@pytest.fixture
def new_sidecar(
    tmp_path: Path, operator_end: OperatorEnd, issuer: OidcIssuer
) -> Callable[[str], SidecarFiles]:
    """A pod's folder, with tokens that operator and MinIO accept."""

    def create(name: str) -> SidecarFiles:
        config_token = issuer.mint(SUBJECT, "bucketroute-config")
        operator_end.kube.reviews[config_token] = review_of("team-a", "app", pod_uid="pod-9")
        files = SidecarFiles(folder=tmp_path / name)
        files.folder.mkdir()
        files.create(config_token=config_token, sts_token=issuer.mint(SUBJECT, AUDIENCE))
        return files

    return create


@pytest.fixture
def files(new_sidecar: Callable[[str], SidecarFiles]) -> SidecarFiles:
    return new_sidecar("pod")


def routes(endpoint: str, auth: BackendAuth, **prefixes: str) -> Snapshot:
    """Routes of team-a by their names and prefixes; its `app` may do everything."""
    everything = AccessRule(
        subjects=(ServiceAccountSubject(namespace="team-a", name="app"),),
        actions=("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    )
    found = [
        Route(
            namespace="team-a",
            name=name,
            bucket=name,
            uid=f"uid-{name}",
            generation=1,
            created_at="2026-01-01T00:00:00Z",
            state=RouteState.ACTIVE,
            exported=True,
            backend=Backend(
                endpoint=endpoint,
                bucket=BACKEND_BUCKET,
                prefix=prefix,
                region="us-east-1",
                profile=BackendProfile.MINIO,
                network_scope=NetworkScope.LOOPBACK,
                auth=auth,
            ),
            access=(everything,),
        )
        for name, prefix in sorted(prefixes.items())
    ]
    settings = ClassSettings(name="default", region="us-east-1")
    return Snapshot(settings=settings, routes=tuple(found))


def role_at(endpoint: str, role_arn: str) -> WebIdentityAuth:
    return WebIdentityAuth(
        role_arn=role_arn, sts_endpoint=endpoint, session_name="team-a.own", audience=AUDIENCE
    )


def wire_routes(wire: WireBackend) -> Snapshot:
    role = "arn:aws:iam::111122223333:role/own"
    return routes(wire.endpoint, role_at(wire.endpoint, role), own="own/")


def await_ready(pod: Pod) -> None:
    wait_until(lambda: pod.probe("ready") == 0, deadline_seconds=READY_SECONDS, what="readiness")


async def in_pod(
    files: SidecarFiles, operator: OperatorEnd, act: Callable[[Pod], Any], *, port: int = 0
) -> Any:
    """Runs the sidecar, and beside it `act` once it is ready."""
    ca = operator.ca_file.read_text()

    def run() -> Any:
        with files.running(operator_port=port or operator.port, ca=ca) as pod:
            await_ready(pod)
            return act(pod)

    return await asyncio.to_thread(run)


def put(pod: Pod, key: AccessKey) -> str:
    """What a client with this key is told."""
    with closing(s3_client(pod.endpoint, key)) as s3:
        try:
            s3.put_object(Bucket="own", Key="k", Body=b"x")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
    return "written"


@pytest.mark.minio
async def test_an_application_without_any_credential_moves_objects_as_its_service_account(
    workloads_minio: Minio, operator: OperatorEnd, files: SidecarFiles
) -> None:
    auth = role_at(workloads_minio.endpoint, workloads_minio.role_arn)
    prefixes = {"own": f"{SUBJECT}/", "foreign": f"{SOMEBODY_ELSE}/"}
    operator.publish("1.1", routes(workloads_minio.endpoint, auth, **prefixes))

    def act(pod: Pod) -> tuple[str, str]:
        return files.run(pod, _APPLICATION), files.run(pod, _WRITE, BUCKET="foreign")

    listed, refused = await in_pod(files, operator, act)
    assert listed.strip() == "['a/large', 'a/small']"
    # The route allows it; MinIO does not, since the token is not team-b's.
    assert refused.strip() == "AccessDenied"
    with closing(s3_client(workloads_minio.endpoint, workloads_minio.root)) as s3:
        found = s3.list_objects_v2(Bucket=BACKEND_BUCKET)["Contents"]
    assert [item["Key"] for item in found] == [f"{SUBJECT}/a/large", f"{SUBJECT}/a/small"]
    assert operator.words == 0, "what a sidecar says must not count"


async def test_it_waits_for_the_operator_and_says_so(
    operator_end: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator_end.publish("1.1", wire_routes(wire))
    port, is_alone = free_port(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> str:
        with files.running(operator_port=port, ca=operator_end.ca_file.read_text()) as pod:
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
    async with operator_end.listening(port):
        assert await pod == "written"


async def test_after_a_restart_applications_go_on_though_the_operator_is_away(
    operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
) -> None:
    operator.publish("1.1", wire_routes(wire))

    def begin(pod: Pod) -> tuple[AccessKey, str]:
        saved = files.folder / "state" / "snapshot.ndjson.gz"
        wait_until(saved.exists, deadline_seconds=READY_SECONDS, what="the snapshot is kept")
        return files.credentials(pod), files.authorization.read_text()

    held, authorization = await in_pod(files, operator, begin)
    outcome = await in_pod(files, operator, lambda pod: put(pod, held), port=free_port())
    assert outcome == "written"
    assert files.authorization.read_text() == authorization


async def test_only_who_can_read_the_pod_s_file_gets_credentials(
    operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
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

    assert await in_pod(files, operator, act) == {
        "none": (403, "AccessDenied"),
        "wrong": (403, "AccessDenied"),
        "bearer": (403, "AccessDenied"),
        "another method": (405, "MethodNotAllowed"),
    }
    assert files.authorization.stat().st_mode & 0o777 == 0o444


async def test_other_proof_than_the_pod_s_own_is_refused(
    operator: OperatorEnd,
    new_sidecar: Callable[[str], SidecarFiles],
    wire: WireBackend,
    issuer: OidcIssuer,
) -> None:
    operator.publish("1.1", wire_routes(wire))
    here, elsewhere = new_sidecar("here"), new_sidecar("elsewhere")
    stolen = await in_pod(elsewhere, operator, elsewhere.credentials)

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

    assert await in_pod(here, operator, act) == [
        "written",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "InvalidAccessKeyId",
        "InvalidIdentityToken",
    ]


async def test_a_bucket_that_needs_a_secret_says_that_sidecars_have_none(
    operator: OperatorEnd, files: SidecarFiles, wire: WireBackend
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

    answer = await in_pod(files, operator, act)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert answer["Error"]["Code"] == "ServiceUnavailable"
    assert "no sidecar is given" in answer["Error"]["Message"]
