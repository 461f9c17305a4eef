"""The session policy of a compiled route, on MinIO: with the credentials that a data plane gets for
the route, nothing beyond the route can be done, whatever the data plane would ask for.

The role itself may do everything in every bucket; only the policy stands between two tenants here.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bucketroute_cli.compile import compile_paths
from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.shell.addresses import Resolver
from bucketroute_dataplane.shell.checked_transport import CheckedTransport
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.sts_client import StsClient
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_dataplane.shell.web_identity import WebIdentityExchanger
from bucketroute_snapshot import NetworkScope, WebIdentityAuth
from bucketroute_testing.clients import s3_client
from bucketroute_testing.gateway import BACKEND_BUCKET, random_key
from bucketroute_testing.manifests import (
    ALL_PERMISSIONS,
    AccessRule,
    ClassPolicy,
    RouteBackend,
    WebIdentity,
    access_key_secret,
    bucket_backend,
    bucket_route,
    bucket_route_class,
    write_manifests,
)
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import ProjectedToken
from bucketroute_testing.signing import AccessKey

OWN, OTHERS = "tenants/a/", "tenants/b/"
OTHER_BUCKET = "acme-other-tenants"
MAX_POLICY_CHARACTERS = 2048

pytestmark = pytest.mark.minio
Compile = Callable[..., WebIdentityAuth]
Client = Callable[[WebIdentityAuth], Coroutine[Any, Any, Any]]


@pytest.fixture
def compiled(minio: Minio, tmp_path: Path) -> Compile:
    """Compiles a route as the operator does; returns how the data plane is to authenticate."""

    def compile_route(
        *, prefix: str = OWN, mode: str = "Enforced", permissions: tuple[str, ...] = ALL_PERMISSIONS
    ) -> WebIdentityAuth:
        rule = AccessRule(access_keys=["writer"], permissions=permissions)
        path = write_manifests(
            tmp_path / "route.yaml",
            bucket_route_class("default", ClassPolicy(session_policy=mode)),
            bucket_backend("store", minio.endpoint, WebIdentity(role_arn=minio.role_arn)),
            access_key_secret("writer", random_key()),
            bucket_route(
                "data", RouteBackend(ref="store", bucket=BACKEND_BUCKET, prefix=prefix), [rule]
            ),
        )
        (route,) = compile_paths([path]).snapshot.routes
        assert route.backend is not None
        assert isinstance(route.backend.auth, WebIdentityAuth)
        return route.backend.auth

    return compile_route


@pytest.fixture
async def client(minio: Minio, tmp_path: Path) -> AsyncIterator[Client]:
    """An S3 client of MinIO itself, with what the data plane's own exchange gives."""
    token = ProjectedToken(directory=tmp_path / "token")
    token.rotate(minio.mint())
    clock = SystemClock()
    sts = StsClient(clock=clock, transport_factory=partial(CheckedTransport, resolver=Resolver()))
    sts.network_scope = NetworkScope.LOOPBACK
    exchanger = WebIdentityExchanger(tokens=TokenFile(token.path), sts=sts, clock=clock)
    clients = []

    async def made(auth: WebIdentityAuth) -> Any:
        outcome = (await exchanger.exchange(auth)).outcome
        assert isinstance(outcome, Credentials), outcome
        assert outcome.session_token is not None
        key = AccessKey(
            access_key_id=outcome.access_key_id,
            secret_access_key=outcome.secret_access_key.reveal(),
            session_token=outcome.session_token.reveal(),
        )
        clients.append(s3_client(minio.endpoint, key))
        return clients[-1]

    yield made
    for each in clients:
        each.close()
    await sts.close()


@pytest.fixture(scope="module")
def others(minio: Minio) -> None:
    """What another tenant has: an object under its prefix, and one in a bucket of its own."""
    minio.create_bucket(OTHER_BUCKET)
    with closing(s3_client(minio.endpoint, minio.root)) as root:
        for bucket, key in ((BACKEND_BUCKET, f"{OTHERS}k"), (OTHER_BUCKET, f"{OWN}k")):
            root.put_object(Bucket=bucket, Key=key, Body=b"not yours")


@contextmanager
def denied() -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


