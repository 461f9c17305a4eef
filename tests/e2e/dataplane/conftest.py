"""Fixtures of the data plane's end-to-end tests: backends, gateways, certificates.

MinIO proves signing, STS and framing; moto takes the keys that MinIO refuses; the recording backend
shows the bytes. Backends and the gateways in front of them live for the whole run; a test that
changes a gateway starts its own with `start_gateway`.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import pytest_asyncio

from bucketroute_testing.client_runs import write_files
from bucketroute_testing.clients import RawClient
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.embedded import EmbeddedBackend
from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BUCKET,
    DOMAIN,
    BackendUnderTest,
    Gateway,
    GatewayOptions,
    StartGateway,
    minio_backend,
    moto_backend,
    recording_backend,
    running_gateway,
)
from bucketroute_testing.minio import Minio, MinioSettings
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.tally import BackendTally
from bucketroute_testing.tenants import BACKEND_VERSIONED, tenant_options
from bucketroute_testing.tls import CertificateFiles, make_certificate
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.worker_pods import WorkerStage


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "moto: runs on the embedded backend")
    config.addinivalue_line("markers", "mc: needs MinIO's client")
    config.addinivalue_line("markers", "rclone: needs rclone")
    config.addinivalue_line("markers", "gosdk: needs the program of AWS's SDK for Go")
    config.addinivalue_line("markers", "jssdk: needs the program of AWS's SDK for JavaScript")
    config.addinivalue_line("markers", "javasdk: needs the program of AWS's SDK for Java")
    tally = BackendTally(Path(__file__).parent, os.environ)
    config.pluginmanager.register(tally, "bucketroute-backends")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    names = ("localhost", DOMAIN, f"*.{DOMAIN}")
    return make_certificate(tmp_path_factory.mktemp("tls"), names=names)


@pytest.fixture(scope="session")
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as running:
        yield running


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory, issuer: OidcIssuer) -> Iterator[Minio]:
    """A real MinIO; a test that asks for it is marked `minio`."""
    running = Minio(MinioSettings(directory=tmp_path_factory.mktemp("minio"), issuer=issuer))
    try:
        # Unversioned: MinIO lists a prefix that holds nothing but delete markers.
        running.create_bucket(BACKEND_BUCKET)
        running.create_bucket(BACKEND_VERSIONED, is_versioned=True)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBackend]:
    """The embedded backend; a test that asks for it is marked `moto`."""
    running = EmbeddedBackend(tmp_path_factory.mktemp("moto"))
    try:
        with closing(moto_backend(running).direct_client()) as client:
            client.create_bucket(Bucket=BACKEND_BUCKET)
        yield running
    finally:
        running.stop()


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("minio", marks=pytest.mark.minio),
        pytest.param("moto", marks=pytest.mark.moto),
    ],
)
def backend(request: pytest.FixtureRequest) -> BackendUnderTest:
    """Each of the backends that store objects for real."""
    if request.param == "minio":
        return minio_backend(request.getfixturevalue("minio"))
    return moto_backend(request.getfixturevalue("moto"))


@pytest.fixture(scope="session")
def gateway(
    backend: BackendUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A plaintext front before `backend`."""
    with running_gateway(tmp_path_factory.mktemp("gateway"), backend) as running:
        yield running


@pytest.fixture(scope="session")
def tls_gateway(
    backend: BackendUnderTest,
    certificate: CertificateFiles,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A TLS front before `backend`."""
    options = GatewayOptions(tls=certificate)
    with running_gateway(tmp_path_factory.mktemp("tls-gateway"), backend, options) as running:
        yield running


@pytest.fixture(scope="session")
def minio_gateway(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A plaintext front before MinIO with the routes and callers of `tenants`."""
    directory = tmp_path_factory.mktemp("tenants")
    with running_gateway(directory, minio_backend(minio), tenant_options(minio)) as running:
        yield running


@pytest.fixture(scope="session")
def silent_upload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    """A client that stops after the first bytes of its upload.

    It is answered after a minute. A module that takes long asks for it too, so that in a whole run
    the minute is over when `test_silent_client` looks. The backend waits for ever, as MinIO does
    not.
    """
    directory = tmp_path_factory.mktemp("silent")
    with (
        WireBackend() as wire,
        running_gateway(directory, recording_backend(wire)) as gateway,
        gateway.raw(timeout_seconds=90) as raw,
    ):
        raw.send_head("PUT", f"/{BUCKET}/silent", gateway.put_headers("silent", b"x" * 1024))
        raw.send(b"x" * 10)
        yield raw
        assert wire.store.keys(BACKEND_BUCKET) == []


@pytest.fixture(params=["http", "https"])
def front(request: pytest.FixtureRequest, backend: BackendUnderTest) -> Gateway:
    """Both fronts of a backend: SDKs frame uploads differently over TLS."""
    del backend  # named here because it is what the two fixtures below are parametrised by
    name = "gateway" if request.param == "http" else "tls_gateway"
    running: Gateway = request.getfixturevalue(name)
    return running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of files of many sizes."""
    return write_files(tmp_path / "source")


@pytest.fixture
def wire() -> Iterator[WireBackend]:
    """A fresh recording backend with its STS on the same port."""
    with WireBackend() as running:
        yield running


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Start a gateway of the test's own; all of them stop, and are asserted on, at its end."""
    with ExitStack() as stack:
        started: list[Gateway] = []

        def start(backend: BackendUnderTest, options: GatewayOptions | None = None) -> Gateway:
            directory = tmp_path / f"gateway-{len(started)}"
            started.append(stack.enter_context(running_gateway(directory, backend, options)))
            return started[-1]

        yield start


@pytest_asyncio.fixture
async def operator(tmp_path: Path) -> AsyncIterator[OperatorEnd]:
    """The operator's end of the config channel, for a data plane that runs as a pod."""
    directory = tmp_path / "operator"
    directory.mkdir()
    end = OperatorEnd(directory)
    async with end.listening():
        yield end


@pytest.fixture
def stage(
    operator: OperatorEnd, tmp_path: Path, wire: WireBackend, issuer: OidcIssuer
) -> WorkerStage:
    return WorkerStage(operator, tmp_path, recording_backend(wire), issuer)


@pytest.fixture(scope="module")
def shared_wire() -> Iterator[WireBackend]:
    with WireBackend() as running:
        yield running


@pytest.fixture(scope="module", params=["Generic", "MinIO"])
def shared_gateway(
    request: pytest.FixtureRequest,
    shared_wire: WireBackend,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    backend = recording_backend(shared_wire, profile=request.param)
    with running_gateway(tmp_path_factory.mktemp("wire"), backend) as running:
        yield running


@pytest.fixture
def recorded(shared_wire: WireBackend, shared_gateway: Gateway) -> WireBackend:
    """The backend with nothing recorded, scripted or stored; its STS was asked already."""
    shared_wire.clear_scripts()
    with closing(shared_gateway.client()) as client:
        client.list_objects_v2(Bucket=BUCKET)
    shared_wire.store.buckets.clear()
    shared_wire.forget()
    return shared_wire
