"""The injector's certificate: the operator's authority signs it, and the API server trusts that."""

import base64
from dataclasses import replace

import pytest
from cryptography import x509

from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.certificate_store import CertificateStore
from bucketroute_operator.shell.kube_api import (
    CONFIG_MAPS,
    SECRETS,
    WEBHOOK_CONFIGURATIONS,
    ConflictError,
    ForbiddenError,
    Json,
    KubeError,
    Resource,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE

NAME = "bucketroute-injector"
SETTINGS = OperatorSettings(namespace=OPERATOR_NAMESPACE, identity="one", webhook_certificate=True)


@pytest.fixture
def kube() -> FakeKube:
    """What the chart has made: an empty Secret, and a webhook that nobody is trusted for."""
    made = FakeKube()
    made.put(SECRETS, {"metadata": {"namespace": OPERATOR_NAMESPACE, "name": f"{NAME}-tls"}})
    service = {"namespace": OPERATOR_NAMESPACE, "name": NAME, "path": "/inject", "port": 443}
    webhook = {
        "name": "inject.bucketroute.io",
        "failurePolicy": "Ignore",
        "clientConfig": {"service": service},
    }
    made.put(WEBHOOK_CONFIGURATIONS, {"metadata": {"name": NAME}, "webhooks": [webhook]})
    return made


def secret_of(kube: FakeKube) -> dict[str, str]:
    data = kube.peek(SECRETS, OPERATOR_NAMESPACE, f"{NAME}-tls").get("data") or {}
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def webhook_of(kube: FakeKube) -> Json:
    (found,) = kube.peek(WEBHOOK_CONFIGURATIONS, "", NAME)["webhooks"]
    assert isinstance(found, dict)
    return found


def bundle_of(kube: FakeKube) -> str:
    return str(kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-ca")["data"]["ca.crt"])


async def test_the_injector_gets_a_certificate_and_not_the_authoritys_key(kube: FakeKube) -> None:
    await CertificateStore(kube, SETTINGS).refresh()
    secret = secret_of(kube)
    assert set(secret) == {"tls.crt", "tls.key"}
    certificate = x509.load_pem_x509_certificate(secret["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{NAME}.{OPERATOR_NAMESPACE}.svc"]
    authority = x509.load_pem_x509_certificate(bundle_of(kube).encode())
    certificate.verify_directly_issued_by(authority)


async def test_the_api_server_is_told_whom_to_trust_and_nothing_else_changes(
    kube: FakeKube,
) -> None:
    before = webhook_of(kube)
    await CertificateStore(kube, SETTINGS).refresh()
    after = webhook_of(kube)
    trusted = after["clientConfig"].pop("caBundle")
    assert base64.b64decode(trusted).decode() == bundle_of(kube)
    assert after == before


async def test_what_is_current_is_not_written_again_by_any_replica(kube: FakeKube) -> None:
    await CertificateStore(kube, SETTINGS).refresh()
    secret = secret_of(kube)
    before = {call: number for call, number in kube.calls.items() if call[0] != "get"}
    await CertificateStore(kube, replace(SETTINGS, identity="two")).refresh()
    assert {call: number for call, number in kube.calls.items() if call[0] != "get"} == before
    assert secret_of(kube) == secret


async def test_another_authority_signs_anew(kube: FakeKube) -> None:
    store = CertificateStore(kube, SETTINGS)
    await store.refresh()
    first = secret_of(kube)
    kube.remove(SECRETS, OPERATOR_NAMESPACE, "bucketroute-config-tls")
    await store.refresh()
    assert secret_of(kube) != first
    assert base64.b64decode(webhook_of(kube)["clientConfig"]["caBundle"]).decode() == bundle_of(
        kube
    )


async def test_a_damaged_certificate_is_made_anew(kube: FakeKube) -> None:
    metadata = {"namespace": OPERATOR_NAMESPACE, "name": f"{NAME}-tls"}
    kube.put(SECRETS, {"metadata": metadata, "data": {"tls.crt": "AAAA", "tls.key": "AAAA"}})
    await CertificateStore(kube, SETTINGS).refresh()
    assert secret_of(kube)["tls.crt"].startswith("-----BEGIN CERTIFICATE")


@pytest.mark.parametrize("error", [ForbiddenError(403, "no"), KubeError(0, "away")], ids=str)
async def test_the_gateways_channel_does_not_wait_for_the_injectors_certificate(
    kube: FakeKube, error: KubeError
) -> None:
    def fault(verb: str, resource: Resource, name: str) -> KubeError | None:
        return error if resource is WEBHOOK_CONFIGURATIONS else None

    kube.fault = fault
    store = CertificateStore(kube, SETTINGS)
    await store.refresh()
    assert store.expires_at() > 0
    assert secret_of(kube) == {}
    kube.fault = lambda verb, resource, name: None
    await store.refresh()
    assert secret_of(kube)


async def test_a_replica_that_comes_second_leaves_the_secret_to_the_first(kube: FakeKube) -> None:
    def fault(verb: str, resource: Resource, name: str) -> KubeError | None:
        lost = verb == "replace" and name == f"{NAME}-tls"
        return ConflictError(409, "it has changed") if lost else None

    kube.fault = fault
    await CertificateStore(kube, SETTINGS).refresh()
    assert secret_of(kube) == {}
    kube.fault = lambda verb, resource, name: None
    await CertificateStore(kube, SETTINGS).refresh()
    assert secret_of(kube)


async def test_without_an_injector_nothing_of_it_is_touched(kube: FakeKube) -> None:
    await CertificateStore(kube, replace(SETTINGS, webhook_certificate=False)).refresh()
    assert secret_of(kube) == {}
    assert "caBundle" not in webhook_of(kube)["clientConfig"]
