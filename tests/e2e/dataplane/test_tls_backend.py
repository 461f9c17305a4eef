"""A backend and its STS behind TLS, with a certificate of a private authority."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from bucketroute_testing.gateway import (
    BACKEND_BUCKET,
    BUCKET,
    minio_backend,
    running_gateway,
)
from bucketroute_testing.minio import Minio, MinioSettings
from bucketroute_testing.oidc import OidcIssuer
from bucketroute_testing.tls import CertificateFiles

pytestmark = pytest.mark.minio


@pytest.fixture(scope="module")
def tls_minio(
    issuer: OidcIssuer, certificate: CertificateFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Minio]:
    directory = tmp_path_factory.mktemp("tls-minio")
    running = Minio(MinioSettings(directory=directory, issuer=issuer, tls=certificate))
    try:
        running.create_bucket(BACKEND_BUCKET)
        yield running
    finally:
        running.stop()


def test_objects_cross_to_a_backend_that_its_ca_bundle_vouches_for(
    tls_minio: Minio, tmp_path: Path
) -> None:
    body = bytes(range(256)) * 4096 * 6
    backend = minio_backend(tls_minio)
    with running_gateway(tmp_path, backend) as gateway, closing(gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key="over-tls", Body=body)
        assert client.get_object(Bucket=BUCKET, Key="over-tls")["Body"].read() == body
        listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [entry["Key"] for entry in listed] == ["over-tls"]


def test_a_backend_that_nobody_vouches_for_gets_neither_token_nor_request(
    tls_minio: Minio, tmp_path: Path
) -> None:
    unknown = replace(minio_backend(tls_minio), ca=None)
    with running_gateway(tmp_path, unknown) as gateway, closing(gateway.client()) as client:
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket=BUCKET, Key="unvouched", Body=b"x")
        assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
    with closing(minio_backend(tls_minio).direct_client()) as direct:
        stored = direct.list_objects_v2(Bucket=BACKEND_BUCKET, Prefix="").get("Contents", [])
    assert not any(entry["Key"].endswith("unvouched") for entry in stored)
