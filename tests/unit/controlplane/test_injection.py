"""The rules of injection, one by one; whole pods are in test_injection_golden.py."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bucketroute_operator.core.injection import Mode, Result
from bucketroute_testing.admission import (
    ENDPOINT,
    INJECTOR,
    REQUEST_UID,
    Json,
    app,
    decide,
    environment_of,
    injected,
    patched,
    raw_pod,
)

LOGIN_TOKEN = "/var/run/secrets/bucketroute.io/serviceaccount/token"
IRSA_TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"


def volumes_of(pod: Json) -> dict[str, Json]:
    return {item["name"]: item for item in pod["spec"].get("volumes", ())}


def test_a_pod_without_the_label_is_left_alone() -> None:
    pod = raw_pod("env")
    del pod["metadata"]["labels"]
    assert (decide(pod).mode, decide(pod).patch) == (None, ())
    assert decide(raw_pod("both")).result is Result.UNCHANGED


def test_env_logs_in_at_the_gateway_with_a_token_for_its_audience() -> None:
    pod = injected(raw_pod("env"))
    found = environment_of(pod)
    assert found.pop("AWS_ROLE_SESSION_NAME")["fieldRef"]["fieldPath"] == "metadata.name"
    assert found == {
        "AWS_ENDPOINT_URL_S3": ENDPOINT,
        "AWS_ENDPOINT_URL_STS": ENDPOINT,
        "AWS_ROLE_ARN": "arn:aws:iam::000000000000:role/team-a.reporter",
        "AWS_WEB_IDENTITY_TOKEN_FILE": LOGIN_TOKEN,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    (source,) = volumes_of(pod)["bucketroute-token"]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "bucketroute"


def test_init_containers_reach_their_buckets_too() -> None:
    pod = raw_pod("env", initContainers=[{"name": "fetch", "image": "fetch:1"}])
    assert environment_of(injected(pod), "fetch")["AWS_ENDPOINT_URL_S3"] == ENDPOINT


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (None, "metadata.name"),
        ("x", "metadata.uid"),
        ("xy", "metadata.name"),
        ("x" * 64, "metadata.name"),
        ("x" * 65, "metadata.uid"),
    ],
    ids=["generated", "1", "2", "64", "65"],
)
def test_the_session_is_named_after_the_pod_where_sts_takes_the_name(
    name: str | None, field: str
) -> None:
    pod = raw_pod("env")
    if name is not None:
        pod["metadata"]["name"] = name
    found = environment_of(injected(pod))["AWS_ROLE_SESSION_NAME"]
    assert found == {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}


def test_irsa_keeps_its_token_to_itself() -> None:
    """Neither does its token go to the gateway, nor ours to AWS."""
    variables = (
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", IRSA_TOKEN),
    )
    decision = decide(raw_pod("env", app(*variables)))
    found = injected(raw_pod("env", app(*variables)))
    assert environment_of(found) == {**dict(variables), "AWS_ENDPOINT_URL_S3": ENDPOINT}
    assert "volumes" not in found["spec"]
    assert decision.warnings == (
        "bucketroute: container app: AWS_ROLE_ARN is already set, so it does not log in at "
        "BucketRoute",
    )


def test_a_variable_that_is_set_stays_even_if_empty_or_from_elsewhere() -> None:
    container = app(("AWS_REGION", ""))
    source = {"configMapKeyRef": {"name": "settings", "key": "region"}}
    container["env"].append({"name": "AWS_DEFAULT_REGION", "valueFrom": source})
    found = environment_of(injected(raw_pod("env", container)))
    assert (found["AWS_REGION"], found["AWS_DEFAULT_REGION"]) == ("", source)


def test_pod_identity_of_eks_and_the_sidecars_are_not_mixed() -> None:
    theirs = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
    pod = injected(raw_pod("sidecar", app(theirs)))
    assert environment_of(pod) == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": theirs[1],
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.mark.parametrize(
    ("pod", "warning"),
    [
        (raw_pod("sidecar", app(("AWS_ROLE_ARN", "arn"))), "AWS_ROLE_ARN is already set"),
        (raw_pod("sidecar", app(("AWS_ACCESS_KEY_ID", "AK"))), "AWS_ACCESS_KEY_ID is already set"),
        (raw_pod("sidecar", app(ports=[{"containerPort": 9000}])), "port 9000 is taken"),
        (raw_pod("env", app(("AWS_ACCESS_KEY_ID", "AK"))), "AWS_ACCESS_KEY_ID is already set"),
        (raw_pod("env", app(("AWS_ENDPOINT_URL_S3", "https://x"))), "do not go to BucketRoute"),
        (raw_pod("env", app(("HTTP_PROXY", "http://p"))), "name 10.96.0.9 in NO_PROXY"),
        (raw_pod("env", app(envFrom=[{"secretRef": {"name": "s"}}])), "envFrom are not seen"),
    ],
    ids=["irsa", "keys", "port", "env-keys", "endpoint", "proxy", "env-from"],
)
def test_what_will_not_work_as_asked_is_told(pod: Json, warning: str) -> None:
    (told,) = decide(pod).warnings
    assert warning in told


def test_a_proxy_with_the_right_exception_is_no_reason_to_warn() -> None:
    variables = (("HTTP_PROXY", "http://p"), ("no_proxy", "localhost,10.96.0.9"))
    assert decide(raw_pod("env", app(*variables))).warnings == ()


def test_warnings_are_few_and_short() -> None:
    containers = [
        {"name": f"c{number}", "env": [{"name": "AWS_ACCESS_KEY_ID", "value": "AK"}]}
        for number in range(50)
    ]
    warnings = decide(raw_pod("env", *containers)).warnings
    assert len(warnings) == 10
    assert all(len(text) <= 256 for text in warnings)


def test_the_sidecar_is_first_so_that_later_init_containers_have_it() -> None:
    fetch = {"name": "fetch", "image": "fetch:1"}
    pod = injected(raw_pod("sidecar", initContainers=[fetch]))
    first, second = pod["spec"]["initContainers"]
    assert (first["name"], first["restartPolicy"]) == ("bucketroute-proxy", "Always")
    assert second["name"] == "fetch"
    assert environment_of(pod, "fetch")["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9000"


def test_the_sidecar_is_restricted_and_probed_from_inside() -> None:
    (sidecar,) = injected(raw_pod("sidecar"))["spec"]["initContainers"]
    assert sidecar["securityContext"]["runAsUser"] == 65532
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for probe in (sidecar["startupProbe"], sidecar["livenessProbe"]):
        assert probe["exec"]["command"][0] == "bucketroute-dataplane"
        assert probe["timeoutSeconds"] == 5


def test_the_app_cannot_read_the_sidecars_tokens_or_state() -> None:
    spec = injected(raw_pod("sidecar"))["spec"]
    mounts = {item["name"] for item in spec["containers"][0]["volumeMounts"]}
    assert mounts == {"bucketroute-credentials"}
    assert spec["containers"][0]["volumeMounts"][0]["readOnly"] is True


def test_one_token_for_each_audience_and_no_other() -> None:
    pod = raw_pod("sidecar")
    pod["metadata"]["labels"]["bucketroute.io/class"] = "sidecars"
    sources = volumes_of(injected(pod))["bucketroute-tokens"]["projected"]["sources"]
    tokens = [item["serviceAccountToken"] for item in sources]
    assert {item["path"]: item["audience"] for item in tokens} == {
        "sts": "minio",
        "config": "bucketroute-config",
    }


@pytest.mark.parametrize("user", [{}, {"runAsUser": 0}, {"runAsUser": 1000}], ids=str)
@pytest.mark.parametrize("mode", ["env", "sidecar"])
def test_tokens_are_readable_for_any_user_and_no_group_is_forced_on_the_pod(
    mode: str, user: Json
) -> None:
    other = {"name": "other", "image": "o:1", "securityContext": {"runAsUser": 7}}
    before = raw_pod(mode, app(securityContext=user), other, securityContext=user)
    after = injected(before)
    for volume in volumes_of(after).values():
        assert volume.get("projected", {}).get("defaultMode", 0o444) == 0o444
    assert after["spec"]["securityContext"] == before["spec"]["securityContext"]


def test_tokens_of_a_fleet_are_not_renewed_together() -> None:
    def seconds(uid: str) -> int:
        pod = patched(raw_pod("env"), decide(raw_pod("env"), uid=uid).patch)
        (source,) = volumes_of(pod)["bucketroute-token"]["projected"]["sources"]
        return int(source["serviceAccountToken"]["expirationSeconds"])

    found = [seconds(f"uid-{number}") for number in range(200)]
    assert len(set(found)) > 100
    assert min(found) >= 3300
    assert max(found) <= 3900
    assert seconds("uid-1") == seconds("uid-1")


def test_a_container_that_another_webhook_added_afterwards_is_set_up() -> None:
    once = injected(raw_pod("sidecar"))
    once["spec"]["containers"].append({"name": "late", "image": "late:1"})
    twice = injected(once)
    assert environment_of(twice, "late") == environment_of(twice, "app")
    assert twice["spec"]["initContainers"] == once["spec"]["initContainers"]
    assert twice["spec"]["volumes"] == once["spec"]["volumes"]


def labelled(pod: Json, class_name: str) -> Json:
    pod["metadata"]["labels"]["bucketroute.io/class"] = class_name
    return pod


REASONS = [
    (labelled(raw_pod("env"), "sidecars"), "class sidecars has no gateway, only sidecars"),
    (labelled(raw_pod("env"), "gone"), "there is no BucketRouteClass gone"),
    (labelled(raw_pod("sidecar"), "gone"), "there is no BucketRouteClass gone"),
    (raw_pod("sidecar", hostNetwork=True), "a pod of the host's network cannot have a sidecar"),
    (
        raw_pod("sidecar", {"name": "bucketroute-proxy", "image": "mine:1"}),
        "the container name bucketroute-proxy is for the sidecar",
    ),
    (
        raw_pod("sidecar", initContainers=[{"name": "bucketroute-proxy"}]),
        "the container name bucketroute-proxy is for the sidecar",
    ),
]


@pytest.mark.parametrize(("pod", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_who_cannot_be_served_is_told_why(pod: Json, reason: str) -> None:
    """Of mode env it starts all the same; of mode sidecar it does not."""
    decision = decide(pod)
    if decision.mode is Mode.ENV:
        (warning,) = decision.warnings
        assert (decision.result, reason in warning) == (Result.MISSED, True)
    else:
        assert (decision.result, reason in decision.message) == (Result.REFUSED, True)
        assert decision.patch == ()


def test_a_pod_that_cannot_be_served_says_why_and_is_else_as_it_was() -> None:
    """The API server's own warning is for pods that nobody was asked about, so there is one."""
    pod = labelled(raw_pod("env"), "gone")
    pod["metadata"]["annotations"] = {"team": "a"}
    changed = injected(pod)
    assert changed["metadata"].pop("annotations") == {
        "team": "a",
        "bucketroute.io/not-injected": "there is no BucketRouteClass gone",
    }
    assert changed == {**pod, "metadata": changed["metadata"]}
    assert decide(injected(labelled(raw_pod("env"), "gone"))).patch == ()


