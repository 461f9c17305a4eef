"""A gateway under test: one `bucketroute serve` in front of one backend, and the caller that may
use it.

The same shape for all three backends (MinIO, moto, recording), so that a test says what it needs
and not how it is set up. The route maps the virtual bucket to another name under a prefix, because
equal names hide mapping errors.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bucketroute_testing import embedded
from bucketroute_testing.clients import (
    AddressingStyle,
    ChecksumMode,
    RawClient,
    object_url,
    s3_client,
)
from bucketroute_testing.embedded import EmbeddedBackend
from bucketroute_testing.leaks import LeakCheck
from bucketroute_testing.manifests import (
    AccessRule,
    Manifest,
    RouteBackend,
    WebIdentity,
    access_key_secret,
    bucket_backend,
    bucket_route,
    ca_config_map,
    write_manifests,
)
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import ProjectedToken, unverified_token
from bucketroute_testing.processes import ServeOptions, ServeProcess
from bucketroute_testing.signing import AccessKey, Signer
from bucketroute_testing.tls import CertificateFiles
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import Headers

BUCKET = "data"
BACKEND_BUCKET = "acme-backend-data"
BACKEND_PREFIX = "tenants/one/"
BACKEND_NAME = "store"
DOMAIN = "s3.test"
_WRITER = "writer"
_CA_NAME = "backend-ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendUnderTest:
    """Where a gateway sends requests, and the keys with which a test looks behind it."""

    name: str
    endpoint: str
    role_arn: str
    token: str
    direct_key: AccessKey
    profile: str
    ca: Path | None = None

    def direct_client(self) -> Any:
        """A boto3 client that goes round the gateway."""
        return s3_client(self.endpoint, self.direct_key, ca=self.ca)


def minio_backend(minio: Minio) -> BackendUnderTest:
    return BackendUnderTest(
        name="minio",
        endpoint=minio.endpoint,
        role_arn=minio.role_arn,
        token=minio.mint(),
        direct_key=minio.root,
        profile="MinIO",
        ca=minio.ca,
    )


def moto_backend(moto: EmbeddedBackend) -> BackendUnderTest:
    return BackendUnderTest(
        name="moto",
        endpoint=moto.endpoint,
        role_arn=embedded.ROLE_ARN,
        token=unverified_token(),
        direct_key=AccessKey(access_key_id="moto", secret_access_key="moto"),
        profile="Generic",
    )


def recording_backend(wire: WireBackend, *, profile: str = "Generic") -> BackendUnderTest:
    return BackendUnderTest(
        name="wire",
        endpoint=wire.endpoint,
        role_arn=embedded.ROLE_ARN,
        token=unverified_token(),
        direct_key=AccessKey(access_key_id="direct", secret_access_key="direct"),
        profile=profile,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """What a test changes about its gateway.

    `access` are rules beside the writer's; `manifests` are objects beside the route's own.
    """

    tls: CertificateFiles | None = None
    access: Sequence[AccessRule] = ()
    manifests: Sequence[Manifest] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway. `key` is the writer's, who may do everything in the bucket `data`."""

    process: ServeProcess
    backend: BackendUnderTest
    manifest_file: Path
    manifests: tuple[Manifest, ...]
    token: ProjectedToken
    key: AccessKey
    ca: Path | None

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    @property
    def signer(self) -> Signer:
        return Signer(key=self.key)

    def client(
        self,
        key: AccessKey | None = None,
        *,
        checksums: ChecksumMode = "when_supported",
        addressing: AddressingStyle = "path",
        max_attempts: int = 1,
    ) -> Any:
        """A boto3 client of the front, as the writer unless another key is given."""
        return s3_client(
            self.endpoint,
            key or self.key,
            ca=self.ca,
            checksums=checksums,
            addressing=addressing,
            max_attempts=max_attempts,
            leaks=self.leaks,
        )

    def anonymous_client(self) -> Any:
        return s3_client(self.endpoint, None, ca=self.ca, leaks=self.leaks)

    @property
    def leaks(self) -> LeakCheck:
        """What no response of this gateway may show."""
        address = self.backend.endpoint.partition("//")[2]
        return LeakCheck(secrets=(BACKEND_BUCKET, BACKEND_PREFIX, address))

    def put_headers(self, key: str, body: bytes) -> Headers:
        """Signed headers of a PutObject with the SHA-256 and the length of that body."""
        signed = self.signer.sign(
            "PUT",
            object_url(self.endpoint, BUCKET, key),
            payload_hash=hashlib.sha256(body).hexdigest(),
        )
        return (*signed.headers, ("Content-Length", str(len(body))))

    def raw(self, *, timeout_seconds: float = 30.0) -> RawClient:
        """One connection on which a test sends exact bytes."""
        return RawClient(
            self.endpoint, ca=self.ca, timeout_seconds=timeout_seconds, leaks=self.leaks
        )


class StartGateway(Protocol):
    """Starts a gateway that lives as long as the test."""

    def __call__(
        self, backend: BackendUnderTest, options: GatewayOptions | None = None
    ) -> Gateway: ...


@contextmanager
def running_gateway(
    directory: Path, backend: BackendUnderTest, options: GatewayOptions | None = None
) -> Iterator[Gateway]:
    """Start `bucketroute serve` on fresh manifests; its exit status is asserted at the end."""
    options = options or GatewayOptions()
    directory.mkdir(parents=True, exist_ok=True)
    key = random_key()
    token = ProjectedToken(directory=directory / "token")
    token.rotate(backend.token)
    folder = directory / "manifests"
    folder.mkdir()
    manifests = (*_manifests(backend, key, options.access), *options.manifests)
    path = write_manifests(folder / "routes.yaml", *manifests)
    serve = ServeOptions(
        manifests=(folder,),
        token_file=token.path,
        tls_certificate=options.tls.certificate if options.tls else None,
        tls_key=options.tls.key if options.tls else None,
        domain=DOMAIN,
    )
    with ServeProcess(serve, directory) as process:
        yield Gateway(
            process=process,
            backend=backend,
            manifest_file=path,
            manifests=manifests,
            token=token,
            key=key,
            ca=options.tls.ca if options.tls else None,
        )


def random_key() -> AccessKey:
    """A caller's key pair of AWS's lengths."""
    return AccessKey(
        access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
        secret_access_key=secrets.token_hex(20),
    )


def _manifests(
    backend: BackendUnderTest, key: AccessKey, access: Sequence[AccessRule]
) -> tuple[Manifest, ...]:
    identity = WebIdentity(role_arn=backend.role_arn)
    ca_name = _CA_NAME if backend.ca else None
    placed = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_BUCKET, prefix=BACKEND_PREFIX)
    return (
        access_key_secret(_WRITER, key),
        bucket_backend(
            BACKEND_NAME,
            backend.endpoint,
            identity,
            profile=backend.profile,
            ca_config_map=ca_name,
        ),
        *([ca_config_map(_CA_NAME, backend.ca)] if backend.ca else []),
        bucket_route(BUCKET, placed, [AccessRule(access_keys=[_WRITER]), *access]),
    )
