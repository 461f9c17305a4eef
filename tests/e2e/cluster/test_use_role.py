"""The chart's ValidatingAdmissionPolicy: who names a role in a namespace may `use` it there."""

import json
from collections.abc import Callable, Iterator

import pytest

from bucketroute_testing.cluster import Cluster, CommandError, Installation, Json, wait_until
from bucketroute_testing.workloads import route

ALICES = "arn:aws:iam::111122223333:role/bucketroute/team-a/reports"
TEAM_BS = "arn:aws:iam::111122223333:role/bucketroute/team-b/reports"
POLICY_SECONDS = 30.0
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def alice(install: Callable[..., Installation], team: str) -> Iterator["Person"]:
    """May edit the team's routes and use one role; the policy is on, and off again afterwards."""
    cluster = install("--set", "admission.useRoleARNs.enabled=true").cluster
    person = Person(cluster, "alice", team)
    person.may(
        {
            "apiGroups": ["bucketroute.io"],
            "resources": ["bucketroutes", "bucketbackends"],
            "verbs": ["get", "list", "create", "update", "patch", "delete"],
        },
        {
            "apiGroups": ["bucketroute.io"],
            "resources": ["rolearns"],
            "resourceNames": [ALICES],
            "verbs": ["use"],
        },
    )
    # The API server takes a new policy over within seconds.
    wait_until(
        lambda: person.refusal_of(using("probe", team, TEAM_BS)),
        lambda refusal: "you may not use role" in refusal,
        seconds=POLICY_SECONDS,
    )
    yield person
    install()


class Person:
    """Somebody with the rights of one Role in one namespace."""

    def __init__(self, cluster: Cluster, name: str, namespace: str) -> None:
        self.cluster = cluster
        self.name = name
        self.namespace = namespace

    def may(self, *rules: Json) -> None:
        metadata = {"name": f"of-{self.name}", "namespace": self.namespace}
        api_version = f"{RBAC}/v1"
        self.cluster.apply(
            {"apiVersion": api_version, "kind": "Role", "metadata": metadata, "rules": list(rules)},
            {
                "apiVersion": api_version,
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": metadata["name"]},
                "subjects": [{"apiGroup": RBAC, "kind": "User", "name": self.name}],
            },
        )

    def refusal_of(self, manifest: Json) -> str:
        """Empty if the person may apply it. Asks the API server without writing."""
        try:
            self.apply(manifest, "--dry-run=server")
        except CommandError as exc:
            return str(exc)
        return ""

    def apply(self, manifest: Json, *more: str) -> None:
        arguments = ("apply", "--as", self.name, "-f", "-", *more)
        self.cluster.kubectl(*arguments, stdin=json.dumps(manifest))


def using(name: str, namespace: str, role_arn: str) -> Json:
    return route(name, namespace, roleARN=role_arn)


def backend_using(name: str, namespace: str, role_arn: str) -> Json:
    auth = {"type": "WebIdentity", "webIdentity": {"roleARN": role_arn}}
    return {
        "apiVersion": "bucketroute.io/v1alpha1",
        "kind": "BucketBackend",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"region": "eu-west-1", "auth": auth},
    }


@pytest.mark.parametrize("named_by", [using, backend_using], ids=["route", "backend"])
def test_one_may_name_the_roles_that_one_may_use_and_no_other(
    alice: Person, named_by: Callable[[str, str, str], Json]
) -> None:
    assert alice.refusal_of(named_by("of-alice", alice.namespace, ALICES)) == ""
    refusal = alice.refusal_of(named_by("of-alice", alice.namespace, TEAM_BS))
    expected = f"you may not use role {TEAM_BS} in namespace {alice.namespace}"
    assert expected in refusal
    assert "rolearns.bucketroute.io" in refusal


def test_a_route_without_a_role_takes_no_right_to_one(alice: Person) -> None:
    manifest = using("public", alice.namespace, ALICES)
    del manifest["spec"]["backend"]["roleARN"]
    manifest["spec"]["backend"]["signing"] = "Unsigned"
    assert alice.refusal_of(manifest) == ""


def test_who_may_not_use_a_routes_role_may_label_the_route_and_not_lend_the_role(
    alice: Person,
) -> None:
    """A grant in `access` would give the role to somebody else."""
    bob = Person(alice.cluster, "bob", alice.namespace)
    bob.may(
        {
            "apiGroups": ["bucketroute.io"],
            "resources": ["bucketroutes"],
            "verbs": ["get", "patch", "update"],
        }
    )
    manifest = using("of-alice", alice.namespace, ALICES)
    alice.apply(manifest)
    manifest["metadata"]["labels"] = {"seen-by": "bob"}
    assert bob.refusal_of(manifest) == ""
    manifest["spec"]["access"] = [{"serviceAccounts": ["bobs"], "permissions": ["Read"]}]
    assert f"you may not use role {ALICES}" in bob.refusal_of(manifest)
    alice.cluster.kubectl("delete", "bucketroute", "of-alice", "--namespace", alice.namespace)
