"""How the chart's pods run: restricted, with one token for each purpose, given time to drain."""

from __future__ import annotations

import pytest

from bucketroute_testing.chart import CASES, pod_specs


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case: str) -> None:
    pods = dict(pod_specs(case))
    assert pods
    for spec in pods.values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("case", CASES)
def test_no_pod_mounts_the_host_or_a_disk(case: str) -> None:
    for _, spec in pod_specs(case):
        for volume in spec["volumes"]:
            kinds = set(volume) - {"name"}
            assert kinds <= {"projected", "configMap", "secret", "emptyDir"}
            if "emptyDir" in volume:
                assert volume["emptyDir"]["medium"] == "Memory"
                assert volume["emptyDir"]["sizeLimit"]


def audiences(case: str) -> dict[tuple[str, str], list[str | None]]:
    return {
        (pod, volume["name"]): [
            source["serviceAccountToken"].get("audience")
            for source in volume["projected"]["sources"]
            if "serviceAccountToken" in source
        ]
        for pod, spec in pod_specs(case)
        for volume in spec["volumes"]
        if "projected" in volume
    }


def test_every_token_is_for_one_audience() -> None:
    """The operator's own is for the API server, whose audience has another name in each cluster."""
    assert audiences("default") == {
        ("bucketroute-operator", "api-access"): [None],
        ("bucketroute-gateway", "tokens"): ["sts.amazonaws.com", "bucketroute-config"],
        ("bucketroute-test", "token"): ["bucketroute"],
    }


def test_audiences_follow_the_default_class() -> None:
    found = audiences("everything")
    assert found["bucketroute-gateway", "tokens"] == ["minio", "bucketroute-config"]
    assert found["bucketroute-test", "token"] == ["buckets"]


@pytest.mark.parametrize("case", ["default", "everything"])
def test_a_gateway_pod_has_time_for_its_drain(case: str) -> None:
    spec = dict(pod_specs(case))["bucketroute-gateway"]
    container = spec["containers"][0]
    env = {item["name"]: item.get("value") for item in container["env"]}
    lame_duck = int(env["BUCKETROUTE_LAME_DUCK_SECONDS"])
    drain = int(env["BUCKETROUTE_DRAIN_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] > lame_duck + drain
    # A hook would put off SIGTERM, and nobody would be told to go elsewhere meanwhile.
    assert "lifecycle" not in container
