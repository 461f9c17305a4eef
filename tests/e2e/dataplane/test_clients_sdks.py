"""AWS's SDKs for Go, JavaScript and Java as a pod has them: nothing is configured but what the
injector sets, and over https the trust in the gateway's authority, each SDK's own way.

The programs are those of tests/e2e/clients. They run on MinIO, which checks signatures and frames.
"""

import hashlib
import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BACKEND_BUCKET, BACKEND_PREFIX, BUCKET, minio_backend
from bucketroute_testing.login import (
    AUDIENCE,
    CLOSED_BUCKET,
    REPORTER,
    LoginGateway,
    running_login_gateway,
)
from bucketroute_testing.manifests import NAMESPACE
from bucketroute_testing.minio import Minio
from bucketroute_testing.oidc import OidcIssuer, ProjectedToken
from bucketroute_testing.processes import wait_until
from bucketroute_testing.tls import CertificateFiles
from bucketroute_testing.tools import built_program, run_client
from bucketroute_testing.wire_types import MiB

pytestmark = pytest.mark.minio

_LARGE_BYTES = 12 * MiB
_PART_BYTES = 5 * MiB
_PASSWORD = "changeit"  # of the trust store, which holds nothing secret; Java wants one


def _bundle(ca: Path, directory: Path) -> Mapping[str, str]:
    del directory
    return {"AWS_CA_BUNDLE": str(ca)}


def _node_certificates(ca: Path, directory: Path) -> Mapping[str, str]:
    del directory
    return {"NODE_EXTRA_CA_CERTS": str(ca)}


def _trust_store(ca: Path, directory: Path) -> Mapping[str, str]:
    store = directory / "truststore.p12"
    keytool = ["keytool", "-importcert", "-noprompt", "-alias", "gateway", "-file", str(ca)]
    into = ["-keystore", str(store), "-storepass", _PASSWORD]
    subprocess.run([*keytool, *into], check=True, capture_output=True, timeout=60)
    options = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={_PASSWORD}"
    return {"JAVA_TOOL_OPTIONS": options}


TRUST: Mapping[str, Callable[[Path, Path], Mapping[str, str]]] = {
    "gosdk": _bundle,
    "jssdk": _node_certificates,
    "javasdk": _trust_store,
}


@pytest.fixture(scope="module", params=["http", "https"])
def login_front(
    request: pytest.FixtureRequest,
    minio: Minio,
    issuer: OidcIssuer,
    certificate: CertificateFiles,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LoginGateway]:
    tls = certificate if request.param == "https" else None
    directory = tmp_path_factory.mktemp("sdks")
    with running_login_gateway(directory, minio_backend(minio), issuer, tls) as gateway:
        yield gateway


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in TRUST])
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen(sdk: str, login_front: LoginGateway, issuer: OidcIssuer, tmp_path: Path) -> Any:
    """What the SDK's program printed, and which of its requests failed; `source` and `copy` of
    tmp_path are its files.
    """
    token = ProjectedToken(directory=tmp_path / "projected")
    token.rotate(issuer.mint(REPORTER, AUDIENCE))
    (tmp_path / "source").write_bytes(payload(_LARGE_BYTES))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **login_front.pod_environment(token),
        **(TRUST[sdk](login_front.ca, tmp_path) if login_front.ca else {}),
    }
    arguments = (BUCKET, CLOSED_BUCKET, str(tmp_path / "source"), str(tmp_path / "copy"))
    logged = len(login_front.process.log_text())
    printed = run_client(
        built_program(sdk), *arguments, environment=environment, directory=tmp_path
    )

    def failures() -> list[int]:
        """Of all its requests: a failure that a retry puts right is one, too."""
        lines = login_front.process.log_text()[logged:].splitlines()
        return [status for line in lines if (status := json.loads(line)["status"]) >= 400]

    # The refusal is the last request but those to STS; the log is written with a delay.
    wait_until(lambda: 403 in failures(), deadline_seconds=10, what="the refusal in the log")
    return {**json.loads(printed), "failures": failures()}


def test_an_sdk_logs_in_and_moves_objects(
    sdk: str, seen: Any, login_front: LoginGateway, tmp_path: Path
) -> None:
    assert seen["arn"] == f"arn:aws:sts::000000000000:assumed-role/{NAMESPACE}.reporter/pod-1"
    assert seen["greeting"] == "hello"
    assert seen["size"] == _LARGE_BYTES
    assert seen["keys"] == [f"{sdk}/{name}" for name in ("large +ü", "small", "whole")]
    assert digest((tmp_path / "copy").read_bytes()) == digest(payload(_LARGE_BYTES))
    assert seen["missing"] == "NoSuchKey NoSuchKey 404"
    kind, code, status = seen["denied"].split()
    assert kind in ("APIError", "S3ServiceException", "S3Exception")
    assert (code, status) == ("AccessDenied", "403")
    assert seen["failures"] == [404, 403]
    trust = ssl.create_default_context(cafile=login_front.ca) if login_front.ca else None
    with urllib.request.urlopen(seen["presigned"], timeout=10, context=trust) as answer:
        assert digest(answer.read()) == digest(payload(_LARGE_BYTES))
    with closing(login_front.backend.direct_client()) as direct:
        key = f"{BACKEND_PREFIX}{sdk}/large +ü"
        stored = direct.head_object(Bucket=BACKEND_BUCKET, Key=key, PartNumber=1)
        whole = direct.get_object(Bucket=BACKEND_BUCKET, Key=f"{BACKEND_PREFIX}{sdk}/whole")
        assert digest(whole["Body"].read()) == digest(payload(_LARGE_BYTES))
    assert (stored["PartsCount"], stored["ContentLength"]) == (3, _PART_BYTES)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
