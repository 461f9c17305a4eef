"""A `bucketroute serve` that a cluster's service accounts log in to."""

import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bucketroute_testing.clients import REGION, sts_client
from bucketroute_testing.gateway import BACKEND_BUCKET, BACKEND_PREFIX, BUCKET, BackendUnderTest
from bucketroute_testing.manifests import (
    ALL_PERMISSIONS,
    NAMESPACE,
    RouteBackend,
    WebIdentity,
    bucket_backend,
    bucket_route,
    write_manifests,
)
from bucketroute_testing.oidc import OidcIssuer, ProjectedToken
from bucketroute_testing.processes import ServeOptions, ServeProcess, wait_until
from bucketroute_testing.signing import AccessKey
from bucketroute_testing.tls import CertificateFiles

CLOSED_BUCKET = "closed"
AUDIENCE = "bucketroute"
REPORTER = f"system:serviceaccount:{NAMESPACE}:reporter"
ROLE_ARN = f"arn:aws:iam::000000000000:role/{NAMESPACE}.reporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginServeOptions(ServeOptions):
    """`serve` with the keys of a cluster."""

    issuer: str
    jwks: Path

    def arguments(self, once_ready: Path) -> list[str]:
        cluster = ["--cluster-issuer", self.issuer, "--cluster-jwks", str(self.jwks)]
        return [*ServeOptions.arguments(self, once_ready), *cluster]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginGateway:
    """A gateway whose route `data` admits the service account `reporter` of its own namespace.

    Nobody is admitted to its other route, `closed`.
    """

    process: ServeProcess
    manifests: Path
    backend: BackendUnderTest
    ca: Path | None

    def grant(self, *service_accounts: str) -> None:
        """Rewrite the route so that these accounts may do everything."""
        backend = self.backend
        identity = WebIdentity(role_arn=backend.role_arn)
        placed = RouteBackend(ref="store", bucket=BACKEND_BUCKET, prefix=BACKEND_PREFIX)
        rule = {"serviceAccounts": list(service_accounts), "permissions": list(ALL_PERMISSIONS)}
        access = [rule] if service_accounts else []
        write_manifests(
            self.manifests,
            bucket_backend("store", backend.endpoint, identity, profile=backend.profile),
            bucket_route(BUCKET, placed, [], extra={"access": access}),
            bucket_route(CLOSED_BUCKET, placed, []),
        )

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    def pod_environment(self, token: ProjectedToken) -> dict[str, str]:
        """The variables that the injector sets, for the service account of that token."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ENDPOINT_URL_STS": self.endpoint,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token.path),
            "AWS_ROLE_ARN": ROLE_ARN,
            "AWS_ROLE_SESSION_NAME": "pod-1",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def log_in(self, token: str, **extra: Any) -> AccessKey:
        """AssumeRoleWithWebIdentity as an SDK sends it. Raises botocore's ClientError."""
        with closing(sts_client(self.endpoint, ca=self.ca)) as client:
            answer = client.assume_role_with_web_identity(
                RoleArn=ROLE_ARN, RoleSessionName="pod-1", WebIdentityToken=token, **extra
            )
        found = answer["Credentials"]
        return AccessKey(
            access_key_id=found["AccessKeyId"],
            secret_access_key=found["SecretAccessKey"],
            session_token=found["SessionToken"],
        )


@contextmanager
def running_login_gateway(
    directory: Path,
    backend: BackendUnderTest,
    issuer: OidcIssuer,
    tls: CertificateFiles | None = None,
) -> Iterator[LoginGateway]:
    """A gateway that trusts the issuer as its cluster's, and whose route admits `reporter`."""
    jwks = directory / "jwks.json"
    with urllib.request.urlopen(f"{issuer.url}/openid/v1/jwks", timeout=5) as answer:
        jwks.write_bytes(answer.read())
    token = ProjectedToken(directory=directory / "token")
    token.rotate(backend.token)
    folder = directory / "manifests"
    folder.mkdir()
    (folder / "routes.yaml").write_text("")
    options = LoginServeOptions(
        manifests=(folder,),
        token_file=token.path,
        tls_certificate=tls.certificate if tls else None,
        tls_key=tls.key if tls else None,
        issuer=issuer.url,
        jwks=jwks,
    )
    with ServeProcess(options, directory) as process:
        gateway = LoginGateway(
            process=process,
            manifests=folder / "routes.yaml",
            backend=backend,
            ca=tls.ca if tls else None,
        )
        gateway.grant("reporter")
        wait_until(
            lambda: "2 route(s)" in process.log_text(), deadline_seconds=10, what="the route"
        )
        yield gateway
