"""One operator as a plain process behind a proxy that fails on demand, and gateways that follow it.

The installed operator is away to the end of the session, so these tests go last. What stands in the
cluster for them is in `operator_beside.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bucketroute_testing.cluster import Installation
from bucketroute_testing.fault_proxy import FaultProxy
from bucketroute_testing.operator_beside import (
    Surroundings,
    bring_installed_operator_back,
    default_endpoint,
    make_surroundings,
    remove_surroundings,
    send_installed_operator_away,
)
from bucketroute_testing.operator_world import World, operator_world

TENANT = "team-beside"


@pytest.fixture(scope="session")
def surroundings(
    bucketroute: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """Of an operator that is not the installed one, which comes back afterwards."""
    cluster = bucketroute.cluster
    endpoint = default_endpoint(cluster)
    send_installed_operator_away(cluster)
    try:
        yield make_surroundings(cluster, tmp_path_factory.mktemp("surroundings"))
    finally:
        remove_surroundings(cluster)
        bring_installed_operator_back(cluster, endpoint=endpoint)


@pytest.fixture(scope="session")
def tenant(surroundings: Surroundings) -> Iterator[str]:
    """A namespace for routes of the class `beside`."""
    surroundings.cluster.create_namespace(TENANT)
    yield TENANT
    surroundings.cluster.kubectl("delete", "namespace", TENANT, "--wait=false")


@pytest.fixture(scope="session")
def proxy(surroundings: Surroundings) -> Iterator[FaultProxy]:
    with FaultProxy(surroundings.api_server, str(surroundings.ca_file)) as running:
        yield running


@pytest.fixture(scope="session")
def world(
    surroundings: Surroundings,
    proxy: FaultProxy,
    tenant: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("operator")
    with operator_world(surroundings, proxy, tenant, directory) as running:
        running.await_converged()
        yield running
