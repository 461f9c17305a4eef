"""The injector in the chart: who it is asked about, what happens without it, whom it may reach."""

from __future__ import annotations

import json

import pytest

from bucketroute_operator.core.injected_sidecar import SIDECAR_NAME
from bucketroute_operator.core.injection import (
    INJECTED_ANNOTATION,
    MODE_LABEL,
    NOT_INJECTED_ANNOTATION,
    Mode,
)
from bucketroute_operator.settings import HELP as OPERATOR_SETTINGS
from bucketroute_operator.shell.injector_app import BODY_SECONDS, INJECT_PATH
from bucketroute_operator.webhook_settings import load_webhook_settings
from bucketroute_testing.chart import Json, of_kind, pod_specs

NAME = "bucketroute-injector"
WITH_INJECTOR = ["default", "everything", "sidecars-only"]
KINDS = (
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)


def webhook(case: str) -> Json:
    (found,) = of_kind(case, "MutatingWebhookConfiguration")[NAME]["webhooks"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_it_is_asked_about_pods_that_ask_for_it_and_no_others(case: str) -> None:
    (selector,) = webhook(case)["objectSelector"]["matchExpressions"]
    assert (selector["key"], selector["operator"]) == (MODE_LABEL, "In")
    assert set(selector["values"]) == {mode.value for mode in Mode}
    (rule,) = webhook(case)["rules"]
    assert (rule["resources"], rule["operations"], rule["scope"]) == (
        ["pods"],
        ["CREATE"],
        "Namespaced",
    )


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_no_pod_of_our_own_or_of_the_system_waits_for_it(case: str) -> None:
    (selector,) = webhook(case)["namespaceSelector"]["matchExpressions"]
    assert (selector["key"], selector["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
    assert {"bucketroute-system", "kube-system"} <= set(selector["values"])
    for item in of_kind(case, "Deployment").values():
        assert MODE_LABEL not in item["spec"]["template"]["metadata"]["labels"]


def is_of_injector(item: Json) -> bool:
    return bool(item["metadata"]["labels"]["app.kubernetes.io/component"] == "injector")


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_an_outage_of_it_stops_no_pod_that_can_do_without(case: str) -> None:
    found = webhook(case)
    assert (found["failurePolicy"], found["sideEffects"]) == ("Ignore", "None")
    assert found["timeoutSeconds"] == 3 > BODY_SECONDS
    assert found["reinvocationPolicy"] == "IfNeeded"
    policies, bindings = (
        {name: item for name, item in of_kind(case, kind).items() if is_of_injector(item)}
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    )
    actions = {
        item["spec"]["policyName"]: item["spec"]["validationActions"] for item in bindings.values()
    }
    assert actions == {
        "bucketroute-sidecar-present": ["Deny"],
        "bucketroute-env-present": ["Warn", "Audit"],
        "bucketroute-mode-known": ["Warn", "Audit"],
    }
    known = policies.pop("bucketroute-mode-known")["spec"]
    assert known["matchConstraints"]["objectSelector"]["matchExpressions"] == [
        {"key": MODE_LABEL, "operator": "Exists"},
        {"key": MODE_LABEL, "operator": "NotIn", "values": [mode.value for mode in Mode]},
    ]
    modes = {
        name: item["spec"]["matchConstraints"]["objectSelector"]["matchLabels"][MODE_LABEL]
        for name, item in policies.items()
    }
    assert modes == {"bucketroute-sidecar-present": "sidecar", "bucketroute-env-present": "env"}
    (present, _) = policies["bucketroute-sidecar-present"]["spec"]["validations"]
    assert f"'{SIDECAR_NAME}'" in present["expression"]
    (told,) = policies["bucketroute-env-present"]["spec"]["validations"]
    for annotation in (INJECTED_ANNOTATION, NOT_INJECTED_ANNOTATION):
        assert f"'{annotation}'" in told["expression"]


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_the_api_server_finds_it(case: str) -> None:
    service = webhook(case)["clientConfig"]["service"]
    found = of_kind(case, "Service")[service["name"]]
    assert service["namespace"] == found["metadata"]["namespace"]
    assert (service["path"], service["port"]) == (INJECT_PATH, found["spec"]["ports"][0]["port"])
    (container,) = dict(pod_specs(case))[NAME]["containers"]
    ports = {item["name"]: item["containerPort"] for item in container["ports"]}
    assert ports[found["spec"]["ports"][0]["targetPort"]] == 8443


def test_who_makes_its_certificate_tells_the_api_server_whom_to_trust() -> None:
    by_operator = of_kind("default", "MutatingWebhookConfiguration")[NAME]
    assert "annotations" not in by_operator["metadata"]
    env = environment("default", "bucketroute-operator")
    assert env["BUCKETROUTE_WEBHOOK_CERTIFICATE"] == "true"
    assert "webhook_certificate" in OPERATOR_SETTINGS
    by_cert_manager = of_kind("everything", "MutatingWebhookConfiguration")[NAME]
    assert by_cert_manager["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": "bucketroute-system/bucketroute-injector-tls"
    }
    certificate = of_kind("everything", "Certificate")["bucketroute-injector-tls"]["spec"]
    assert certificate["dnsNames"] == ["bucketroute-injector.bucketroute-system.svc"]
    assert "BUCKETROUTE_WEBHOOK_CERTIFICATE" not in environment(
        "everything", "bucketroute-operator"
    )


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_its_settings_are_valid_and_its_files_are_mounted(case: str) -> None:
    settings = load_webhook_settings([], environment(case, NAME))
    (container,) = dict(pod_specs(case))[NAME]["containers"]
    mounts = {item["mountPath"] for item in container["volumeMounts"]}
    files = (
        settings.tls_certificate,
        settings.tls_key,
        settings.classes_file,
        settings.sidecar_ca_file,
    )
    for file in files:
        assert str(file.parent) in mounts
    assert settings.sidecar_resources["limits"]
    gateway_image = "bucketroute-dataplane:0.1.0"
    assert settings.sidecar_image is not None
    assert settings.sidecar_image.endswith(gateway_image)


@pytest.mark.parametrize("case", WITH_INJECTOR)
def test_it_may_do_nothing_in_the_cluster_and_sees_no_other_key(case: str) -> None:
    spec = dict(pod_specs(case))[NAME]
    assert spec["serviceAccountName"] == NAME
    assert NAME in of_kind(case, "ServiceAccount")
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert NAME not in json.dumps([item["subjects"] for item in of_kind(case, kind).values()])
    assert not [volume for volume in spec["volumes"] if "projected" in volume]
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [(item["secretName"], [key["key"] for key in item["items"]]) for item in secrets] == [
        ("bucketroute-injector-tls", ["tls.crt", "tls.key"])
    ]


def test_it_calls_nobody_and_the_api_server_may_call_from_anywhere() -> None:
    spec = of_kind("default", "NetworkPolicy")[NAME]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    assert spec["ingress"][0] == {"ports": [{"port": "webhook"}]}


def test_pods_with_a_sidecar_reach_the_operator() -> None:
    spec = of_kind("default", "NetworkPolicy")["bucketroute-operator"]["spec"]
    peers = spec["ingress"][0]["from"]
    labels = [peer["podSelector"]["matchLabels"] for peer in peers]
    assert {MODE_LABEL: "sidecar"} in labels


def test_two_replicas_and_one_of_them_at_any_time() -> None:
    deployment = of_kind("default", "Deployment")[NAME]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert of_kind("default", "PodDisruptionBudget")[NAME]["spec"]["maxUnavailable"] == 1


def test_it_can_be_left_out() -> None:
    assert NAME not in of_kind("own-classes", "Deployment")
    for kind in KINDS:
        assert of_kind("own-classes", kind) == {}


def environment(case: str, deployment: str) -> dict[str, str]:
    (container,) = dict(pod_specs(case))[deployment]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}
