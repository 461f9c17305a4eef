"""`kubectl bucketroute` on the real cluster: what it shows, its exit status, a tenant's rights."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bucketroute_testing.cluster import Cluster, Installation, Json, wait_until
from bucketroute_testing.workloads import CREDENTIAL_SECONDS, PROGRAMMED_SECONDS, route

WRONG_ROLE = "arn:minio:iam:::role/AAAAAAAAAAAAAAAAAAAAAAAAAAA"
REPORTER = "system:serviceaccount:{}:reporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    status: int
    output: str
    error: str


def kubectl_bucketroute(*arguments: str, kubeconfig: Path | None = None) -> Result:
    """As somebody has it who installed the package: kubectl finds the plugin in PATH."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    chosen = {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(
        ["kubectl", "bucketroute", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **chosen, "PATH": programs},
    )
    return Result(status=done.returncode, output=done.stdout, error=done.stderr)


@pytest.fixture(scope="module")
def shown(bucketroute: Installation, team: str) -> str:
    """The team's namespace with one route that is ready."""
    bucketroute.cluster.apply(route("shown", team))
    for condition in ("Ready", "CredentialReady"):
        bucketroute.cluster.await_condition(
            "bucketroute", "shown", team, is_now=(condition, "True"), seconds=PROGRAMMED_SECONDS
        )
    return team


@pytest.fixture(scope="module")
def tenant(bucketroute: Installation, shown: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of somebody with the role `view` in the team's namespace, no other right."""
    cluster = bucketroute.cluster
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("tenant", shown)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": _named("tenant", shown),
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": shown}],
        },
    )
    return _kubeconfig_of(cluster, "tenant", shown, tmp_path_factory.mktemp("tenant"))


def _named(name: str, namespace: str) -> Json:
    return {"name": name, "namespace": namespace}


def _kubeconfig_of(cluster: Cluster, name: str, namespace: str, folder: Path) -> Path:
    token = cluster.kubectl("create", "token", name, "--namespace", namespace).strip()
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--minify"))
    config["users"] = [{"name": name, "user": {"token": token}}]
    context = {"cluster": config["clusters"][0]["name"], "user": name, "namespace": namespace}
    config["contexts"] = [{"name": name, "context": context}]
    config["current-context"] = name
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def shown_status(namespace: str) -> Json:
    result = kubectl_bucketroute("status", "shown", "-n", namespace, "-o", "json")
    assert result.status == 0, result
    found: Json = json.loads(result.output)
    return found


def test_status_shows_the_route_and_pods_that_have_the_latest_version(
    bucketroute: Installation, shown: str
) -> None:
    bucketroute.cluster.await_condition(
        "bucketrouteclass", "default", "", is_now=("Synced", "True"), seconds=PROGRAMMED_SECONDS
    )
    # The operator looks for ready pods now and then, and writes a class's status as seldom.
    found = wait_until(
        lambda: shown_status(shown),
        lambda found: all(pod["ready"] for pod in found["classes"][0]["pods"]),
        seconds=PROGRAMMED_SECONDS,
    )
    (row,) = found["routes"]
    assert (row["ready"], row["credentials"]) == ("True", "Exchanged")
    (default,) = found["classes"]
    pods = bucketroute.cluster.kubectl(
        *("get", "pods", "--namespace", "bucketroute-system", "-o", "name"),
        *("--selector", "app.kubernetes.io/component=gateway"),
    )
    assert {f"pod/{pod['name']}" for pod in default["pods"]} == set(pods.split())
    assert {pod["state"] for pod in default["pods"]} == {"SYNCED"}
    assert {pod["version"] for pod in default["pods"]} == {default["version"]}


def test_a_misspelt_namespace_is_no_empty_one(bucketroute: Installation, shown: str) -> None:
    result = kubectl_bucketroute("status", "-n", f"{shown}x")
    assert (result.status, result.output) == (2, "")
    wanted = f"kubectl bucketroute status: no such namespace: {shown}x (did you mean {shown}?)"
    assert result.error.strip() == wanted
    result = kubectl_bucketroute("status", "-n", "kube-public", "-o", "json")
    assert json.loads(result.output)["routes"] == []
    assert result.error.startswith("No BucketRoute in namespace kube-public")


def test_a_route_whose_role_is_refused_is_explained_by_status_and_explain(
    bucketroute: Installation, shown: str
) -> None:
    cluster = bucketroute.cluster
    cluster.apply(route("refused", shown, roleARN=WRONG_ROLE))
    is_refused = ("CredentialReady", "False")
    cluster.await_condition(
        "bucketroute", "refused", shown, is_now=is_refused, seconds=CREDENTIAL_SECONDS
    )
    says = "CredentialReady=False InvalidParameterValue"
    result = kubectl_bucketroute("status", "refused", "-n", shown)
    assert result.status == 1, result
    assert f"{shown}/refused: {says}" in result.output
    result = kubectl_bucketroute(
        *("explain", "--as", REPORTER.format(shown), "GET", "s3://refused/x")
    )
    assert result.status == 1, result
    assert "decision:  allowed by spec.access[0]" in result.output
    assert f"but:       {says}" in result.output
    cluster.kubectl("delete", "bucketroute", "refused", "--namespace", shown)


def test_the_installation_passes_its_examination(bucketroute: Installation) -> None:
    # A deletion of the test before may be on its way to the gateways.
    result = wait_until(
        lambda: kubectl_bucketroute("check", "-o", "json"),
        lambda result: result.status == 0,
        seconds=PROGRAMMED_SECONDS,
    )
    verdicts = {item["check"]: item["verdict"] for item in json.loads(result.output)}
    assert {verdicts[name] for name in ("API server", "CRD", "operator", "gateway")} == {"ok"}


def test_a_tenant_sees_and_explains_its_own_routes(tenant: Path, shown: str) -> None:
    result = kubectl_bucketroute("status", "shown", kubeconfig=tenant)
    assert result.status == 0, result
    assert "RBAC does not grant `list` on them" in result.output
    result = kubectl_bucketroute(
        *("explain", "--as", REPORTER.format(shown), "DELETE", "s3://shown/x"), kubeconfig=tenant
    )
    assert result.status == 1, result
    assert "decision:  refused, AccessDenied" in result.output
    assert "spec.access[0] is for this caller, but grants Read, List, Write only" in result.output
    assert "note:      only routes of namespace" in result.output


def test_what_rbac_refuses_is_one_line(tenant: Path) -> None:
    result = kubectl_bucketroute("status", "-A", kubeconfig=tenant)
    assert (result.status, result.output) == (2, "")
    assert result.error.startswith("kubectl bucketroute status: RBAC does not grant it: User ")
    assert len(result.error.splitlines()) == 1
