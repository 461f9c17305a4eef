"""The operator's rights are those that it uses, no more and no fewer.

The proxy has seen every call of an operator's life, from its first start in an empty namespace on;
they went to the API server with the chart's own roles.
"""

from __future__ import annotations

from bucketroute_testing.api_calls import ApiCall, rights_of
from bucketroute_testing.cluster import SYSTEM_NAMESPACE, Cluster, Installation
from bucketroute_testing.operator_beside import NAMESPACE, OPERATOR_ACCOUNT, Surroundings
from bucketroute_testing.operator_world import World

# What every account may do (ClusterRole system:discovery): kopf asks which kinds there are.
DISCOVERY = ("/api", "/apis", "/version")
BACKEND = "untouched"


def test_every_right_is_used_and_nothing_is_refused(
    world: World, surroundings: Surroundings
) -> None:
    metadata = {"name": BACKEND, "namespace": world.tenant}
    world.cluster.apply(
        {
            "apiVersion": "bucketroute.io/v1alpha1",
            "kind": "BucketBackend",
            "metadata": metadata,
            "spec": {"region": "eu-west-1", "auth": {"type": "Unsigned"}},
        }
    )
    world.cluster.await_condition(
        "bucketbackend", BACKEND, world.tenant, is_now=("Accepted", "True"), seconds=60
    )
    arrived = [
        item for item in world.proxy.seen if item.has_arrived and not is_tenants_wish(item.call)
    ]
    refused = [item.call for item in arrived if item.status in (401, 403)]
    there = living_namespaces(world.cluster)
    assert [call for call in refused if not call.namespace or call.namespace in there] == []
    used = {item.call for item in arrived}
    rights = {right for role in surroundings.roles for right in rights_of(role)}
    assert {right for right in rights if not any(map(right.allows, used))} == set()
    assert {
        call
        for call in used
        if not is_discovery(call) and not any(right.allows(call) for right in rights)
    } == set()


def living_namespaces(cluster: Cluster) -> set[str]:
    """In one that ends nothing can be made any more, which is a 403 too, whatever the rights."""
    active = ("--field-selector", "status.phase=Active", "-o", "name")
    names = cluster.kubectl("get", "namespaces", *active).split()
    return {name.removeprefix("namespace/") for name in names}


def is_tenants_wish(call: ApiCall) -> bool:
    """An object that some route or backend names: whether the operator may read it is not decided
    by the chart's defaults, and it learns that by asking.
    """
    is_object = call.resource in ("/secrets", "/configmaps") and call.verb == "get"
    return is_object and call.namespace != NAMESPACE


def is_discovery(call: ApiCall) -> bool:
    return call.verb == "get" and call.resource.startswith(DISCOVERY)


def test_the_installed_operator_has_the_same_rights(
    bucketroute: Installation, surroundings: Surroundings
) -> None:
    for role in surroundings.roles:
        namespace = SYSTEM_NAMESPACE if role["kind"] == "Role" else ""
        installed = bucketroute.cluster.get(role["kind"], OPERATOR_ACCOUNT, namespace)
        assert installed["rules"] == role["rules"]


def test_the_other_accounts_may_do_no_more_than_one_without_rights(
    bucketroute: Installation,
) -> None:
    cluster = bucketroute.cluster
    ours = ("-l", "app.kubernetes.io/name=bucketroute", "-o", "name")
    names = cluster.kubectl("get", "serviceaccounts", "--namespace", SYSTEM_NAMESPACE, *ours)
    accounts = {name.removeprefix("serviceaccount/") for name in names.split()}
    assert {"bucketroute-gateway", OPERATOR_ACCOUNT} <= accounts
    nothing = allowed(cluster, "default")
    assert allowed(cluster, OPERATOR_ACCOUNT) - nothing
    assert [
        name for name in accounts - {OPERATOR_ACCOUNT} if allowed(cluster, name) != nothing
    ] == []


def allowed(cluster: Cluster, account: str) -> set[str]:
    """All that the API server lets a service account of ours do, a line for each rule."""
    subject = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{account}"
    output = cluster.kubectl(
        "auth", "can-i", "--list", "--no-headers", "--namespace", SYSTEM_NAMESPACE, "--as", subject
    )
    return set(output.splitlines())
