"""A real MinIO with trust in a test's OIDC issuer: what proves signing, STS and chunk framing.

The role's policy admits one subject only, and root's keys stay in here, so nothing but a true
exchange of a token of that subject can write through the product.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import ssl
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError, EndpointConnectionError

from bucketroute_testing.clients import s3_client, sts_client
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.processes import (
    START_DEADLINE_SECONDS,
    ChildProcess,
    accepts_connections,
    free_port,
    wait_until,
)
from bucketroute_testing.signing import AccessKey, Signer
from bucketroute_testing.tls import CertificateFiles
from bucketroute_testing.tools import built_program

AUDIENCE = "bucketroute-minio"
GATEWAY_SUBJECT = "system:serviceaccount:bucketroute-system:bucketroute-gateway"
_POLICY_NAME = "bucketroute-gateway"


def role_arn(client_id: str = AUDIENCE) -> str:
    """The role ARN that MinIO derives from the OIDC client id: base64url(sha1(id)) unpadded."""
    digest = hashlib.sha1(client_id.encode(), usedforsecurity=False).digest()
    return f"arn:minio:iam:::role/{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def gateway_policy(subject: str = GATEWAY_SUBJECT) -> dict[str, object]:
    """Everything on every bucket, for tokens of this subject alone."""
    statement = {
        "Effect": "Allow",
        "Action": ["s3:*"],
        "Resource": ["arn:aws:s3:::*"],
        "Condition": {"StringEquals": {"jwt:sub": subject}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@dataclass(frozen=True, slots=True, kw_only=True)
class MinioSettings:
    """Where MinIO keeps its files, whom it trusts, what their role may do, and its certificate when
    it speaks TLS.
    """

    directory: Path
    issuer: OidcIssuer
    tls: CertificateFiles | None = None
    policy: Mapping[str, object] = field(default_factory=gateway_policy)


class Minio(ChildProcess):
    """A running MinIO that has taken a web identity already when the constructor returns."""

    def __init__(self, settings: MinioSettings) -> None:
        self._settings = settings
        self.port = free_port()
        self.root = AccessKey(
            access_key_id=secrets.token_hex(8), secret_access_key=secrets.token_hex(20)
        )
        self.role_arn = role_arn()
        settings.directory.mkdir(parents=True, exist_ok=True)
        super().__init__(
            self._arguments(),
            log=settings.directory / "minio.log",
            environment=self._environment(),
        )
        self.wait_started(lambda: accepts_connections(self.port), what="MinIO listens")
        try:
            self._add_policy()
            # Ready to serve is not ready to exchange: until it has read the issuer's documents
            # every exchange is refused with 400 InvalidParameterValue.
            wait_until(self._exchanges, deadline_seconds=START_DEADLINE_SECONDS, what="MinIO's STS")
        except BaseException:
            self.kill()
            raise

    @property
    def endpoint(self) -> str:
        return f"{'http' if self._settings.tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path | None:
        return None if self._settings.tls is None else self._settings.tls.ca

    def mint(self, subject: str = GATEWAY_SUBJECT, audience: str = AUDIENCE) -> str:
        """A token of the trusted issuer."""
        return self._settings.issuer.mint(subject, audience)

    def create_bucket(self, name: str, *, is_versioned: bool = False) -> None:
        """With root's keys, which the product never sees."""
        with closing(s3_client(self.endpoint, self.root, ca=self.ca)) as client:
            client.create_bucket(Bucket=name)
            if is_versioned:
                enabled = {"Status": "Enabled"}
                client.put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)

    def exchange(self, token: str, *, session_name: str = "test-session") -> AccessKey:
        """AssumeRoleWithWebIdentity directly; botocore's ClientError when MinIO refuses."""
        with closing(sts_client(self.endpoint, ca=self.ca)) as client:
            answer = client.assume_role_with_web_identity(
                RoleArn=self.role_arn, RoleSessionName=session_name, WebIdentityToken=token
            )
        credentials = answer["Credentials"]
        return AccessKey(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
        )

    def _arguments(self) -> list[str]:
        directory = self._settings.directory
        certificates = directory / "certs"
        (certificates / "CAs").mkdir(parents=True, exist_ok=True)
        if self._settings.tls is not None:
            shutil.copy(self._settings.tls.certificate, certificates / "public.crt")
            shutil.copy(self._settings.tls.key, certificates / "private.key")
            shutil.copy(self._settings.tls.ca, certificates / "CAs" / "ca.crt")
        address = ["--address", f"127.0.0.1:{self.port}", "--console-address", "127.0.0.1:0"]
        folders = ["--certs-dir", str(certificates), str(directory / "drive")]
        return [str(built_program("minio")), "server", "--quiet", *address, *folders]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._settings.directory),
            "MINIO_ROOT_USER": self.root.access_key_id,
            "MINIO_ROOT_PASSWORD": self.root.secret_access_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_IDENTITY_OPENID_CONFIG_URL": self._settings.issuer.discovery_url,
            "MINIO_IDENTITY_OPENID_CLIENT_ID": AUDIENCE,
            # With an empty secret MinIO accepts HS256 tokens that anyone can make.
            "MINIO_IDENTITY_OPENID_CLIENT_SECRET": secrets.token_hex(20),
            "MINIO_IDENTITY_OPENID_ROLE_POLICY": _POLICY_NAME,
        }

    def _add_policy(self) -> None:
        url = f"{self.endpoint}/minio/admin/v3/add-canned-policy?name={_POLICY_NAME}"
        body = json.dumps(self._settings.policy).encode()
        payload_hash = hashlib.sha256(body).hexdigest()
        signed = Signer(key=self.root).sign("PUT", url, payload_hash=payload_hash)
        request = urllib.request.Request(url, data=body, headers=signed.header_dict(), method="PUT")
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None

        def is_added() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until(is_added, deadline_seconds=START_DEADLINE_SECONDS, what="MinIO takes the policy")

    def _exchanges(self) -> bool:
        try:
            self.exchange(self.mint())
        except (ClientError, EndpointConnectionError):
            return False
        return True
