"""What the chart's service accounts may do, exactly."""

from __future__ import annotations

import json

import pytest

from bucketroute_testing.chart import CASES, Json, of_kind, rendered


def permissions(role: Json) -> set[tuple[str, ...]]:
    """(group/resource, verb, name or empty), and (path, verb) of URLs that are no resource."""
    found: set[tuple[str, ...]] = set()
    for rule in role["rules"]:
        for verb in rule["verbs"]:
            found |= {(path, verb) for path in rule.get("nonResourceURLs", ())}
            for group in rule.get("apiGroups", ()):
                for resource in rule["resources"]:
                    names = rule.get("resourceNames", [""])
                    found |= {(f"{group}/{resource}", verb, name) for name in names}
    return found


OWN_CLASS = {
    ("bucketroute.io/bucketrouteclasses", "create", ""),
    ("bucketroute.io/bucketrouteclasses", "update", "default"),
}
INJECTORS_WEBHOOK = {
    ("admissionregistration.k8s.io/mutatingwebhookconfigurations", verb, "bucketroute-injector")
    for verb in ("get", "patch")
}
OPERATOR_IN_THE_CLUSTER = {
    *(
        (f"bucketroute.io/{plural}", verb, "")
        for plural in ("bucketroutes", "bucketbackends", "bucketrouteclasses")
        for verb in ("list", "watch")
    ),
    *OWN_CLASS,
    ("bucketroute.io/bucketroutes/status", "patch", ""),
    ("bucketroute.io/bucketbackends/status", "patch", ""),
    ("bucketroute.io/bucketrouteclasses/status", "patch", ""),
    ("/namespaces", "list", ""),
    ("/namespaces", "watch", ""),
    ("authentication.k8s.io/tokenreviews", "create", ""),
    ("events.k8s.io/events", "create", ""),
    *INJECTORS_WEBHOOK,
    ("/.well-known/openid-configuration", "get"),
    ("/openid/v1/jwks", "get"),
}
OPERATOR_AT_HOME = {
    ("coordination.k8s.io/leases", "create", ""),
    ("coordination.k8s.io/leases", "get", "bucketroute-operator"),
    ("coordination.k8s.io/leases", "update", "bucketroute-operator"),
    *(("/configmaps", verb, "") for verb in ("create", "get", "list", "update", "delete")),
    *(
        ("/secrets", verb, f"bucketroute-{name}")
        for name in ("config-tls", "injector-tls", "sealing-keys")
        for verb in ("get", "update")
    ),
    ("/services", "get", "bucketroute-gateway"),
    ("discovery.k8s.io/endpointslices", "list", ""),
}


def test_the_operator_may_do_exactly_this() -> None:
    assert permissions(of_kind("default", "ClusterRole")["bucketroute-operator"]) == (
        OPERATOR_IN_THE_CLUSTER
    )
    roles = of_kind("default", "Role")
    assert set(roles) == {"bucketroute-operator"}
    assert permissions(roles["bucketroute-operator"]) == OPERATOR_AT_HOME


def test_only_the_operator_has_any_rights() -> None:
    for case in CASES:
        for kind in ("RoleBinding", "ClusterRoleBinding"):
            for binding in of_kind(case, kind).values():
                subjects = [(item["kind"], item["name"]) for item in binding["subjects"]]
                assert subjects == [("ServiceAccount", "bucketroute-operator")]


def test_the_operator_may_write_no_class_where_the_admin_writes_them() -> None:
    role = of_kind("own-classes", "ClusterRole")["bucketroute-operator"]
    assert permissions(role) == OPERATOR_IN_THE_CLUSTER - OWN_CLASS - INJECTORS_WEBHOOK


def test_without_an_injector_or_with_cert_manager_the_operator_touches_no_webhook() -> None:
    for case in ("own-classes", "everything"):
        role = of_kind(case, "ClusterRole")["bucketroute-operator"]
        assert not permissions(role) & INJECTORS_WEBHOOK
        assert "bucketroute-injector-tls" not in of_kind(case, "Secret")


def test_tenants_secrets_are_granted_one_by_one_in_their_namespace() -> None:
    roles = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): permissions(item)
        for item in rendered("everything")
        if item["kind"] == "Role" and item["metadata"]["namespace"] != "bucketroute-system"
    }
    assert roles == {
        ("team-a", "bucketroute-operator-secrets"): {
            ("/secrets", "get", "minio-keys"),
            ("/secrets", "get", "laptop"),
        },
        ("team-a", "bucketroute-operator-configmaps"): {("/configmaps", "get", "minio-ca")},
    }


def test_with_cert_manager_the_operator_does_not_touch_the_certificates_secret() -> None:
    own = permissions(
        next(
            item
            for item in rendered("everything")
            if item["kind"] == "Role" and item["metadata"]["name"] == "bucketroute-operator"
        )
    )
    assert {rule for rule in own if rule[0] == "/secrets"} == {
        ("/secrets", "get", "bucketroute-sealing-keys"),
        ("/secrets", "update", "bucketroute-sealing-keys"),
    }
    assert set(of_kind("everything", "Secret")) == {"bucketroute-sealing-keys"}


@pytest.mark.parametrize("case", CASES)
def test_no_rule_holds_a_wildcard(case: str) -> None:
    roles = [*of_kind(case, "Role").values(), *of_kind(case, "ClusterRole").values()]
    assert roles
    for role in roles:
        assert "*" not in json.dumps(role["rules"])


@pytest.mark.parametrize("case", CASES)
def test_secrets_hold_nothing(case: str) -> None:
    for secret in of_kind(case, "Secret").values():
        assert not secret.get("data")
        assert not secret.get("stringData")
