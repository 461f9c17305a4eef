"""Two tenants: team-a tries to use what is team-b's, and each attempt is refused by the layer that
docs/tenancy.md names. What team-b does itself works throughout.
"""

import json
from collections.abc import Iterator

import pytest

from bucketroute_testing.cluster import (
    BACKEND_BUCKET,
    SYSTEM_NAMESPACE,
    Cluster,
    CommandError,
    Installation,
    Json,
    wait_until,
)
from bucketroute_testing.workloads import (
    PROGRAMMED_SECONDS,
    TOKEN_FOLDER,
    ClientPod,
    Workload,
    in_backend,
    program,
    published_route,
    route,
)

TEAM_B = "team-b"
ROLE_OF_B = "arn:aws:iam::111122223333:role/bucketroute/team-b/reports"
MINIO_ROLE = "arn:minio:iam:::role/*"
PER_NAMESPACE = "arn:aws:iam::*:role/bucketroute/${namespace}/*"
SHARED_NAME = "shared"


@pytest.fixture(scope="module")
def cluster_of_two(bucketroute: Installation, team: str) -> Iterator[Cluster]:
    """Both namespaces have `reporter`; the class lets each name the roles under its own path."""
    cluster = bucketroute.cluster
    cluster.create_namespace(TEAM_B)
    metadata = {"name": "reporter", "namespace": TEAM_B}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    allow_roles(cluster, MINIO_ROLE, PER_NAMESPACE)
    yield cluster
    allow_roles(cluster, MINIO_ROLE)
    cluster.kubectl("delete", "namespace", TEAM_B, "--wait=false")
    for kind in ("bucketroutes", "bucketbackends"):
        cluster.kubectl("delete", kind, "--namespace", team, "--selector", "test=tenants")


@pytest.fixture(scope="module")
def owners_route(cluster_of_two: Cluster) -> str:
    """team-b's route `shared`, exported to the class, and credentials for it."""
    cluster_of_two.apply(labelled(route(SHARED_NAME, TEAM_B)))
    for condition in ("Ready", "CredentialReady", "Exported"):
        await_true(cluster_of_two, TEAM_B, SHARED_NAME, condition, PROGRAMMED_SECONDS)
    return SHARED_NAME


def patch_class(cluster: Cluster, spec: Json) -> None:
    where = ("bucketrouteclass", "default", "--type=merge")
    cluster.kubectl("patch", *where, "--patch", json.dumps({"spec": spec}))


def allow_roles(cluster: Cluster, *globs: str) -> None:
    patch_class(cluster, {"identity": {"allowedRoleARNs": list(globs)}})


def labelled(manifest: Json) -> Json:
    manifest["metadata"]["labels"] = {"test": "tenants"}
    return manifest


def backend(name: str, namespace: str, **spec: object) -> Json:
    auth = {"type": "WebIdentity", "webIdentity": {"roleARN": inline()["roleARN"]}}
    return labelled(
        {
            "apiVersion": "bucketroute.io/v1alpha1",
            "kind": "BucketBackend",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"endpoint": inline()["endpoint"], "profile": "MinIO", "auth": auth, **spec},
        }
    )


def inline() -> Json:
    found: Json = route("any", TEAM_B)["spec"]["backend"]
    return found


def referring(name: str, namespace: str, ref: Json) -> Json:
    manifest = labelled(route(name, namespace))
    placed = {"bucket": BACKEND_BUCKET, "prefix": f"{namespace}/{name}/"}
    manifest["spec"]["backend"] = {"ref": ref, **placed}
    return manifest


def await_true(cluster: Cluster, namespace: str, name: str, condition: str, seconds: float) -> None:
    cluster.await_condition(
        "bucketroute", name, namespace, is_now=(condition, "True"), seconds=seconds
    )


def offer(cluster: Cluster, manifest: Json) -> None:
    """Applies the backend; what refers to it finds it from now on."""
    cluster.apply(manifest)
    name, namespace = (manifest["metadata"][field] for field in ("name", "namespace"))
    is_accepted = ("Accepted", "True")
    cluster.await_condition(
        "bucketbackend", name, namespace, is_now=is_accepted, seconds=PROGRAMMED_SECONDS
    )


def refusal(cluster: Cluster, namespace: str, manifest: Json, condition: str) -> tuple[str, str]:
    """Applies the route; the reason and message with which the condition is False."""
    cluster.apply(manifest)
    found = cluster.await_condition(
        "bucketroute",
        manifest["metadata"]["name"],
        namespace,
        is_now=(condition, "False"),
        seconds=PROGRAMMED_SECONDS,
    )
    return found["reason"], found["message"]