async def test_everything_that_a_route_grants_works_under_the_policy(
    compiled: Compile, client: Client
) -> None:
    s3 = await client(compiled())
    here: dict[str, Any] = {"Bucket": BACKEND_BUCKET, "Key": f"{OWN}k"}
    s3.put_object(**here, Body=b"mine", Tagging="a=b")
    assert s3.get_object(**here)["Body"].read() == b"mine"
    assert s3.get_object_tagging(**here)["TagSet"] == [{"Key": "a", "Value": "b"}]
    upload = s3.create_multipart_upload(**here)["UploadId"]
    s3.upload_part(**here, UploadId=upload, PartNumber=1, Body=b"part")
    assert len(s3.list_parts(**here, UploadId=upload)["Parts"]) == 1
    found = s3.list_multipart_uploads(Bucket=BACKEND_BUCKET, Prefix=here["Key"])
    assert [item["UploadId"] for item in found["Uploads"]] == [upload]
    s3.abort_multipart_upload(**here, UploadId=upload)
    for listing in (s3.list_objects_v2, s3.list_object_versions):
        assert (
            listing(Bucket=BACKEND_BUCKET, Prefix=OWN)["ResponseMetadata"]["HTTPStatusCode"] == 200
        )
    s3.delete_object_tagging(**here)
    s3.delete_object(**here)


@pytest.mark.usefixtures("others")
async def test_no_other_prefix_and_no_other_bucket_can_be_reached(
    compiled: Compile, client: Client
) -> None:
    s3 = await client(compiled())
    for bucket, key in ((BACKEND_BUCKET, f"{OTHERS}k"), (OTHER_BUCKET, f"{OWN}k")):
        with denied():
            s3.get_object(Bucket=bucket, Key=key)
        with denied():
            s3.put_object(Bucket=bucket, Key=key, Body=b"mine")
        with denied():
            s3.delete_object(Bucket=bucket, Key=key)
        with denied():
            s3.create_multipart_upload(Bucket=bucket, Key=key)
        with denied():
            s3.list_objects_v2(Bucket=bucket, Prefix=OTHERS)
        with denied():
            s3.list_objects_v2(Bucket=bucket)
        with denied():
            s3.list_object_versions(Bucket=bucket, Prefix=OTHERS)
    with denied():
        s3.copy_object(
            Bucket=BACKEND_BUCKET, Key=f"{OWN}k", CopySource=f"{BACKEND_BUCKET}/{OTHERS}k"
        )
    with denied():
        s3.put_bucket_policy(Bucket=BACKEND_BUCKET, Policy="{}")


@pytest.mark.usefixtures("others")
async def test_without_the_policy_the_same_role_reaches_the_other_tenant(
    compiled: Compile, client: Client
) -> None:
    """So it is the policy that refuses above, and nothing else. This is what Disabled gives up."""
    auth = compiled(mode="Disabled")
    assert auth.session_policy is None
    s3 = await client(auth)
    assert s3.get_object(Bucket=BACKEND_BUCKET, Key=f"{OTHERS}k")["Body"].read() == b"not yours"


async def test_a_session_can_do_no_more_than_the_routes_grants_add_up_to(
    compiled: Compile, client: Client, minio: Minio
) -> None:
    here: dict[str, Any] = {"Bucket": BACKEND_BUCKET, "Key": f"{OWN}readable"}
    with closing(s3_client(minio.endpoint, minio.root)) as root:
        root.put_object(**here, Body=b"x")
    reader = await client(compiled(permissions=("Read",)))
    assert reader.get_object(**here)["Body"].read() == b"x"
    with denied():
        reader.put_object(**here, Body=b"y")
    with denied():
        reader.delete_object(**here)
    with denied():
        reader.list_objects_v2(Bucket=BACKEND_BUCKET, Prefix=OWN)


@pytest.mark.usefixtures("others")
async def test_a_policy_that_would_be_too_long_covers_the_bucket_and_no_other(
    compiled: Compile, client: Client
) -> None:
    """Quotes and backslashes of a prefix take two characters each in a policy."""
    prefix = "'\"" * 250 + "/"
    auth = compiled(prefix=prefix)
    assert auth.session_policy is not None
    assert len(auth.session_policy) <= MAX_POLICY_CHARACTERS
    s3 = await client(auth)
    assert s3.get_object(Bucket=BACKEND_BUCKET, Key=f"{OTHERS}k")["Body"].read() == b"not yours"
    with denied():
        s3.get_object(Bucket=OTHER_BUCKET, Key=f"{OWN}k")


async def test_a_wildcard_in_a_prefix_opens_no_other_prefix(
    compiled: Compile, client: Client
) -> None:
    """`*` in a prefix is a character of the key; in a policy it would be every tenant."""
    s3 = await client(compiled(prefix="*/"))
    s3.put_object(Bucket=BACKEND_BUCKET, Key="*/k", Body=b"mine")
    with denied():
        s3.put_object(Bucket=BACKEND_BUCKET, Key="tenants/k", Body=b"mine")
