"""`helm install` into a namespace that enforces the Pod Security Standard `restricted`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bucketroute_testing.cluster import SYSTEM_NAMESPACE, CommandError, Installation, Json

CHART = Path(__file__).parents[3] / "charts" / "bucketroute"
WHERE = ("--namespace", SYSTEM_NAMESPACE)


def default_pods(bucketroute: Installation) -> list[Json]:
    """The pods of the chart's Deployments, with the chart's own values."""
    output = bucketroute.cluster.helm("template", "bucketroute", str(CHART), *WHERE)
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **item["spec"]["template"]["metadata"],
                "name": f"{item['metadata']['name']}-by-default",
                "namespace": SYSTEM_NAMESPACE,
            },
            "spec": item["spec"]["template"]["spec"],
        }
        for item in yaml.safe_load_all(output)
        if item and item["kind"] == "Deployment"
    ]


def admit(bucketroute: Installation, pod: Json) -> None:
    """Has it admitted, but not created. Raises: CommandError."""
    arguments = ("create", "--dry-run=server", "-f", "-")
    bucketroute.cluster.kubectl(*arguments, stdin=yaml.safe_dump(pod))


def test_the_installations_pods_run_where_restricted_is_enforced(
    bucketroute: Installation,
) -> None:
    cluster = bucketroute.cluster
    labels = cluster.get("namespace", SYSTEM_NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    ready = ("--for=condition=Ready", "pod", "-l", "app.kubernetes.io/name=bucketroute")
    cluster.kubectl("wait", *ready, "--timeout=60s", *WHERE, seconds=70)


def test_pods_of_the_default_values_are_admitted_there(bucketroute: Installation) -> None:
    pods = default_pods(bucketroute)
    assert {pod["metadata"]["name"] for pod in pods} >= {
        "bucketroute-operator-by-default",
        "bucketroute-gateway-by-default",
    }
    for pod in pods:
        admit(bucketroute, pod)


def test_a_pod_that_is_not_restricted_is_not_admitted(bucketroute: Installation) -> None:
    pod = default_pods(bucketroute)[0]
    del pod["spec"]["securityContext"]
    with pytest.raises(CommandError, match="violates PodSecurity"):
        admit(bucketroute, pod)