# -- the compiler, seen in conditions ------------------------------------------------------------


def test_the_role_of_another_namespace_is_refused_by_the_class(
    cluster_of_two: Cluster, team: str
) -> None:
    stolen = labelled(route("stolen-role", team, roleARN=ROLE_OF_B))
    reason, message = refusal(cluster_of_two, team, stolen, "ResolvedRefs")
    assert reason == "RoleNotPermitted"
    assert ROLE_OF_B not in message
    cluster_of_two.apply(labelled(route("own-role", TEAM_B, roleARN=ROLE_OF_B)))
    await_true(cluster_of_two, TEAM_B, "own-role", "ResolvedRefs", PROGRAMMED_SECONDS)


def test_a_backend_that_does_not_admit_the_namespace_looks_like_none(
    cluster_of_two: Cluster, team: str
) -> None:
    offer(cluster_of_two, backend("lake", TEAM_B))
    lake, absent = ({"name": name, "namespace": TEAM_B} for name in ("lake", "absent"))
    stolen = refusal(cluster_of_two, team, referring("stolen-backend", team, lake), "ResolvedRefs")
    missing = refusal(
        cluster_of_two, team, referring("absent-backend", team, absent), "ResolvedRefs"
    )
    assert stolen == missing
    assert stolen[0] == "RefNotPermitted"
    cluster_of_two.apply(referring("own-backend", TEAM_B, {"name": "lake"}))
    await_true(cluster_of_two, TEAM_B, "own-backend", "ResolvedRefs", PROGRAMMED_SECONDS)


def test_a_backend_that_is_open_to_all_keeps_each_to_its_prefix(
    cluster_of_two: Cluster, team: str
) -> None:
    """MinIO has one role for all, so the platform hands out prefixes: docs/tenancy.md."""
    allowed = {"namespaces": {"from": "All"}, "requiredPrefix": "${namespace}/"}
    offer(cluster_of_two, backend("open-lake", TEAM_B, allowedRoutes=allowed))
    ref = {"name": "open-lake", "namespace": TEAM_B}
    stolen = referring("stolen-prefix", team, ref)
    stolen["spec"]["backend"]["prefix"] = f"{TEAM_B}/{SHARED_NAME}/"
    reason, message = refusal(cluster_of_two, team, stolen, "ResolvedRefs")
    assert reason == "RefNotPermitted"
    assert f"'{team}/'" in message
    cluster_of_two.apply(referring("own-prefix", team, ref))
    for condition in ("Ready", "CredentialReady"):
        await_true(cluster_of_two, team, "own-prefix", condition, PROGRAMMED_SECONDS)


def test_a_secret_is_looked_for_at_home_only(cluster_of_two: Cluster, team: str) -> None:
    keys = {"accessKeyID": "AKOFTEAMB", "secretAccessKey": "never-leaves-team-b"}
    metadata = {"name": "minio-keys", "namespace": TEAM_B}
    cluster_of_two.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
    )
    auth = {"type": "Static", "staticCredentials": {"secretName": "minio-keys"}}
    offer(cluster_of_two, backend("stolen-keys", team, auth=auth))
    stolen = referring("stolen-secret", team, {"name": "stolen-keys"})
    reason, message = refusal(cluster_of_two, team, stolen, "ResolvedRefs")
    assert reason == "SecretNotFound"
    assert keys["secretAccessKey"] not in message


def test_a_name_that_is_taken_stays_its_holders(
    cluster_of_two: Cluster, bucketroute: Installation, team: str, owners_route: str
) -> None:
    rival = labelled(route("rival", team))
    rival["spec"]["bucket"] = owners_route
    assert refusal(cluster_of_two, team, rival, "Exported")[0] == "BucketNameConflict"
    # Each finds its own under that name: neither can lead the other's writes away.
    for namespace in (team, TEAM_B):
        reporter = Workload(
            bucketroute=bucketroute, namespace=namespace, service_account="reporter"
        )
        assert reporter.run("upload", "upload", BUCKET=owners_route, KEY="same").value()["etag"]
    keys = {key for key in in_backend(cluster_of_two) if key.endswith("/same")}
    assert keys == {f"{team}/rival/same", f"{TEAM_B}/{owners_route}/same"}


