"""How the tests of the operator's rights read requests and roles."""

from __future__ import annotations

import pytest

from bucketroute_testing.api_calls import ApiCall, Right, parse_call, rights_of

ROUTES = "/apis/bucketroute.io/v1alpha1/bucketroutes"
OF_TEAM = "/apis/bucketroute.io/v1alpha1/namespaces/team-a/bucketroutes"
CALLS = {
    f"GET {ROUTES}?limit=500": ("list", "bucketroute.io/bucketroutes", "", ""),
    f"GET {ROUTES}?watch=true&resourceVersion=7": ("watch", "bucketroute.io/bucketroutes", "", ""),
    f"PATCH {OF_TEAM}/one/status?force=true": (
        "patch",
        "bucketroute.io/bucketroutes/status",
        "team-a",
        "one",
    ),
    "GET /api/v1/namespaces": ("list", "/namespaces", "", ""),
    "GET /api/v1/namespaces/team-a": ("get", "/namespaces", "", "team-a"),
    "PUT /api/v1/namespaces/team-a/finalize": ("update", "/namespaces/finalize", "", "team-a"),
    "POST /api/v1/namespaces/team-a/configmaps": ("create", "/configmaps", "team-a", ""),
    "DELETE /api/v1/namespaces/team-a/configmaps/one": ("delete", "/configmaps", "team-a", "one"),
    "DELETE /api/v1/namespaces/team-a/configmaps": (
        "deletecollection",
        "/configmaps",
        "team-a",
        "",
    ),
    "GET /openid/v1/jwks": ("get", "/openid/v1/jwks", "", ""),
    "GET /apis/bucketroute.io/v1alpha1": ("get", "/apis/bucketroute.io/v1alpha1", "", ""),
}


@pytest.mark.parametrize("request_line", CALLS)
def test_a_request_is_named_as_rbac_names_it(request_line: str) -> None:
    verb, resource, namespace, name = CALLS[request_line]
    expected = ApiCall(verb=verb, resource=resource, namespace=namespace, name=name)
    assert parse_call(*request_line.split(" ")) == expected


def test_a_role_allows_what_it_lists_where_it_is() -> None:
    rule = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["one"],
        "verbs": ["get"],
    }
    role = {"metadata": {"namespace": "home"}, "rules": [rule]}
    (right,) = rights_of(role)
    assert right == Right(verb="get", resource="/secrets", namespace="home", name="one")
    call = ApiCall(verb="get", resource="/secrets", namespace="home", name="one")
    assert right.allows(call)
    for other in (
        ApiCall(verb="update", resource="/secrets", namespace="home", name="one"),
        ApiCall(verb="get", resource="/configmaps", namespace="home", name="one"),
        ApiCall(verb="get", resource="/secrets", namespace="team-a", name="one"),
        ApiCall(verb="get", resource="/secrets", namespace="home", name="two"),
    ):
        assert not right.allows(other)


def test_a_cluster_role_without_names_allows_all_of_a_kind() -> None:
    rules = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
        {"nonResourceURLs": ["/openid/v1/jwks"], "verbs": ["get"]},
    ]
    rights = rights_of({"metadata": {}, "rules": rules})
    for line in ("GET /api/v1/namespaces", "GET /openid/v1/jwks"):
        call = parse_call(*line.split(" "))
        assert [right.allows(call) for right in rights].count(True) == 1
