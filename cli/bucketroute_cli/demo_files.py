"""What the demo writes: the manifests that a user of BucketRoute writes, and a token.

The token has the shape and the layout in which kubelet projects a service account's; nobody
verifies its signature here, so it has none that means anything.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUCKET: Final = "demo"
BACKEND_BUCKET: Final = "acme-objects-eu1"
BACKEND_PREFIX: Final = "team-a/demo/"
NAMESPACE: Final = "team-a"
ACCESS_KEY_NAME: Final = "laptop"
_SUBJECT: Final = f"system:serviceaccount:{NAMESPACE}:bucketroute-demo"
_TOKEN_SECONDS: Final = 30 * 24 * 3600

_MANIFESTS: Final = """\
# The virtual bucket: the name that clients use, and what is behind it.
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {{name: {bucket}, namespace: {namespace}}}
spec:
  backend:
    ref: {{name: store}}
    bucket: {backend_bucket}
    prefix: {backend_prefix}
  access:
  - subjects: [{{kind: AccessKey, name: {access_key_name}}}]
    permissions: [Read, List, Write, Delete]
---
# The S3 endpoint, and the role that is assumed there with the token file.
apiVersion: bucketroute.io/v1alpha1
kind: BucketBackend
metadata: {{name: store, namespace: {namespace}}}
spec:
  endpoint: {endpoint}
  auth:
    type: WebIdentity
    webIdentity: {{roleARN: "arn:aws:iam::123456789012:role/bucketroute/{namespace}/demo"}}
---
# The key pair of a caller outside the cluster. It opens this route and nothing else.
apiVersion: v1
kind: Secret
metadata: {{name: {access_key_name}, namespace: {namespace}}}
type: bucketroute.io/access-key
stringData:
  accessKeyID: {access_key_id}
  secretAccessKey: {secret_access_key}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFiles:
    """Where they are, and the key pair that one of them holds."""

    manifests: Path
    token: Path
    access_key_id: str
    secret_access_key: str


def write_demo_files(directory: Path, endpoint: str) -> DemoFiles:
    """Writes the manifests of a route to `endpoint` and the token file."""
    access_key_id = f"DEMO{secrets.token_hex(8).upper()}"
    secret_access_key = secrets.token_hex(20)
    manifests = directory / "demo.yaml"
    manifests.write_text(
        _MANIFESTS.format(
            bucket=BUCKET,
            namespace=NAMESPACE,
            backend_bucket=BACKEND_BUCKET,
            backend_prefix=BACKEND_PREFIX,
            access_key_name=ACCESS_KEY_NAME,
            endpoint=endpoint,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
        )
    )
    return DemoFiles(
        manifests=manifests,
        token=_project_token(directory / "token"),
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
    )


def _project_token(directory: Path) -> Path:
    """`token` leads through the link `..data` to a folder that a rotation would replace."""
    generation = directory / "..first"
    generation.mkdir(parents=True)
    descriptor = os.open(generation / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_service_account_token())
    (directory / "..data").symlink_to(generation.name)
    token = directory / "token"
    token.symlink_to("..data/token")
    return token


def _service_account_token() -> str:
    """A JWT (RFC 7519) with the claims of a projected service-account token."""
    now = int(time.time())
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": _SUBJECT,
        "aud": ["sts.amazonaws.com"],
        "iat": now,
        "nbf": now,
        "exp": now + _TOKEN_SECONDS,
    }
    parts = [json.dumps(part).encode() for part in (header, claims)]
    return ".".join(_base64url(part) for part in (*parts, secrets.token_bytes(32)))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