# -- the API server ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["secret", "access key", "bucket"])
def test_what_the_schema_has_no_words_for_is_refused_by_the_api_server(
    what: str, cluster_of_two: Cluster, team: str
) -> None:
    if what == "secret":
        named = {"secretName": "minio-keys", "namespace": TEAM_B}
        manifest = backend("abroad", team, auth={"type": "Static", "staticCredentials": named})
        words = 'unknown field "namespace"|field not declared in schema'
    elif what == "access key":
        manifest = labelled(route("abroad", team))
        subject = {"kind": "AccessKey", "name": "laptop", "namespace": TEAM_B}
        manifest["spec"]["access"] = [{"subjects": [subject], "permissions": ["Read"]}]
        words = "only ServiceAccount"
    else:
        manifest = labelled(route("renamed", team))
        manifest["spec"]["bucket"] = "first-name"
        cluster_of_two.apply(manifest)
        manifest["spec"]["bucket"] = SHARED_NAME
        words = "bucket"
    with pytest.raises(CommandError, match=words):
        cluster_of_two.apply(manifest)


# -- the data plane ------------------------------------------------------------------------------


def test_a_stranger_to_a_route_is_refused_by_the_gateway(
    cluster_of_two: Cluster, bucketroute: Installation, team: str
) -> None:
    cluster_of_two.apply(labelled(route("only-of-b", TEAM_B)))
    for condition in ("Ready", "CredentialReady"):
        await_true(cluster_of_two, TEAM_B, "only-of-b", condition, PROGRAMMED_SECONDS)
    owner, stranger = (
        Workload(bucketroute=bucketroute, namespace=namespace, service_account="reporter")
        for namespace in (TEAM_B, team)
    )
    sent = owner.run("upload", "upload", BUCKET="only-of-b", KEY="secret").value()
    error = stranger.run("read", "read", BUCKET="only-of-b", KEY="secret").value()["error"]
    assert (error["status"], error["Code"]) == (403, "AccessDenied")
    assert owner.run("read", "read", BUCKET="only-of-b", KEY="secret").value() == {
        "sha256": sent["sha256"]
    }


def test_a_name_that_leads_to_a_private_address_is_not_dialled_where_the_class_denies_it(
    cluster_of_two: Cluster, bucketroute: Installation, owners_route: str
) -> None:
    """MinIO's name looks like any other; only where it leads to tells, and the gateway looks."""
    owner = Workload(bucketroute=bucketroute, namespace=TEAM_B, service_account="reporter")
    assert owner.run("upload", "upload", BUCKET=owners_route, KEY="near").value()["etag"]

    def read() -> Json:
        return owner.run("read", "read", BUCKET=owners_route, KEY="near").value()

    patch_class(cluster_of_two, {"endpoints": {"privateNetworks": "Deny"}})
    try:
        found = wait_until(read, lambda seen: "error" in seen, seconds=PROGRAMMED_SECONDS)
        assert (found["error"]["status"], found["error"]["Code"]) == (503, "ServiceUnavailable")
    finally:
        patch_class(cluster_of_two, {"endpoints": {"privateNetworks": "Allow"}})
    wait_until(read, lambda seen: "sha256" in seen, seconds=PROGRAMMED_SECONDS)


# -- STS -----------------------------------------------------------------------------------------


def test_the_session_policy_holds_a_data_plane_to_the_route(
    cluster_of_two: Cluster, team: str, owners_route: str
) -> None:
    """With the gateway's own token and the policy that was published for team-a's route."""
    cluster_of_two.apply(labelled(route("bounded", team)))
    for condition in ("Ready", "CredentialReady"):
        await_true(cluster_of_two, team, "bounded", condition, PROGRAMMED_SECONDS)
    auth = published_route(cluster_of_two, team, "bounded")["backend"]["auth"]
    assert auth["sessionName"].startswith(f"{team}.")
    pod = ClientPod(
        namespace=SYSTEM_NAMESPACE,
        name="beyond-policy",
        program=program("beyond_policy"),
        service_account="bucketroute-gateway",
        audience="minio",
        environment={
            "POLICY": auth["sessionPolicy"],
            "BACKEND_ROLE_ARN": auth["roleArn"],
            "BUCKET": BACKEND_BUCKET,
            "OWN": f"{team}/bounded/",
            "OTHERS": f"{TEAM_B}/{owners_route}/",
            "TOKEN_FILE": f"{TOKEN_FOLDER}/token",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    denied, done = ["AccessDenied"] * 3, ["done"] * 3
    assert pod.run(cluster_of_two).value() == {
        "with": {"OWN": done, "OTHERS": denied},
        # So it is the policy that refuses, and nothing else.
        "without": {"OWN": done, "OTHERS": done},
    }
