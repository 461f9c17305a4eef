"""The config server's certificates: when they are renewed, and that old trust is not cut off."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.certificate_store import CertificateStore
from bucketroute_operator.shell.certificates import (
    AUTHORITY_LIFETIME,
    AUTHORITY_RENEWED_BEFORE,
    NEW_AUTHORITY_SIGNS_AFTER,
    SERVING_LIFETIME,
    SERVING_RENEWED_BEFORE,
    Certificates,
    KeyPair,
    renewed,
)
from bucketroute_operator.shell.kube_api import CONFIG_MAPS, SECRETS
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE
from bucketroute_testing.tls import make_certificate

NAMES = ("bucketroute-operator.bucketroute-system.svc", "127.0.0.1")
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = "bucketroute-config-tls"


def _signed_by(pair: KeyPair, authority: KeyPair) -> bool:
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    return certificate.issuer == issuer.subject


@pytest.fixture(scope="module")
def first() -> Certificates:
    return renewed(None, NAMES, START)


def test_nothing_is_renewed_before_it_is_due(first: Certificates) -> None:
    assert renewed(first, NAMES, START + SERVING_LIFETIME - SERVING_RENEWED_BEFORE - DAY) == first


def test_the_serving_certificate_is_renewed_in_time_under_the_same_authority(
    first: Certificates,
) -> None:
    later = renewed(first, NAMES, START + SERVING_LIFETIME - SERVING_RENEWED_BEFORE + DAY)
    assert later.serving != first.serving
    assert later.authority == first.authority
    assert _signed_by(later.serving, first.authority)


def test_another_name_makes_another_certificate(first: Certificates) -> None:
    other = renewed(first, (*NAMES, "localhost"), START)
    assert other.serving != first.serving
    assert renewed(other, (*NAMES, "localhost"), START) == other


def test_a_new_authority_is_trusted_a_year_before_it_signs(first: Certificates) -> None:
    announced_at = START + AUTHORITY_LIFETIME - AUTHORITY_RENEWED_BEFORE + DAY
    announced = renewed(first, NAMES, announced_at)
    assert announced.next_authority is not None
    assert _signed_by(announced.serving, first.authority)
    assert announced.bundle.startswith(first.authority.certificate)
    assert announced.next_authority.certificate in announced.bundle
    signing_at = announced_at + NEW_AUTHORITY_SIGNS_AFTER + DAY
    signing = renewed(announced, NAMES, signing_at)
    assert signing.authority == announced.next_authority
    assert _signed_by(signing.serving, announced.next_authority)


def test_keys_are_in_no_repr(first: Certificates) -> None:
    assert "PRIVATE" not in repr(first)


def _settings(**changes: object) -> OperatorSettings:
    settings = OperatorSettings(namespace=OPERATOR_NAMESPACE, identity="one")
    return replace(settings, **changes)  # type: ignore[arg-type]  # any of its fields


async def test_two_replicas_serve_one_certificate() -> None:
    kube = FakeKube()
    one, two = CertificateStore(kube, _settings()), CertificateStore(kube, _settings())
    await one.refresh()
    await two.refresh()
    assert kube.calls["create", "Secret"] == 1
    assert one.expires_at() == two.expires_at() > 0
    bundle = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-ca")["data"]["ca.crt"]
    assert bundle.count("BEGIN CERTIFICATE") == 1


async def test_a_refresh_without_a_change_writes_nothing() -> None:
    kube = FakeKube()
    store = CertificateStore(kube, _settings())
    await store.refresh()
    before = dict(kube.calls)
    await store.refresh()
    writes = {call: count for call, count in kube.calls.items() if call[0] != "get"}
    assert writes == {call: count for call, count in before.items() if call[0] != "get"}


async def test_the_empty_secret_of_the_chart_is_filled_without_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kube = FakeKube()
    kube.put(SECRETS, {"metadata": {"namespace": OPERATOR_NAMESPACE, "name": SECRET}})
    await CertificateStore(kube, _settings()).refresh()
    assert set(kube.peek(SECRETS, OPERATOR_NAMESPACE, SECRET)["data"]) >= {"tls.crt", "ca.key"}
    assert not caplog.records


async def test_a_damaged_secret_is_made_anew() -> None:
    kube = FakeKube()
    data = {"tls.crt": base64.b64encode(b"nothing").decode()}
    metadata = {"namespace": OPERATOR_NAMESPACE, "name": SECRET}
    kube.put(SECRETS, {"metadata": metadata, "data": data})
    store = CertificateStore(kube, _settings())
    await store.refresh()
    assert store.expires_at() > 0
    assert set(kube.peek(SECRETS, OPERATOR_NAMESPACE, SECRET)["data"]) >= {"tls.crt", "ca.key"}


async def test_files_of_cert_manager_are_followed(tmp_path: Path) -> None:
    kube = FakeKube()
    files = make_certificate(tmp_path / "first")
    settings = _settings(tls_certificate=files.certificate, tls_key=files.key, tls_ca=files.ca)
    store = CertificateStore(kube, settings)
    await store.refresh()
    assert kube.names(SECRETS) == []
    renewed_files = make_certificate(tmp_path / "second")
    for name in ("certificate", "key", "ca"):
        getattr(files, name).write_bytes(getattr(renewed_files, name).read_bytes())
    await store.refresh()
    bundle = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-ca")["data"]["ca.crt"]
    assert bundle == renewed_files.ca.read_text()