def test_a_pod_of_the_hosts_network_may_use_the_gateway() -> None:
    assert decide(raw_pod("env", hostNetwork=True)).result is Result.INJECTED


def test_before_the_operator_has_written_anything_env_pods_start_and_sidecar_pods_do_not() -> None:
    empty = replace(INJECTOR, classes=None, sidecar=None)
    assert decide(raw_pod("env"), empty).result is Result.MISSED
    assert decide(raw_pod("sidecar"), empty).result is Result.REFUSED
    assert "does not know the classes yet" in decide(raw_pod("sidecar"), empty).message
    without = replace(INJECTOR, sidecar=None)
    assert decide(raw_pod("env"), without).result is Result.INJECTED
    assert "no image or authority" in decide(raw_pod("sidecar"), without).message


@pytest.mark.parametrize("mode", ["env", "sidecar"])
@pytest.mark.parametrize(
    "spec",
    [
        [],
        {"containers": {}},
        {"containers": ["app"]},
        {"containers": [{"name": 1}]},
        {"containers": [{"name": "app", "env": "no"}]},
        {"containers": [{"name": "app", "env": [{"name": ["x"]}]}]},
        {"containers": [{"name": "app", "env": [{"name": "x", "value": 1}]}]},
        {"containers": [{"name": "app", "volumeMounts": [1]}]},
        {"containers": [{"name": "app"}], "volumes": {"a": 1}},
        {"containers": [{"name": "app"}], "initContainers": 1},
        {"containers": [{"name": "app"}], "serviceAccountName": {}},
    ],
    ids=json.dumps,
)
def test_what_is_built_unlike_a_pod_is_decided_not_raised(mode: str, spec: Any) -> None:
    pod = {**raw_pod(mode), "spec": spec}
    assert decide(pod).result in (Result.MISSED, Result.REFUSED, Result.INJECTED)
    assert decide(pod).result is not Result.INJECTED or "serviceAccountName" in spec


@pytest.mark.parametrize("metadata", [[], {"labels": 1}, {"labels": {"bucketroute.io/inject": 1}}])
def test_metadata_unlike_a_pods_is_decided_not_raised(metadata: Any) -> None:
    assert decide({"metadata": metadata}).result is Result.MISSED


def test_an_annotation_of_the_users_stays() -> None:
    pod = raw_pod("env")
    pod["metadata"]["annotations"] = {"team": "a"}
    annotations = injected(pod)["metadata"]["annotations"]
    assert annotations == {"team": "a", "bucketroute.io/injected": "v0.1.0"}


def test_the_patch_depends_on_the_request_alone() -> None:
    assert decide(raw_pod("sidecar"), uid=REQUEST_UID) == decide(
        raw_pod("sidecar"), uid=REQUEST_UID
    )
