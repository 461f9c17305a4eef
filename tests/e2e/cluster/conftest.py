"""Fixtures of the tests in a cluster. `run.sh` makes the cluster and loads the images.

Whatever the provider, KUBECONFIG, kubectl and helm are all that these tests have of it.
"""

import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    GATEWAY_SUBJECT,
    SYSTEM_NAMESPACE,
    Cluster,
    CommandError,
    Installation,
)

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
_LOGGED = tuple(f"deployment/bucketroute-{name}" for name in ("operator", "gateway", "injector"))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of `CLUSTER=local|kind tests/e2e/cluster/run.sh`. Never skips."""
    if "KUBECONFIG" not in os.environ:
        pytest.fail("no cluster: these tests run by tests/e2e/cluster/run.sh (make e2e)")
    found = Cluster()
    found.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s", seconds=70)
    return found


@pytest.fixture(scope="session")
def trust_the_gateway(cluster: Cluster) -> Callable[[], None]:
    """Makes MinIO, or its policy anew: of all tokens only the gateway's may do anything."""

    def trust() -> None:
        script = REPOSITORY / "tests/e2e/tools/minio.sh"
        subprocess.run([script, BACKEND_BUCKET, GATEWAY_SUBJECT], check=True, timeout=300)

    return trust


@pytest.fixture(scope="session")
def install(cluster: Cluster, trust_the_gateway: Callable[[], None]) -> Callable[..., Installation]:
    """`helm upgrade --install`, with more arguments; waits until all is ready.

    Into a namespace that admits restricted pods only.
    """
    trust_the_gateway()
    cluster.create_namespace(SYSTEM_NAMESPACE)

    def run_helm(*arguments: str) -> Installation:
        cluster.helm(
            *("upgrade", "--install", "bucketroute", str(REPOSITORY / "charts/bucketroute")),
            *("--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", "180s"),
            *("--values", str(HERE / "manifests/bucketroute/values.yaml")),
            *arguments,
        )
        default = cluster.get("bucketrouteclass", "default")
        return Installation(cluster=cluster, endpoint=default["spec"]["dataPlane"]["endpoint"])

    return run_helm


@pytest.fixture(scope="session")
def bucketroute(install: Callable[..., Installation]) -> Installation:
    return install()


@pytest.fixture(scope="session")
def team(cluster: Cluster) -> Iterator[str]:
    """A tenant's namespace with the service account `reporter`."""
    name = "team-a"
    cluster.create_namespace(name)
    metadata = {"name": "reporter", "namespace": name}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of `control_plane` go last: the installed operator is away from then on."""
    items.sort(key=lambda item: "control_plane" in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure comes with what the cluster has to say."""
    report = yield
    if report.failed and "KUBECONFIG" in os.environ:
        report.sections.append(("the cluster", _state()))
    return report


def _state() -> str:
    commands = [
        ("get", "pods", "--all-namespaces", "-o", "wide"),
        ("get", "bucketroutes", "--all-namespaces", "-o", "yaml"),
        ("get", "events", "--all-namespaces", "--field-selector", "type=Warning"),
        *(
            ("logs", name, "-n", SYSTEM_NAMESPACE, "--all-pods", "--prefix", "--tail=60")
            for name in _LOGGED
        ),
    ]
    told = []
    for command in commands:
        try:
            output = Cluster().kubectl(*command)
        except CommandError as exc:
            output = str(exc)
        told.append(f"$ kubectl {' '.join(command)}\n{output[-8000:]}")
    return "\n".join(told)
